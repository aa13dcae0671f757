"""What a sender of points must know after it was killed: records, what they add up to, and their file.

`Sender` and the readers of feeds make records; the shell writes them before it sends anything that they speak
of. `State.apply` is pure. The file is handed to the kernel at each write, so it survives a killed process; a tail
that is torn is dropped, and with it only what was never acted on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgpack

from streammac.errors import StreammacError
from streammac.files.disk import Disk
from streammac.files.lock import lock
from streammac.files.log import Log
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet

COMPACT_BYTES = 1 << 20
"""A file that has grown by so much since it was last written anew is written anew."""
REMEMBERED = 10_000
"""Settled batches that are remembered, besides those of feeds: a client may ask for so long."""

Ranges: TypeAlias = list[Any]
"""Batch ids as `BatchIdSet.to_json` returns them."""


class LedgerError(StreammacError):
    """The file holds what this version does not know; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A batch now belongs to a worker."""

    source: str
    incarnation: int
    sequence: int
    worker: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A batch of so many points is stored, or given up: it is never sent again."""

    source: str
    incarnation: int
    sequence: int
    points: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """Batches do not belong to a worker any more, though it may hold copies."""

    worker: str
    batch_ids: Ranges


@dataclass(frozen=True, slots=True)
class RevocationConfirmed:
    """The worker holds no copies of these any more."""

    worker: str
    batch_ids: Ranges


@dataclass(frozen=True, slots=True)
class FeedBegun:
    """A feed, and how it is cut into batches: that must not change while it is read, or batch ids would.

    ``feed`` names it within the node, ``identity`` changes when its content does.
    """

    feed: str
    identity: str
    incarnation: int
    batch_points: int
    share: float


