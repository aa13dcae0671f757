"""A sender's sockets to the workers: one DEALER each, opened and closed as the routes change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import zmq

from streammac.delivery.sender import Post
from streammac.wire.codec import Message
from streammac.wire.messages import Route
from streammac.wire.sockets import MessageSocket, connect

End: TypeAlias = tuple[str, int]
"""Address and incarnation of a worker."""
SEND_QUEUE = 4096


class WorkerSockets:
    """Sockets by the name of the worker.

    Parameters
    ----------
    context : zmq.Context
        The process's context.
    poller : zmq.Poller
        The I/O loop's poller, which watches them.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller) -> None:
        self._context = context
        self._poller = poller
        self._sockets: dict[str, tuple[End, MessageSocket[Message]]] = {}
        self._former_malformed = 0

    @property
    def malformed(self) -> int:
        """What arrived and was no message, and addresses that were none."""
        return self._former_malformed + sum(m.malformed for _, m in self._sockets.values())

    def connect(self, routes: Iterable[Route]) -> None:
        """Open and close sockets so that these workers are reached, and no former processes of their names."""
        ends = {route.name: (route.address, route.incarnation) for route in routes}
        for name, (end, messages) in list(self._sockets.items()):
            if ends.get(name) != end:
                self._poller.unregister(messages.socket)
                messages.socket.close(linger=0)
                self._former_malformed += messages.malformed
                del self._sockets[name]
        for name in ends.keys() - self._sockets.keys():
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.sndhwm = SEND_QUEUE
            self._former_malformed += not connect(socket, ends[name][0], name)
            self._sockets[name] = (ends[name], MessageSocket(socket, name, Message))
            self._poller.register(socket, zmq.POLLIN)

    def post(self, posts: Iterable[Post]) -> None:
        """Send messages; a batch that is dropped here is sent again later."""
        by_worker: dict[str, list[Message]] = {}
        for post in posts:
            by_worker.setdefault(post.worker, []).append(post.message)
        for name, messages in by_worker.items():
            self._sockets[name][1].send_all(messages)

    def receive(self, ready: Mapping[object, int]) -> Iterator[tuple[str, Message]]:
        """Yield what has arrived on the sockets that are ready, with the worker's name."""
        for name, (_, messages) in list(self._sockets.items()):
            if messages.socket in ready:
                for _, message in messages.receive():
                    yield name, message
