"""Tokens over ZeroMQ: every member binds one ROUTER and connects a DEALER to each peer.

The default transport of the worker process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

import zmq

from streammac.wire.codec import encode
from streammac.wire.messages import ModelState, Token
from streammac.wire.sockets import MessageSocket, connect
from workers.transports.base import RingMessage, TransportError

SEND_QUEUE = 1000
"""Tokens that may wait for one peer; more means that it takes none."""
LINGER_MS = 500
STRANGERS = 100
"""Messages of unknown lines that are kept until the next view."""
COPY_BELOW = 1 << 16
"""Frames smaller than this are copied: cheaper than keeping track of them."""


class ZeroMQTransport:
    """A member's sockets.

    Parameters
    ----------
    context : zmq.Context
        The process's context.
    host : str
        Interface to listen on; the port is any free one.
    line : str
        What the other members know this one by. Without it, everybody is believed.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        host: str = "127.0.0.1",
        line: str = "",
    ) -> None:
        self._context = context
        self._line = line.encode()
        self._lines: frozenset[bytes] = frozenset()
        self._strangers: deque[tuple[bytes, RingMessage]] = deque(maxlen=STRANGERS)
        self._admitted: list[RingMessage] = []
        inbox = context.socket(zmq.ROUTER)
        inbox.linger = 0
        inbox.router_handover = True  # a member whose connection broke is back from the same line
        self._inbox = MessageSocket[RingMessage](inbox, "a member", Token, ModelState)
        port = inbox.bind_to_random_port(f"tcp://{host}")
        self.address = f"tcp://{host}:{port}"
        self._unusable = 0
        self._peers: dict[str, tuple[str, zmq.Socket[bytes]]] = {}

    @property
    def malformed(self) -> int:
        """See `Transport`."""
        return self._inbox.malformed + self._unusable

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The inbox."""
        return (self._inbox.socket,)

    def connect(self, peers: Mapping[str, str], lines: Collection[str] = ()) -> None:
        """See `Transport.connect`."""
        self._lines = frozenset(line.encode() for line in lines)
        # who hears of a view first may send before we hear of it
        self._admitted += [message for line, message in self._strangers if line in self._lines]
        self._strangers.clear()
        for name, (address, socket) in list(self._peers.items()):
            if peers.get(name) != address:
                socket.close(linger=0)
                del self._peers[name]
        for name, address in peers.items():
            if name not in self._peers:
                socket = self._context.socket(zmq.DEALER)
                socket.sndhwm = SEND_QUEUE
                socket.linger = LINGER_MS
                if self._line:
                    socket.identity = self._line
                self._unusable += not connect(socket, address, name)
                self._peers[name] = (address, socket)

    def send(self, to: str, message: RingMessage) -> None:
        """See `Transport.send`."""
        if to not in self._peers:
            raise TransportError(f"no member {to!r} among the connected peers")
        frames = encode(message)
        copy = max(map(len, frames)) < COPY_BELOW
        try:
            self._peers[to][1].send_multipart(frames, zmq.NOBLOCK, copy=copy)
        except zmq.ZMQError as error:
            raise TransportError(f"{to!r} takes no more") from error

    def receive(self) -> list[RingMessage]:
        """See `Transport.receive`."""
        messages, self._admitted = self._admitted, []
        for line, message in self._inbox.receive():
            if not self._line or line in self._lines:
                messages.append(message)
            else:
                self._unusable += 1
                self._strangers.append((line, message))
        return messages

    def close(self) -> None:
        """See `Transport.close`."""
        self._inbox.socket.close()
        for _, socket in self._peers.values():
            socket.close(linger=LINGER_MS)
        self._peers.clear()