@dataclass(frozen=True, slots=True)
class FeedAt:
    """Everything of a feed up to here is settled.

    ``records`` are counted since the feed began, ``dead_lettered`` of them are dead letters, and ``offset`` is
    where it goes on, in the source's own terms.
    """

    feed: str
    records: int
    offset: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Points of settled batches that nothing else speaks of any more."""

    points: int


Record: TypeAlias = Handed | Settled | Revoked | RevocationConfirmed | FeedBegun | FeedAt | Counted
KINDS: tuple[type[Record], ...] = (
    Handed,
    Settled,
    Revoked,
    RevocationConfirmed,
    FeedBegun,
    FeedAt,
    Counted,
)


@dataclass(slots=True)
class FeedProgress:
    """How far a feed is settled."""

    begun: FeedBegun
    at: FeedAt

    @property
    def first_open(self) -> int:
        """The smallest sequence that may be unsettled: a record has two, see `ingest.positions`."""
        return 2 * self.at.records


@dataclass(slots=True)
class State:
    """What the records add up to.

    Attributes
    ----------
    handed : dict
        Unsettled batches, by batch id: the worker that each belongs to.
    settled : Batch ids
        Settled batches of feeds, beyond the feed's position.
    revoked : dict
        By worker, the batches it is still to be told of.
    feeds : dict
        Feeds by name.
    answered : dict
        Points of settled batches that are not of feeds, the newest of them.
    points : int
        Points of all such batches ever.
    """

    handed: dict[BatchId, str] = field(default_factory=dict)
    settled: BatchIdSet = field(default_factory=BatchIdSet)
    revoked: dict[str, BatchIdSet] = field(default_factory=dict)
    feeds: dict[str, FeedProgress] = field(default_factory=dict)
    answered: dict[BatchId, int] = field(default_factory=dict)
    points: int = 0

    def is_settled(self, batch_id: BatchId) -> bool:
        """Return whether a batch needs no sending, as far as that is remembered."""
        return batch_id in self.settled or batch_id in self.answered

    def apply(self, record: Record) -> None:
        """Take a record."""
        match record:
            case Handed():
                batch_id = BatchId(record.source, record.incarnation, record.sequence)
                self.handed[batch_id] = record.worker
            case Settled():
                batch_id = BatchId(record.source, record.incarnation, record.sequence)
                self.handed.pop(batch_id, None)
                if any(f.begun.incarnation == batch_id.incarnation for f in self.feeds.values()):
                    self.settled.add(batch_id)
                else:
                    self.points += record.points
                    self._remember(batch_id, record.points)
            case Revoked():
                batch_ids = BatchIdSet(record.batch_ids)
                self.revoked.setdefault(record.worker, BatchIdSet()).update(batch_ids)
                for batch_id in batch_ids:
                    if self.handed.get(batch_id) == record.worker:
                        del self.handed[batch_id]
            case RevocationConfirmed():
                left = self.revoked.get(record.worker, BatchIdSet())
                for batch_id in BatchIdSet(record.batch_ids):
                    left.discard(batch_id)
                if not left:
                    self.revoked.pop(record.worker, None)
            case FeedBegun():
                former = self.feeds.get(record.feed)
                if former is not None:
                    self._forget(former.begun.incarnation, None)
                self.feeds[record.feed] = FeedProgress(record, FeedAt(record.feed, 0, 0, 0))
            case FeedAt():
                if record.feed in self.feeds:
                    feed = self.feeds[record.feed]
                    feed.at = record
                    self._forget(feed.begun.incarnation, feed.first_open)
            case Counted():
                self.points += record.points

    def _remember(self, batch_id: BatchId, points: int) -> None:
        self.answered[batch_id] = points
        while len(self.answered) > REMEMBERED:
            del self.answered[next(iter(self.answered))]

    def _forget(self, incarnation: int, before: int | None) -> None:
        """Forget the batches of a feed, up to a sequence or all."""

        def old(batch_id: BatchId) -> bool:
            return batch_id.incarnation == incarnation and (
                before is None or batch_id.sequence < before
            )

        for batch_id in [batch_id for batch_id in self.handed if old(batch_id)]:
            del self.handed[batch_id]
        for batch_id in [batch_id for batch_id in self.settled if old(batch_id)]:
            self.settled.discard(batch_id)

    def records(self) -> Iterator[Record]:
        """Yield the fewest records that add up to this."""
        for feed in self.feeds.values():
            yield feed.begun
            yield feed.at
        for batch_id in self.settled:
            yield Settled(batch_id.source, batch_id.incarnation, batch_id.sequence, 0)
        yield Counted(self.points - sum(self.answered.values()))
        for batch_id, points in self.answered.items():
            yield Settled(batch_id.source, batch_id.incarnation, batch_id.sequence, points)
        for worker, batch_ids in self.revoked.items():
            yield Revoked(worker, batch_ids.to_json())
        for batch_id, worker in self.handed.items():
            yield Handed(batch_id.source, batch_id.incarnation, batch_id.sequence, worker)


def pack(record: Record) -> bytes:
    """Return the bytes of a record."""
    body: bytes = msgpack.packb([KINDS.index(type(record)), *astuple(record)])
    return body


def unpack(body: bytes | memoryview) -> Record:
    """Return the record that was packed; raise ValueError, TypeError or IndexError where none was."""
    kind, *values = msgpack.unpackb(body)
    record: Record = KINDS[kind](*values)
    return record


class Ledger:
    """The file. One process has it at a time: whoever holds the name of the sender.

    Parameters
    ----------
    path : Path
        Where it is; made if need be.
    disk : Disk, optional
        The file system, for tests.

    Attributes
    ----------
    state : State
        What all written records add up to.

    Raises
    ------
    Locked
        If another process has it.
    LedgerError
        If it holds records of another version.
    OSError
        If it cannot be read or made.
    """

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock(
            path.with_name(path.name + ".lock"),
            f"{path}: another process of this name runs - use another name",
        )
        self._log = Log(disk or Disk(), path)
        self._pending: list[Record] = []
        self.state = State()
        contents = self._log.read()
        try:
            for body, _ in contents.entries:
                self.state.apply(unpack(body))
        except (ValueError, TypeError, IndexError) as error:
            self._lock.close()
            raise LedgerError(
                f"{path}: holds records this version does not know - use the version that made it"
            ) from error
        self._log.end = self._compacted = contents.end

    def write(self, records: Iterable[Record]) -> None:
        """Write records, after those that could not be written before.

        Raises
        ------
        OSError
            If the disk takes no more. They are kept for the next time; nothing that they speak of may be done
            before.
        """
        self._pending += records
        if not self._pending:
            return
        self._log.append(map(pack, self._pending))
        for record in self._pending:
            self.state.apply(record)
        self._pending.clear()
        if self._log.end - self._compacted > COMPACT_BYTES:
            with contextlib.suppress(OSError):  # a full disk: it stays as long as it is
                self._log.rewrite(map(pack, self.state.records()))
            self._compacted = self._log.end

    def close(self) -> None:
        """Close the file."""
        self._log.close()
        self._lock.close()
