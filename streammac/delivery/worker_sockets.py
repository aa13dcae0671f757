"""A sender's sockets to the workers: one DEALER each, opened and closed as the routes change."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import zmq

from streammac.wire.codec import MAX_FRAME_BYTES, Message, WireError, decode, encode
from streammac.wire.messages import Route

log = logging.getLogger(__name__)

End: TypeAlias = tuple[str, int]
"""Address and incarnation of a worker."""
SEND_QUEUE = 4096
MESSAGES_PER_TURN = 200


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
        self._sockets: dict[str, tuple[End, zmq.Socket[bytes]]] = {}
        self.malformed = 0

    def connect(self, routes: Iterable[Route]) -> None:
        """Open and close sockets so that these workers are reached, and no former processes of their names."""
        ends = {route.name: (route.address, route.incarnation) for route in routes}
        for name, (end, socket) in list(self._sockets.items()):
            if ends.get(name) != end:
                self._poller.unregister(socket)
                socket.close(linger=0)
                del self._sockets[name]
        for name in ends.keys() - self._sockets.keys():
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.maxmsgsize = MAX_FRAME_BYTES
            socket.sndhwm = SEND_QUEUE
            socket.connect(ends[name][0])
            self._sockets[name] = (ends[name], socket)
            self._poller.register(socket, zmq.POLLIN)

    def post(self, name: str, message: Message) -> None:
        """Send a message; a batch that is dropped here is sent again later."""
        try:
            self._sockets[name][1].send_multipart(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            log.warning("%s takes nothing: %s dropped", name, type(message).__name__)

    def receive(self, ready: Mapping[object, int]) -> Iterator[tuple[str, Message]]:
        """Yield what has arrived on the sockets that are ready, with the worker's name."""
        for name, (_, socket) in list(self._sockets.items()):
            for _ in range(MESSAGES_PER_TURN if socket in ready else 0):
                try:
                    yield name, decode(socket.recv_multipart(zmq.NOBLOCK))
                except zmq.Again:
                    break
                except WireError as error:
                    self.malformed += 1
                    log.warning("a message of %s did not decode: %s", name, error)
