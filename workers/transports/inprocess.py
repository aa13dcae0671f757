"""Tokens between members of one process: a queue for each, shared through a hub.

They pass through the same encoding as on a socket, so that what works here works there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from streammac.wire.codec import WireError, decode, encode
from workers.transports.base import RingMessage, TransportError

MAX_QUEUED = 10_000
"""Tokens that may wait at a member before senders are refused."""


class Hub:
    """The meeting place of the members of one process."""

    def __init__(self) -> None:
        self.queues: dict[str, deque[list[bytes]]] = {}


class InProcessTransport:
    """A member's end of a `Hub`."""

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self._name = name
        self._peers: Mapping[str, str] = {}
        self._queue: deque[list[bytes]] = deque()
        self.malformed = 0
        hub.queues[name] = self._queue

    @property
    def address(self) -> str:
        """Name in the hub."""
        return self._name

    @property
    def sockets(self) -> tuple[Any, ...]:
        """There are none."""
        return ()

    @property
    def in_transit(self) -> bool:
        """Never: what was sent has arrived."""
        return False

    def connect(self, peers: Mapping[str, str], lines: Collection[str] = ()) -> None:
        """See `Transport.connect`."""
        self._peers = dict(peers)

    def send(self, to: str, message: RingMessage) -> None:
        """See `Transport.send`."""
        address = self._peers.get(to)
        queue = self._hub.queues.get(address) if address is not None else None
        if queue is None:
            raise TransportError(f"no member {to!r} among the connected peers")
        if len(queue) >= MAX_QUEUED:
            raise TransportError(f"{to!r} takes no more: {MAX_QUEUED} are waiting there")
        queue.append([bytes(frame) for frame in encode(message)])

    def receive(self) -> list[RingMessage]:
        """See `Transport.receive`."""
        arrived: list[RingMessage] = []
        while self._queue:
            try:
                message = decode(self._queue.popleft())
            except WireError:
                self.malformed += 1
                continue
            if isinstance(message, RingMessage):
                arrived.append(message)
            else:
                self.malformed += 1
        return arrived

    def close(self) -> None:
        """See `Transport.close`."""
        self._hub.queues.pop(self._name, None)
