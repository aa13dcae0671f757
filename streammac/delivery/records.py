"""What a sender of points must know after it was killed: records, and what they add up to.

`Sender` makes records; the shell writes them into its `Ledger` before it sends anything that they speak of. What else a
process must know is added by its own kinds of records, and a `State` that takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet

REMEMBERED = 10_000
"""Settled batches that are remembered: a client may ask for so long."""

Ranges: TypeAlias = list[Any]
"""Batch ids as `BatchIdSet.to_json` returns them."""


@dataclass(frozen=True, slots=True)
class Record:
    """An entry of a ledger; its fields are plain values."""


@dataclass(frozen=True, slots=True)
class Handed(Record):
    """A batch now belongs to a worker."""

    source: str
    incarnation: int
    sequence: int
    worker: str


@dataclass(frozen=True, slots=True)
class Settled(Record):
    """A batch of so many points is stored, or given up: it is never sent again."""

    source: str
    incarnation: int
    sequence: int
    points: int


@dataclass(frozen=True, slots=True)
class Revoked(Record):
    """Batches do not belong to a worker any more, though it may hold copies."""

    worker: str
    batch_ids: Ranges


@dataclass(frozen=True, slots=True)
class RevocationConfirmed(Record):
    """The worker holds no copies of these any more."""

    worker: str
    batch_ids: Ranges


@dataclass(frozen=True, slots=True)
class Counted(Record):
    """Points of settled batches that nothing else speaks of any more."""

    points: int


@dataclass
class State:
    """What the records add up to.

    Attributes
    ----------
    kinds : tuple of type
        Kinds of records that it takes.
    handed : dict
        Unsettled batches, by batch id: the worker that each belongs to.
    revoked : dict
        By worker, the batches it is still to be told of.
    answered : dict
        Points of settled batches, the newest of them.
    points : int
        Points of all settled batches ever.
    """

    kinds: ClassVar[tuple[type[Record], ...]] = (
        Handed,
        Settled,
        Revoked,
        RevocationConfirmed,
        Counted,
    )
    handed: dict[BatchId, str] = field(default_factory=dict)
    revoked: dict[str, BatchIdSet] = field(default_factory=dict)
    answered: dict[BatchId, int] = field(default_factory=dict)
    points: int = 0

    def is_settled(self, batch_id: BatchId) -> bool:
        """Return whether a batch needs no sending, as far as that is remembered."""
        return batch_id in self.answered

    def apply(self, record: Record) -> None:
        """Take a record."""
        match record:
            case Handed(source, incarnation, sequence, worker):
                self.handed[BatchId(source, incarnation, sequence)] = worker
            case Settled(source, incarnation, sequence, points):
                batch_id = BatchId(source, incarnation, sequence)
                self.handed.pop(batch_id, None)
                self.settle(batch_id, points)
            case Revoked(worker, ranges):
                batch_ids = BatchIdSet(ranges)
                self.revoked.setdefault(worker, BatchIdSet()).update(batch_ids)
                for batch_id in batch_ids:
                    if self.handed.get(batch_id) == worker:
                        del self.handed[batch_id]
            case RevocationConfirmed(worker, ranges):
                left = self.revoked.get(worker, BatchIdSet())
                for batch_id in BatchIdSet(ranges):
                    left.discard(batch_id)
                if not left:
                    self.revoked.pop(worker, None)
            case Counted(points):
                self.points += points

    def settle(self, batch_id: BatchId, points: int) -> None:
        """Remember that a batch is settled."""
        self.points += points
        self.answered[batch_id] = points
        while len(self.answered) > REMEMBERED:
            del self.answered[next(iter(self.answered))]

    def records(self) -> Iterator[Record]:
        """Yield the fewest records that add up to this."""
        yield Counted(self.points - sum(self.answered.values()))
        for batch_id, points in self.answered.items():
            yield Settled(*batch_id, points)
        for worker, batch_ids in self.revoked.items():
            yield Revoked(worker, batch_ids.to_json())
        for batch_id, worker in self.handed.items():
            yield Handed(*batch_id, worker)
