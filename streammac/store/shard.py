"""A worker's shard: segments of points on disk, safe against crashes, with retention and deduplication.

One thread writes (`append`, `commit`, `enforce_retention`), one reads (`view`, and the views). The reader takes no
lock: a view fixes the number of rows when it is taken, and rows that are written never change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streammac.files.disk import Disk
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet
from streammac.points.block import PointBlock
from streammac.store.buffer import Batch, Buffer
from streammac.store.directory import Checkpoint, ShardDirectory
from streammac.store.errors import ShardUnusable, StoreError
from streammac.store.index import Index
from streammac.store.journal import Opening, Record
from streammac.store.points import Arrival, Column, Schema, check_batch_id
from streammac.store.recovery import damaged, mend, quarantined, recover
from streammac.store.retention import Retention
from streammac.store.scrub import Scrub
from streammac.store.segment import Segment
from streammac.store.view import ShardView, view_of
from streammac.store.withdrawals import Place

TOGETHER_BYTES = 256 << 10
"""Batches are written together up to here: beyond, a write costs more than what is done for it."""


class Outcome(Enum):
    """What `Shard.append` did with a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"


class Shard:
    """An open shard; see `open`.

    Attributes
    ----------
    damage : list of str
        What was found damaged since the shard was opened, in words. Damaged batches are counted, and their
        batch ids are forgotten: what is sent again is stored.
    """

    def __init__(
        self,
        directory: ShardDirectory,
        schema: Schema,
        ack: Literal["memory", "file", "fsync"],
        segment_bytes: int,
        retention: Retention,
    ) -> None:
        self.schema = schema
        self.ack = ack
        self.retention = retention
        self.damage: list[str] = []
        self._directory = directory
        self._segment_rows = max(1, segment_bytes // schema.columns[0].row_bytes)
        self._segments: tuple[Segment, ...] = ()
        self._next = 1
        self._index = Index()
        self._batch_ids = BatchIdSet()
        self._buffer = Buffer()
        self._dirty: list[Segment] = []
        self._coordinates: Column | None = None
        self._scrub = Scrub()
        self._unusable = ""

    @classmethod
    def open(
        cls,
        path: Path,
        schema: Schema,
        *,
        ack: Literal["memory", "file", "fsync"] = "file",
        segment_bytes: int = 64 << 20,
        retention: Retention | None = None,
        owner: str = "",
        disk: Disk | None = None,
    ) -> Shard:
        """Open a shard, make it if need be, and recover every acknowledged batch.

        Parameters
        ----------
        path : Path
            Its directory.
        schema : Schema
            What its points look like.
        ack : {"memory", "file", "fsync"}
            What `append` (for ``fsync``: `commit`) guarantees when it returns: the batch is in this
            process's memory, has been handed to the kernel (survives a killed process), is on
            the disk (survives power loss).
        segment_bytes : int
            Size of a segment's x.
        retention : Retention, optional
            What to keep.
        owner : str
            Whose it is; another one's shard is refused.
        disk : Disk, optional
            The file system, for tests.

        Raises
        ------
        StoreError
            If the directory holds a shard of another schema or owner, or what describes it is damaged.
        Locked
            If another process has it open.
        """
        directory = ShardDirectory(disk or Disk(), path, schema, owner)
        shard = cls(directory, schema, ack, segment_bytes, retention or Retention())
        try:
            shard._recover()
        except BaseException:
            shard._release()
            raise
        return shard

    def _recover(self) -> None:
        found = recover(self._directory, self.schema, self._segment_rows)
        self._next, self.damage = found.next, found.damage
        self._segments = tuple(found.segments)
        for known in (self._checkpoint.batch_ids, *(s.batch_ids for s in self._segments)):
            self._batch_ids.update(known)
        if self.ack == "fsync":
            # a former process may have left batches with the kernel alone, and they count as stored now
            for segment in self._segments:
                segment.sync()
            self._directory.sync()
        self._directory.keep_reserve()

    def _release(self) -> None:
        for segment in self._segments:
            segment.close()
        self._directory.close()

    @property
    def path(self) -> Path:
        """Its directory."""
        return self._directory.path

    @property
    def _checkpoint(self) -> Checkpoint:
        return self._directory.checkpoint

    # -- writing --------------------------------------------------------------------------

    def append(
        self,
        points: PointBlock,
        batch_id: BatchId,
        now: float,
        sender: str = "",
        *,
        moved: bool = False,
    ) -> Outcome:
        """Add a batch, unless one of this id is there already; see `append_all` and `Arrival`.

        Raises
        ------
        StoreError
            If the points do not fit the schema, or the batch id the journal.
        ShardUnusable
            If the shard is closed or has failed.
        OSError
            If the disk takes no more. Nothing of the batch is kept; the shard stays usable.
        """
        (outcome,) = self.append_all([Arrival(points, batch_id, sender, moved)], now)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def append_all(
        self, arrivals: Sequence[Arrival], now: float
    ) -> list[Outcome | OSError | StoreError]:
        """Add batches, each unless one of its id is there already; small ones are written together.

        Parameters
        ----------
        arrivals : sequence of Arrival
            The batches.
        now : float
            Time of arrival, seconds since 1970.

        Returns
        -------
        list
            What became of each, or why nothing of it is kept; see `append`. Where the disk takes no more, all
            from there on are refused.

        Raises
        ------
        ShardUnusable
            If the shard is closed or has failed.
        """
        self._check_usable()
        outcomes: list[Outcome | OSError | StoreError] = []
        waiting: dict[int, Batch] = {}
        for position, arrival in enumerate(arrivals):
            if arrival.moved:
                self._write_all(waiting, outcomes)  # a copy of it may be among them
            try:
                batch = self._admit(arrival, now)
            except (OSError, StoreError) as error:
                outcomes.append(error)
                continue
            outcomes.append(Outcome.DUPLICATE if batch is None else Outcome.STORED)
            if batch is not None:
                waiting[position] = batch
        self._write_all(waiting, outcomes)
        lost = {
            arrival.batch_id: outcome
            for arrival, outcome in zip(arrivals, outcomes, strict=True)
            if isinstance(outcome, OSError)
        }
        if lost:  # what came twice is not there either
            outcomes = [
                lost.get(arrival.batch_id, outcome) if outcome is Outcome.DUPLICATE else outcome
                for arrival, outcome in zip(arrivals, outcomes, strict=True)
            ]
        return outcomes

    def _admit(self, arrival: Arrival, now: float) -> Batch | None:
        """Return a batch as it is written, None for a duplicate; its id is known from now on."""
        points, batch_id, sender, moved = arrival
        check_batch_id(batch_id)
        sender = "" if sender == batch_id.source else sender
        left_behind = None
        if batch_id in self._batch_ids:
            left_behind = self._find(batch_id) if moved else None
            if not moved or (left_behind is not None and left_behind[1].sender == sender):
                return None
        columns = self.schema.check(points)
        if left_behind is not None:
            self.withdraw([batch_id], remember=False)
        self._batch_ids.add(batch_id)
        return Batch(columns, batch_id, now, points.keys or None, sender)

    def _write_all(
        self, waiting: dict[int, Batch], outcomes: list[Outcome | OSError | StoreError]
    ) -> None:
        """Write batches as safely as the ack mode says without a sync; none is left to wait."""
        try:
            while waiting:
                if self.ack == "memory":
                    if self._buffer.full:
                        self._flush()
                    position = next(iter(waiting))
                    self._buffer.put(waiting[position])
                    del waiting[position]
                else:
                    for position in self._write(waiting):
                        del waiting[position]
        except OSError as error:
            for position, batch in waiting.items():
                outcomes[position] = error
                self._batch_ids.discard(batch.batch_id)
            waiting.clear()

    def _flush(self) -> None:
        self._buffer.write(lambda batch: self._write({0: batch}))

    def _write(self, waiting: Mapping[int, Batch]) -> list[int]:
        """Write the first of the batches, and what is small and fits behind it; return which these are."""
        positions = iter(waiting)
        written = [next(positions)]
        first = waiting[written[0]]
        rows, size = len(first.columns["x"]), first.bytes
        segment = self._room_for(rows)
        for position in positions:
            batch = waiting[position]
            rows, size = rows + len(batch.columns["x"]), size + batch.bytes
            if size > TOGETHER_BYTES or segment.rows + rows > segment.capacity:
                break
            written.append(position)
        # of a batch that is not synced yet power loss may take anything, and nobody was promised it
        promised = segment.synced if self.ack == "fsync" else segment.rows
        segment.append([waiting[position] for position in written], promised=promised)
        if self.ack == "fsync" and segment not in self._dirty:
            self._dirty.append(segment)
        return written

    def _room_for(self, count: int) -> Segment:
        """Return the segment that the next rows go to; one batch is never split over two."""
        if self._segments:
            last = self._segments[-1]
            if not last.sealed and last.rows + count <= last.capacity:
                return last
            if not last.sealed:
                self._seal(last)
        capacity = max(count, self._segment_rows)
        stem = self.path / f"{self._next:08d}"
        opening = Opening(self._directory.identity, self._end)
        segment = Segment(self._directory.disk, stem, self.schema, capacity, opening)
        segment.create()
        if self.ack == "fsync":
            with self._fatal_if_it_fails():
                segment.sync()  # rows without a journal are damage
                self._directory.sync()
        self._next += 1
        self._segments = (*self._segments, segment)
        return segment

    def _seal(self, segment: Segment) -> None:
        if self.ack == "fsync":
            with self._fatal_if_it_fails():
                segment.sync()  # the seal vouches for every row
        segment.seal()
        if self.ack == "fsync":
            with self._fatal_if_it_fails():
                segment.sync()
            self._dirty = [s for s in self._dirty if s is not segment]
        segment.close()

    def commit(self) -> None:
        """Make good what the ack mode promises for everything appended so far.

        With ``fsync`` this is where batches reach the disk: append several, then commit once. The other
        modes have promised nothing that is left to do.

        Raises
        ------
        OSError
            If the disk fails. Which batches it kept is then unknown, so the shard takes no more until it is
            opened again.
        """
        self._check_usable()
        with self._fatal_if_it_fails():
            for segment in self._dirty:
                segment.sync()
        self._dirty.clear()

    @contextmanager
    def _fatal_if_it_fails(self) -> Iterator[None]:
        # after a failed fsync the kernel may drop the pages, and the next fsync succeeds for nothing
        try:
            yield
        except OSError as error:
            self._unusable = f"the disk failed to keep what it had taken ({error})"
            raise

    def _check_usable(self) -> None:
        if self._unusable:
            raise ShardUnusable(f"{self.path}: {self._unusable} - open the shard again")

    @property
    def newest(self) -> float | None:
        """Time of arrival of the newest point; None: there are none."""
        return max((segment.newest for segment in self._segments if segment.rows), default=None)

    def enforce_retention(self, now: float) -> int:
        """Drop the oldest segments that are beyond the limits; return how many points that were.

        Raises
        ------
        OSError
            If the disk fails; nothing is dropped then.
        """
        self._check_usable()
        self._flush()
        surplus = self.retention.surplus([s.extent for s in self._segments], now)
        empty = 0  # segments of which everything was withdrawn go, too, whatever the limits
        while empty < len(self._segments) - 1 and self._segments[empty].live == 0:
            empty += 1
        surplus = max(surplus, empty)
        return self._let_go(surplus, expired=True)

    def drop(self) -> int:
        """Give up all points; return how many that were. Their batch ids stay known: what comes again is a duplicate.

        Raises
        ------
        OSError
            If the disk fails; nothing is dropped then.
        """
        self._check_usable()
        self._flush()
        return self._let_go(len(self._segments), expired=False)

    def _let_go(self, count: int, *, expired: bool) -> int:
        """Remove so many of the oldest segments; return how many points they held."""
        if count == 0:
            return 0
        gone, kept = self._segments[:count], self._segments[count:]
        points = sum(segment.live for segment in gone)
        # the batch ids must outlive the segments, or a batch sent again would be taken for a new one
        batch_ids = BatchIdSet()
        for known in (self._checkpoint.batch_ids, *(segment.batch_ids for segment in gone)):
            batch_ids.update(known)
        checkpoint = Checkpoint(
            int(kept[0].stem.name) if kept else self._next,
            self.expired + points * expired,
            batch_ids,
            self._checkpoint.withdrawn + sum(segment.withdrawn for segment in gone),
            self.dropped + points * (not expired),
            self._checkpoint.damaged + sum(segment.damaged(self._batch_ids) for segment in gone),
            kept[0].first if kept else self._end,
        )
        self._directory.save(checkpoint)
        self._segments = kept
        self._dirty = [segment for segment in self._dirty if segment in kept]
        for segment in gone:
            segment.remove()
        with contextlib.suppress(OSError):  # what it says of segments that are gone does no harm
            numbers = {segment.number for segment in kept}
            rows = self._directory.withdrawals.rows
            self._directory.withdrawals.keep({n: rows[n] for n in rows.keys() & numbers})
        self._directory.keep_reserve()
        return points

    def withdraw(
        self, batch_ids: Iterable[BatchId], *, remember: bool, sender: str | None = None
    ) -> int:
        """Take batches out again, because they live in another shard; return how many points that were.

        Those that are damaged here are so no more. They leave the counts and the views that are taken from now
        on. All of them are gone, as safely as the ack mode says, when this returns; after a kill in between,
        either all are or none is.

        Parameters
        ----------
        batch_ids : iterable of BatchId
            Their batch ids; one that is not here is passed over.
        remember : bool
            Whether the batch ids stay known: a batch that comes again is then a duplicate, and is not
            stored. Otherwise it is as if it had never been here.
        sender : str, optional
            Only batches that this one brought: another one may have brought a batch that was revoked long
            before, and it lives here now.

        Raises
        ------
        OSError
            If the disk takes no more. Nothing is withdrawn then.
        """
        self._check_usable()
        self._flush()
        asked = set(batch_ids)
        wanted = {batch_id for batch_id in asked if batch_id in self._batch_ids}
        found = list(self._index.search(self._segments, wanted, sender))
        lost = [(segment, segment.find_lost(asked, sender)) for segment in self._segments]
        places = [
            Place(s.number, r.row, remember, r.count) for s, records in found for r in records
        ]
        places += [
            Place(s.number, one.row, remember, one.count) for s, losses in lost for one in losses
        ]
        if not places:
            return 0
        if self.ack == "fsync":
            self.commit()  # or power loss could take the batch and leave what speaks of its rows
            with self._fatal_if_it_fails():
                self._directory.withdrawals.add(places, sync=True)
        else:
            self._directory.withdrawals.add(places, sync=False)
        for segment, losses in lost:
            segment.forgive(losses)
        for segment, records in found:
            segment.withdraw(records, remember=remember)
            self._index.forget(segment, records)
            if not remember:
                for record in records:
                    self._batch_ids.discard(record.batch_id)
        return sum(record.count for _, records in found for record in records)

    def close(self) -> None:
        """Write what is buffered, and release the directory, also where the writing fails."""
        if not self._directory.is_open:
            return
        try:
            if not self._unusable:
                self._flush()
                self.commit()
        finally:
            self._unusable = "it is closed"
            self._release()

    # -- reading --------------------------------------------------------------------------

    @property
    def _end(self) -> int:
        """Number of the next row."""
        last = self._segments[-1] if self._segments else None
        return last.first + last.rows if last is not None else self.first

    @property
    def end(self) -> int:
        """Number that the row of the next point has, written or not; for the writer thread."""
        return self._end + self._buffer.points

    @property
    def points(self) -> int:
        """Points that it holds."""
        return sum(segment.live for segment in self._segments) + self._buffer.points

    @property
    def bytes(self) -> int:
        """Bytes of its points on disk."""
        return sum(segment.extent.bytes for segment in self._segments)

    @property
    def expired(self) -> int:
        """Points dropped by retention since the shard exists."""
        return self._checkpoint.expired

    @property
    def withdrawn(self) -> int:
        """Points that were taken out again since the shard exists: they live elsewhere."""
        return self._checkpoint.withdrawn + sum(segment.withdrawn for segment in self._segments)

    @property
    def dropped(self) -> int:
        """Points that were given up since the shard exists."""
        return self._checkpoint.dropped

    @property
    def damaged(self) -> int:
        """Points that were damaged since the shard exists, and that nobody has sent again."""
        here = sum(segment.damaged(self._batch_ids) for segment in self._segments)
        return self._checkpoint.damaged + here

    @property
    def quarantined(self) -> int:
        """Copies of damaged files that are set aside in its directory."""
        return quarantined(self.path)

    @property
    def first(self) -> int:
        """Number of the first row of its oldest segment, counted from the first it ever took."""
        return self._checkpoint.rows

    @property
    def appended(self) -> int:
        """Points ever stored: those it holds, those that expired, were withdrawn, given up or damaged."""
        return self.points + self.expired + self.withdrawn + self.dropped + self.damaged

    def coordinates(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Say what the coordinates of one point look like, before the first view uses them.

        Raises
        ------
        StoreError
            If that was said before, and was something else.
        """
        column = Column("z", np.dtype(dtype), tuple(shape))
        if self._coordinates not in (None, column):
            raise StoreError(
                f"coordinates: already {self._coordinates}, got {column} - open the shard again"
            )
        self._coordinates = column

    def view(self) -> ShardView:
        """Return a snapshot of the points that are written now."""
        while True:
            segments = self._segments  # one read: the writer replaces the tuple, never changes it
            try:
                return view_of(segments, self.first, self.schema, self._coordinates)
            except FileNotFoundError:
                if segments is self._segments:
                    raise
                # retention has dropped one before it was mapped: what is here now has the newer points

    def batches(self) -> Iterator[tuple[BatchId, str]]:
        """Yield the batches with points that it holds, and who brought each; the oldest first; for the writer thread.

        Raises
        ------
        OSError
            If the disk fails.
        """
        self._check_usable()
        self._flush()
        for segment in self._segments:
            for record in segment.records():  # none, if it has expired
                if record.count:
                    yield record.batch_id, record.sender or record.batch_id.source

    def batch(self, batch_id: BatchId) -> PointBlock | None:
        """Return the points of a batch, None if it does not hold any; for the writer thread.

        Raises
        ------
        OSError
            If the disk fails.
        """
        self._check_usable()
        found = self._find(batch_id)
        if found is None:
            return None
        segment, record = found
        rows = slice(record.row, record.row + record.count)
        part = {c.name: np.array(segment.column(c)[rows]) for c in self.schema.columns}
        return PointBlock.of(part, record.keys or ())

    def _find(self, batch_id: BatchId) -> tuple[Segment, Record] | None:
        """Return where a batch with points is, if it is here."""
        self._flush()
        return self._index.find(self._segments, batch_id) if batch_id in self._batch_ids else None

    # -- damage ---------------------------------------------------------------------------

    def scrub(self, budget: int) -> bool:
        """Read so many bytes again, and take note of what is not as it was written; return whether the pass goes on.

        Raises
        ------
        OSError
            If the disk fails.
        """
        self._check_usable()
        bad, more = self._scrub.step(self._segments, budget)
        for segment in bad:
            self._note_damage(segment)
        return more

    def _note_damage(self, segment: Segment) -> None:
        stock = segment.stock(promised=segment.rows)
        withdrawn = self._directory.withdrawals.rows.get(segment.number, {})
        known = segment.lost
        segment.adopt(stock, withdrawn)
        for lost in segment.lost:
            if lost.batch_id is not None and lost not in known:
                self._batch_ids.discard(lost.batch_id)
        self._index = Index()
        mend(self.path, segment, stock)
        self.damage.append(damaged(segment))

    def verify(self) -> list[str]:
        """Read every row of every segment; return the names of the segments that are not as written."""
        found = ((segment, segment.stock(promised=segment.rows)) for segment in self._segments)
        return [segment.stem.name for segment, stock in found if stock.news]
