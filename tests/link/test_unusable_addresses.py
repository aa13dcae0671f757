"""A process is told addresses by others: one that is of no use costs a counter, and no process."""

from __future__ import annotations

import logging

import pytest
import zmq

from streammac.delivery.sender import Post
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.wire.messages import Route, Stop
from workers.coordinator.watch import Watch
from workers.transports.base import TransportError
from workers.transports.checks import token
from workers.transports.zeromq import ZeroMQTransport

ADDRESSES = ("", "garbage", "nonsense://x", "tcp://", "http://127.0.0.1:1")


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context
        context.destroy(linger=0)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_worker_that_cannot_be_reached_ends_nobody(context, address, caplog):
    sockets, poller = WorkerSockets(context, zmq.Poller()), zmq.Poller()
    with caplog.at_level(logging.WARNING):
        sockets.connect([Route("w1", address)])
        sockets.post([Post("w1", Stop())])
    assert sockets.malformed == 1
    assert "w1 is not reached at" in caplog.text
    assert list(sockets.receive(dict(poller.poll(0)))) == []
    sockets.connect([])


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_member_that_cannot_be_reached_ends_nobody(context, address):
    transport = ZeroMQTransport(context)
    transport.connect({"w2": address})
    assert transport.malformed == 1
    with pytest.raises(TransportError, match="takes no more"):
        transport.send("w2", token(1))
    transport.close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_process_that_cannot_be_watched_is_left_to_its_heartbeats(context, address):
    watch = Watch(context, zmq.Poller())
    watch.keep([(("evil", 1), address)])
    assert watch.broken(1.0) == []
    watch.close()
