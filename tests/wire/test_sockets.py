"""Sockets of messages: who sent what comes through, what is no message costs a counter, and a send never waits."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
import zmq
from msgspec import structs

from streammac.wire.codec import encode
from streammac.wire.messages import (
    HeldOutPoints,
    OpenSession,
    PleaseRegister,
    StatusReply,
    StatusRequest,
    Stop,
)
from streammac.wire.sockets import AHEAD_NS, SAID, MessageSocket
from tests.patience import wait_for


@pytest.fixture
def pair():
    with zmq.Context() as context:
        router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        router.router_mandatory = True
        dealer.identity = b"w1"
        port = router.bind_to_random_port("tcp://127.0.0.1")
        dealer.connect(f"tcp://127.0.0.1:{port}")
        yield (
            MessageSocket(router, "a client", StatusRequest, Stop, most=2),
            MessageSocket(dealer, "the server", StatusReply),
        )
        context.destroy(linger=0)


def arrived(messages, count=1):
    got = []
    while len(got) < count and messages.socket.poll(5000):
        got += messages.receive()
    return got


def test_a_question_finds_its_answer(pair):
    server, client = pair
    client.send(StatusRequest())
    assert arrived(server) == [(b"w1", StatusRequest())]
    server.send(StatusReply("fine"), b"w1")
    assert arrived(client) == [(b"", StatusReply("fine"))]
    assert list(client.receive()) == []


def test_what_is_no_message_or_of_another_kind_is_counted_and_said(pair, caplog):
    server, client = pair
    for frames in ([b"garbage"], [], encode(PleaseRegister()), encode(Stop("bye"))):
        client.socket.send_multipart(frames or [b""])
    with caplog.at_level(logging.WARNING):
        assert arrived(server) == [(b"w1", Stop("bye"))]
    assert server.malformed == 3
    assert "a client" in caplog.text
    assert "a PleaseRegister does not belong here" in caplog.text


def test_many_malformed_messages_do_not_fill_the_log(pair, caplog):
    server, client = pair
    server.most = 10_000
    with caplog.at_level(logging.WARNING):
        for _ in range(1100):
            client.socket.send_multipart([b"garbage"])
        wait_for(lambda: not list(server.receive()) and server.malformed == 1100)
    assert len(caplog.records) == SAID + 4  # 128, 256, 512, 1024
    assert "(1024 so far)" in caplog.text


@pytest.mark.parametrize("field", ["session", "incarnation"])
def test_a_number_that_nobody_could_go_on_from_is_malformed(pair, field, caplog):
    server, client = pair
    server.kinds = (OpenSession, Stop)
    opening = OpenSession("i1", time.time_ns(), time.time_ns())
    client.send(structs.replace(opening, **{field: time.time_ns() + 2 * AHEAD_NS}))
    client.send(opening)
    assert arrived(server) == [(b"w1", opening)]
    assert server.malformed == 1
    assert "of a future that no clock is in" in caplog.text


def test_others_have_their_turn_after_so_many_messages(pair):
    server, client = pair
    for n in range(5):
        client.send(Stop(str(n)))
    assert len(arrived(server, 5)) == 5
    for n in range(5):
        client.send(Stop(str(n)))
    server.socket.poll(5000)
    assert len(list(server.receive())) <= 2


def test_who_is_not_there_costs_a_warning(pair, caplog):
    server, _ = pair
    with caplog.at_level(logging.WARNING):
        server.send(Stop(), b"nobody")
    assert "could not send Stop to a client b'nobody'" in caplog.text


def test_messages_that_leave_together_come_together_and_their_arrays_cannot_be_written(pair):
    server, client = pair
    client.kinds = (HeldOutPoints,)
    client.send(StatusRequest())
    arrived(server)
    sent = [
        HeldOutPoints("w1", {"x": np.full((rows, 64), rows, np.float32)}) for rows in (2, 3, 900)
    ]
    server.send_all(sent, b"w1")
    got = [message.tensors["x"] for _, message in arrived(client, 3)]
    assert [(len(x), x[0, 0]) for x in got] == [(2, 2), (3, 3), (900, 900)]
    assert not any(x.flags.writeable for x in got)
