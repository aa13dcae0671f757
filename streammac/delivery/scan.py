"""One order to move points, and the way through the shards that carries it out.

A scan makes *passes*: each shows every batch that the shards hold, the oldest first. Whoever looks takes a batch
or passes it over, because it may not go yet; a while later there is another pass. A pass that begins when all senders
have closed is *final*: nothing can come any more that it does not show. If it passes nothing over, all is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from streammac.delivery.closing import Closing
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock

PASS_S = 0.5
"""Batches that could not go yet are looked at again after so long."""


class Holder(Protocol):
    """A shard, as far as it is moved."""

    def batches(self) -> Iterator[tuple[BatchId, str]]:
        """Yield the batches that it holds and who brought each, the oldest first."""
        ...

    def batch(self, batch_id: BatchId) -> PointBlock | None:
        """Return a batch, None if it is not here."""
        ...

    def withdraw(self, batch_ids: Iterable[BatchId], *, remember: bool) -> int:
        """Take batches out; return how many points that were."""
        ...


@dataclass(frozen=True, slots=True)
class Shards:
    """A worker's shards: of training points, and of held-out points."""

    train: Holder
    held_out: Holder

    def shard(self, held_out: bool) -> Holder:
        """Return one of them."""
        return self.held_out if held_out else self.train


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to go.

    Attributes
    ----------
    closing : Closing
        Which batches may go: those whose senders have closed.
    to : collection of str or None
        The workers that get it; None: any.
    points : int or None
        So many points at least, whole batches, the oldest first; None: all.
    """

    closing: Closing
    to: Collection[str] | None = None
    points: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A batch in a shard, and who brought it."""

    held_out: bool
    batch_id: BatchId
    sender: str


class Scan:
    """The way of one order.

    Attributes
    ----------
    wanted : Wanted
        The order.
    taken : int
        Points of batches that were taken; who takes them counts them here.
    passed_over : int
        Batches of this pass that could not go; who passes one over counts it here.
    """

    def __init__(self, wanted: Wanted, shards: Shards) -> None:
        self.wanted = wanted
        self.taken = 0
        self.passed_over = 0
        self._shards = shards
        self._pass: Iterator[Found] = iter(())
        self._next_pass_at = float("-inf")
        self._final = False
        self._complete = False

    @property
    def done(self) -> bool:
        """Return whether everything that is to go was taken."""
        return self._complete or self._has_enough

    @property
    def _has_enough(self) -> bool:
        return self.wanted.points is not None and self.taken >= self.wanted.points

    def check_closing(self) -> None:
        """Start over if somebody came who has not heard that this worker gives all away."""
        if self._final and not self.wanted.closing.closed:
            self._final = self._complete = False

    def next(self, now: float) -> Found | None:
        """Return the next batch to look at; None: there is none for now."""
        while not self._has_enough:
            found = next(self._pass, None)
            if found is not None:
                return found
            if self._final and not self.passed_over:
                self._complete = True
                return None
            if now < self._next_pass_at:
                return None
            self._begin_pass(now)
        return None

    def _begin_pass(self, now: float) -> None:
        self._next_pass_at, self.passed_over = now + PASS_S, 0
        self._final = self.wanted.closing.closed
        self._pass = (
            Found(held_out, batch_id, sender)
            for held_out in (False, True)
            for batch_id, sender in self._shards.shard(held_out).batches()
        )
