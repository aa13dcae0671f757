"""The interface that carries tokens, and models for those who join, from member to member.

The worker's I/O loop and the in-process ring use it; `checks` holds what every implementation must pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeAlias

from streammac.errors import StreammacError
from streammac.wire.messages import Heard, ModelState, Offer, Token, Wake

RingMessage: TypeAlias = Token | ModelState | Wake | Offer | Heard


class TransportError(StreammacError):
    """A message could not be handed over: the peer is unknown or does not take any."""


class Transport(Protocol):
    """Messages between members; reliable and in order between two of them while both live.

    Nothing here blocks: `send` hands over or raises, `receive` returns what is there.
    """

    @property
    def address(self) -> str:
        """Where the others reach this member."""
        ...

    @property
    def sockets(self) -> tuple[Any, ...]:
        """ZeroMQ sockets to poll: readable when `receive` may have something.

        A transport without sockets returns none, and its owner looks in from time to time.
        """
        ...

    @property
    def in_transit(self) -> bool:
        """Whether something is under way that moves on only while `receive` is called: call it again very soon."""
        ...

    def connect(self, peers: Mapping[str, str], lines: Collection[str] = ()) -> None:
        """Make the members of a view (name to address) reachable, and forget all others.

        ``lines`` are those that the members send from; what comes from elsewhere is not believed, by a transport that
        has a line of its own.
        """
        ...

    def send(self, to: str, message: RingMessage) -> None:
        """Hand a message over.

        Raises
        ------
        TransportError
            If ``to`` is not among the connected peers, or takes nothing any more.
        """
        ...

    def receive(self) -> list[RingMessage]:
        """Return the messages that have arrived, oldest first. Malformed ones are counted, not returned."""
        ...

    @property
    def malformed(self) -> int:
        """Messages that did not decode."""
        ...

    def close(self) -> None:
        """Release everything; what was handed over still travels for a moment."""
        ...
