"""Tokens over ZeroMQ: every member binds one ROUTER and connects a DEALER to each peer.

The default transport of the worker process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

import zmq

from streammac.wire.codec import encode
from streammac.wire.sockets import MessageSocket, connect
from workers.transports.base import RingMessage, TransportError
from workers.transports.known_lines import KnownLines

SEND_QUEUE = 1000
"""Tokens that may wait for one peer; more means that it takes none."""
LINGER_MS = 500
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
        self._line = line
        self._lines = KnownLines(line)
        self._admitted: list[RingMessage] = []
        inbox = context.socket(zmq.ROUTER)
        inbox.linger = 0
        inbox.router_handover = True  # a member whose connection broke is back from the same line
        self._inbox = MessageSocket[RingMessage](inbox, "a member", *get_args(RingMessage))
        port = inbox.bind_to_random_port(f"tcp://{host}")
        self.address = f"tcp://{host}:{port}"
        self._unusable = 0
        self._peers: dict[str, tuple[str, zmq.Socket[bytes]]] = {}

    @property
    def malformed(self) -> int:
        """See `Transport`."""
        return self._inbox.malformed + self._lines.refused + self._unusable

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The inbox."""
        return (self._inbox.socket,)

    @property
    def in_transit(self) -> bool:
        """Never: ZeroMQ has threads of its own."""
        return False

    def connect(self, peers: Mapping[str, str], lines: Collection[str] = ()) -> None:
        """See `Transport.connect`."""
        self._admitted += self._lines.renew(lines)
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
                    socket.identity = self._line.encode()
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
        if not int(self._inbox.socket.get(zmq.EVENTS)) & zmq.POLLIN:
            return messages  # cheaper than to try
        for line, message in self._inbox.receive():
            if self._lines.admit(line.decode(errors="replace"), message):
                messages.append(message)
        return messages

    def close(self) -> None:
        """See `Transport.close`."""
        self._inbox.socket.close()
        for _, socket in self._peers.values():
            socket.close(linger=LINGER_MS)
        self._peers.clear()
