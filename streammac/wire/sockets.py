"""Messages on ZeroMQ sockets: the one loop that receives them, and a send that never waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import zmq

from streammac.wire.codec import Message, WireError, decode_all, encode, encode_all

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
SAID = 100
"""So many times something is logged, then each time that doubles their number."""
AHEAD_NS = 10**18
"""Some thirty years: no clock is so much ahead."""


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


def worth_saying(count: int) -> bool:
    """Return whether the log is to hear of something that a peer did for so many times: it must not fill the disk.

    >>> [count for count in range(98, 600) if worth_saying(count)]
    [98, 99, 100, 128, 256, 512]
    """
    return count <= SAID or count & (count - 1) == 0


def _check_age(message: Message) -> None:
    """Refuse numbers that only grow, from a clock's nanoseconds, and are so high that nobody could go on above them.

    Raises
    ------
    WireError
        If there is one.
    """
    latest = time.time_ns() + AHEAD_NS
    if max(getattr(message, "incarnation", 0), getattr(message, "session", 0)) > latest:
        raise WireError(f"a {type(message).__name__} of a future that no clock is in")


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
        self._routes = socket.type == zmq.ROUTER

    def receive(self) -> Iterator[tuple[bytes, M]]:
        """Yield what has arrived, each with the identity that an answer goes to (of a DEALER: none)."""
        taken = 0
        while taken < self.most:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            identity = frames.pop(0).bytes if self._routes else b""
            # large batches are not copied: arrays are views of what has arrived
            for message in decode_all([frame.buffer.toreadonly() for frame in frames]):
                taken += 1
                try:
                    yield identity, self._checked(message)
                except WireError as error:
                    self._count_malformed(error)

    def _checked(self, message: Message | WireError) -> M:
        """Return what belongs here.

        Raises
        ------
        WireError
            If it does not.
        """
        if isinstance(message, WireError):
            raise message
        if not isinstance(message, self.kinds):
            raise WireError(f"a {type(message).__name__} does not belong here")
        _check_age(message)
        return message

    def _count_malformed(self, error: WireError) -> None:
        self.malformed += 1
        if worth_saying(self.malformed):
            many = f" ({self.malformed} so far)" if self.malformed > SAID else ""
            log.warning("ignored what %s sent%s: %s", self.peer, many, error)

    def send(self, message: Message, identity: bytes = b"") -> None:
        """Send a message, of a ROUTER to this identity; if it cannot leave now, that is logged."""
        self._send(encode(message), identity, type(message).__name__)

    def send_all(self, messages: Sequence[Message], identity: bytes = b"") -> None:
        """Send messages as `send` does, small ones together: some of them may arrive and others not."""
        for frames in encode_all(messages):
            self._send(frames, identity, "messages")

    def _send(self, frames: list[bytes | memoryview], identity: bytes, what: str) -> None:
        try:
            self.socket.send_multipart([identity, *frames] if identity else frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("could not send %s to %s %r: %s", what, self.peer, identity, error)
