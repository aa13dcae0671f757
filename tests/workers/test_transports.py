"""Every transport passes the same conformance suite; malformed messages are counted and survived."""

from __future__ import annotations

import pytest
import zmq

from tests.patience import wait_for
from workers.transports.checks import all_checks, receive, token
from workers.transports.inprocess import Hub, InProcessTransport
from workers.transports.zeromq import ZeroMQTransport


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


LINES = {"self": "aa", "member": "bb", "stranger": "cc"}


def makers(context):
    def inprocess(names):
        hub = Hub()
        return {name: InProcessTransport(hub, name) for name in names}

    def zeromq(names):
        return {name: ZeroMQTransport(context) for name in names}

    return {"inprocess": inprocess, "zeromq": zeromq}


@pytest.mark.parametrize("check", list(all_checks()), ids=lambda check: check.__name__)
@pytest.mark.parametrize("transport", ["inprocess", "zeromq"])
def test_conformance(check, transport, context):
    check(makers(context)[transport])


def test_garbage_on_the_ring_socket_costs_a_counter(context):
    end = ZeroMQTransport(context)
    end.connect({"self": end.address})
    stranger = context.socket(zmq.DEALER)
    stranger.connect(end.address)
    for frames in ([b"garbage"], [b""], [b"\x81\xa1v\x01", b"x"] * 3):
        stranger.send_multipart(frames)
    end.send("self", token(1))
    assert len(receive(end, 1)) == 1
    wait_for(lambda: end.receive() or end.malformed >= 3)
    assert end.malformed == 3
    stranger.close(linger=0)
    end.close()


def test_only_the_members_of_the_view_are_believed_and_one_that_knows_it_first_is_heard(context):
    ends = {name: ZeroMQTransport(context, line=line) for name, line in LINES.items()}
    addresses = {name: end.address for name, end in ends.items()}
    for name in ("member", "stranger"):
        ends[name].connect(addresses, LINES.values())
        ends[name].send("self", token(lap=len(name)))
    here = ends["self"]
    wait_for(lambda: (here.receive(), here.malformed)[1] == 2)
    here.connect(addresses, [LINES["self"], LINES["member"]])
    assert [message.lap for message in here.receive()] == [len("member")]
    ends["stranger"].send("self", token(lap=0))
    ends["member"].send("self", token(lap=1))
    assert [message.lap for message in receive(here, 1)] == [1]
    wait_for(lambda: (here.receive(), here.malformed)[1] == 3)
    for end in ends.values():
        end.close()
