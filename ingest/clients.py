"""The socket that clients push points to, and are answered on.

The node's I/O loop owns it; what becomes of pushes is decided by `ingest.pushes`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import zmq

from streammac.wire.codec import MAX_FRAME_BYTES, WireError, decode, encode
from streammac.wire.messages import Push, Pushed

log = logging.getLogger(__name__)

MESSAGES_PER_TURN = 200
"""Messages taken before the I/O loop looks at its other sockets again."""


class Clients:
    """All clients of one node.

    Parameters
    ----------
    context : zmq.Context
        The process's context.
    host : str
        Interface to listen on.

    Attributes
    ----------
    socket : zmq.Socket
        For the loop's poller.
    address : str
        Where clients connect.
    malformed : int
        Messages that were none, or not a client's.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], host: str) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.router_mandatory = True
        self.socket.router_handover = True
        self.socket.linger = 500
        self.socket.maxmsgsize = MAX_FRAME_BYTES
        self.address = f"tcp://{host}:{self.socket.bind_to_random_port(f'tcp://{host}')}"
        self.malformed = 0

    def receive(self) -> Iterator[tuple[bytes, Push]]:
        """Yield the pushes that have arrived, each with the identity that its answer goes to."""
        for _ in range(MESSAGES_PER_TURN):
            try:
                identity, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(frames)
            except WireError as error:
                self.malformed += 1
                log.warning("a message of a client did not decode: %s", error)
                continue
            if isinstance(message, Push):
                yield identity, message
            else:
                self.malformed += 1

    def answer(self, identity: bytes, pushed: Pushed) -> None:
        """Answer a push."""
        try:
            self.socket.send_multipart([identity, *encode(pushed)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("a client is gone before its answer: %s", error)
