"""The node's sockets to the workers: one DEALER each, opened and closed as the routes change."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import zmq

from streammac.wire.codec import MAX_FRAME_BYTES, Message, WireError, decode, encode
from streammac.wire.messages import Hello

log = logging.getLogger(__name__)

HELLO_S = 1.0
"""A worker that has not granted credit is asked again after so long."""
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
    name : str
        The node's name, for its greeting.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller, name: str
    ) -> None:
        self._context = context
        self._poller = poller
        self._name = name
        self._sockets: dict[str, tuple[str, zmq.Socket[bytes]]] = {}
        self._greeted: dict[str, float] = {}
        self.malformed = 0

    def connect(self, addresses: Mapping[str, str]) -> set[str]:
        """Open and close sockets so that these workers are reached; return those that have moved."""
        moved = set()
        for name, (address, socket) in list(self._sockets.items()):
            if addresses.get(name) == address:
                continue
            if name in addresses:
                moved.add(name)
            self._poller.unregister(socket)
            socket.close(linger=0)
            del self._sockets[name]
        for name in addresses.keys() - self._sockets.keys():
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.maxmsgsize = MAX_FRAME_BYTES
            socket.sndhwm = SEND_QUEUE
            socket.connect(addresses[name])
            self._sockets[name] = (addresses[name], socket)
            self._poller.register(socket, zmq.POLLIN)
            self._greeted.pop(name, None)
        return moved

    def greet(self, names: Iterator[str], now: float) -> None:
        """Ask workers for credit, once a second each."""
        for name in names:
            if now - self._greeted.get(name, -HELLO_S) >= HELLO_S:
                self._greeted[name] = now
                self.post(name, Hello(self._name))

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
