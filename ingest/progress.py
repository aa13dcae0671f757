"""What an ingest node must know after it was killed, besides its batches: how far each of its feeds is settled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from streammac.delivery.records import Record, Settled, State
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet


@dataclass(frozen=True, slots=True)
class FeedBegun(Record):
    """A feed, and how it is cut into batches: that must not change while it is read, or batch ids would.

    ``feed`` names it within the node, ``identity`` changes when its content does, and with it ``number``, which its
    batch ids bear.
    """

    feed: str
    identity: str
    number: int
    batch_points: int
    share: float
    chunk_points: int = 0
    """Records that are read at a time; 0: as many as make a batch, as in feeds that began before there was a choice."""


@dataclass(frozen=True, slots=True)
class FeedAt(Record):
    """Everything of a feed up to here is settled.

    ``records`` are counted since the feed began, ``dead_lettered`` of them are dead letters, and ``offset`` is
    where it goes on, in the source's own terms. ``apart`` of them are counted elsewhere: points without targets, and
    targets without points (`ingest.late_targets`).
    """

    feed: str
    records: int
    offset: int
    dead_lettered: int
    apart: int = 0

    @property
    def points(self) -> int:
        """Records that are counted here."""
        return self.records - self.apart


@dataclass(frozen=True, slots=True)
class Replaced(Record):
    """So many records came of feeds whose content has become another; ``dead_lettered`` are dead letters."""

    records: int
    dead_lettered: int


@dataclass(slots=True)
class FeedProgress:
    """How far a feed is settled."""

    begun: FeedBegun
    at: FeedAt


@dataclass
class IngestState(State):
    """What a node's records add up to; batches of feeds are counted by the feeds' positions.

    Attributes
    ----------
    feeds : dict
        Feeds by name.
    replaced : Replaced
        What came of feeds whose content has become another.
    settled : BatchIdSet
        Settled batches of feeds, beyond the feed's position.
    """

    kinds: ClassVar[tuple[type[Record], ...]] = (*State.kinds, FeedBegun, FeedAt, Replaced)
    feeds: dict[str, FeedProgress] = field(default_factory=dict)
    replaced: Replaced = Replaced(0, 0)
    settled: BatchIdSet = field(default_factory=BatchIdSet)

    @property
    def settled_records(self) -> int:
        """Return how many records the ledger knows to be settled: never fewer than before."""
        read = sum(feed.at.points for feed in self.feeds.values())
        return self.replaced.records + read + self.points

    def is_settled(self, batch_id: BatchId) -> bool:
        """Return whether a batch needs no sending, as far as that is remembered."""
        return batch_id in self.settled or super().is_settled(batch_id)

    def apply(self, record: Record) -> None:
        """Take a record."""
        match record:
            case FeedBegun():
                former = self.feeds.get(record.feed)
                if former is not None:
                    self._forget(former.begun.number, None)
                    self._replace(former.at.points, former.at.dead_lettered)
                self.feeds[record.feed] = FeedProgress(record, FeedAt(record.feed, 0, 0, 0))
            case FeedAt():
                feed = self.feeds.get(record.feed)
                if feed is not None:
                    feed.at = record
                    self._forget(feed.begun.number, record.records)
            case Replaced(records, dead_lettered):
                self._replace(records, dead_lettered)
            case _:
                super().apply(record)

    def _replace(self, records: int, dead_lettered: int) -> None:
        before = self.replaced
        self.replaced = Replaced(before.records + records, before.dead_lettered + dead_lettered)

    def settle(self, batch_id: BatchId, points: int) -> None:
        """Remember that a batch is settled."""
        if batch_id.feed is None:
            super().settle(batch_id, points)
        else:
            self.settled.add(batch_id)

    def _forget(self, feed: int, before: int | None) -> None:
        """Forget the batches of a feed, up to a record or all."""

        def old(batch_id: BatchId) -> bool:
            return batch_id.feed == feed and (before is None or batch_id.record < before)

        for batch_id in list(filter(old, self.handed)):
            del self.handed[batch_id]
        for batch_id in list(filter(old, self.settled)):
            self.settled.discard(batch_id)

    def records(self) -> Iterator[Record]:
        """Yield the fewest records that add up to this."""
        yield self.replaced
        for feed in self.feeds.values():
            yield feed.begun
            yield feed.at
        for batch_id in self.settled:
            yield Settled(*batch_id, 0)
        yield from super().records()
