"""Messages on ZeroMQ sockets: the one loop that receives them, and a send that never waits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Generic, TypeVar

import zmq

from streammac.wire.codec import Message, WireError, decode, encode

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


def connect(socket: zmq.Socket[bytes], address: str, peer: str) -> bool:
    """Connect a socket to where a peer says that it listens.

    Returns
    -------
    bool
        False if nothing can be reached there; that is logged, and for the rest it is as if nobody were there.
    """
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        log.warning("%s is not reached at %r: %s", peer, address, error)
        return False
    return True


class MessageSocket(Generic[M]):
    """A socket for messages. What arrives there and is none is counted, logged and survived.

    Parameters
    ----------
    socket : zmq.Socket
        A ROUTER or a DEALER.
    peer : str
        Who is at its other end, for the log.
    kinds : types of messages
        What may arrive.
    most : int
        Messages that one call of `receive` takes, so that other sockets have their turn.

    Attributes
    ----------
    malformed : int
        What arrived and was no message, or none of these kinds.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], peer: str, *kinds: type[M], most: int = 200
    ) -> None:
        self.socket = socket
        self.peer = peer
        self.kinds = kinds
        self.most = most
        self.malformed = 0

    def receive(self) -> Iterator[tuple[bytes, M]]:
        """Yield what has arrived, each with the identity that an answer goes to (of a DEALER: none)."""
        for _ in range(self.most):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            identity = frames.pop(0) if self.socket.type == zmq.ROUTER else b""
            try:
                message = decode(frames)
                if not isinstance(message, self.kinds):
                    raise WireError(f"a {type(message).__name__} does not belong here")
            except WireError as error:
                self.malformed += 1
                log.warning("ignored what %s sent: %s", self.peer, error)
                continue
            yield identity, message

    def send(self, message: Message, identity: bytes = b"") -> None:
        """Send a message, of a ROUTER to this identity; if it cannot leave now, that is logged."""
        frames = encode(message)
        try:
            self.socket.send_multipart([identity, *frames] if identity else frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            kind = type(message).__name__
            log.warning("could not send %s to %s %r: %s", kind, self.peer, identity, error)
