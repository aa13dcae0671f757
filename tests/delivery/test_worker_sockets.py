"""A sender's sockets: they follow the routes, and count what is no message."""

from __future__ import annotations

import pytest
import zmq

from streammac.delivery.sender import Post
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.wire.codec import Message, encode
from streammac.wire.messages import Credit, OpenSession, Route
from streammac.wire.sockets import MessageSocket

SOON_MS = 5000


class Worker:
    """The other end: a ROUTER that answers."""

    def __init__(self, context) -> None:
        socket = context.socket(zmq.ROUTER)
        self.address = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.messages = MessageSocket(socket, "the sender", Message)

    def heard(self) -> tuple[bytes, Message]:
        assert self.messages.socket.poll(SOON_MS)
        ((identity, message),) = self.messages.receive()
        return identity, message

    def say(self, identity, *frames) -> None:
        self.messages.socket.send_multipart([identity, *frames])


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context
        context.destroy(linger=0)


@pytest.fixture
def office(context):
    poller = zmq.Poller()
    return poller, WorkerSockets(context, poller)


def test_each_worker_is_reached_where_its_route_says(context, office):
    poller, sockets = office
    workers = {"w1": Worker(context), "w2": Worker(context)}
    routes = [Route(name, worker.address, 1) for name, worker in workers.items()]
    sockets.connect(routes)
    for number, (name, worker) in enumerate(workers.items()):
        sockets.post([Post(name, OpenSession("i1", number, 1, ()))])
        identity, message = worker.heard()
        assert message == OpenSession("i1", number, 1, ())
        worker.say(identity, *encode(Credit(number, 5)))
        assert list(sockets.receive({})) == []
        assert list(sockets.receive(dict(poller.poll(SOON_MS)))) == [(name, Credit(number, 5))]
    sockets.connect(routes)  # the same: no socket is opened anew
    sockets.post([Post("w1", OpenSession("i1", 9, 1, ()))])
    assert workers["w1"].heard()[1] == OpenSession("i1", 9, 1, ())


def test_another_process_of_a_name_gets_a_socket_of_its_own_and_nothing_is_forgotten(
    context, office
):
    poller, sockets = office
    worker, identities = Worker(context), set()
    for incarnation in (1, 2):
        sockets.connect([Route("w1", worker.address, incarnation)])
        sockets.post([Post("w1", OpenSession("i1", 1, incarnation, ()))])
        identity, _ = worker.heard()
        identities.add(identity)
        worker.say(identity, b"no message")
        assert list(sockets.receive(dict(poller.poll(SOON_MS)))) == []
        assert sockets.malformed == incarnation
    assert len(identities) == 2
    sockets.connect([])
    assert (sockets.malformed, poller.sockets) == (2, [])
