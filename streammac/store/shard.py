"""A worker's shard: segments of points on disk, safe against crashes, with retention and deduplication.

One thread writes (`append`, `commit`, `enforce_retention`), one reads (`view`, and the views). The reader takes no
lock: a view fixes the number of rows when it is taken, and rows that are written never change.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streammac.store.dedup import Marks
from streammac.store.disk import Disk
from streammac.store.errors import ShardLocked, StoreError
from streammac.store.points import Mark, Points, Schema
from streammac.store.retention import Retention
from streammac.store.segment import Segment
from streammac.store.view import ShardView

log = logging.getLogger(__name__)

BUFFER_BYTES = 4 << 20
"""With ``memory`` acknowledgements, so much may wait in user space."""


class Outcome(Enum):
    """What `Shard.append` did with a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"


class Shard:
    """An open shard; see `open`.

    Attributes
    ----------
    quarantined : list of str
        Segments that were found corrupt when the shard was opened, and set aside.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        ack: Literal["memory", "file", "fsync"],
        segment_bytes: int,
        retention: Retention,
        disk: Disk,
    ) -> None:
        self.path = path
        self.schema = schema
        self.ack = ack
        self.retention = retention
        self.quarantined: list[str] = []
        self.expired = 0
        """Points dropped by retention since the shard exists."""
        self._disk = disk
        self._segment_rows = max(1, segment_bytes // schema.columns[0].row_bytes)
        self._segments: tuple[Segment, ...] = ()
        self._next = 1
        self._marks = Marks()
        self._buffer: list[tuple[dict[str, NDArray[Any]], Mark, float, Any]] = []
        self._buffered = 0
        self._dirty: list[Segment] = []
        self._coordinates: tuple[tuple[int, ...], np.dtype[Any]] = ((1,), np.dtype(np.uint8))

    @classmethod
    def open(
        cls,
        path: Path,
        schema: Schema,
        *,
        ack: Literal["memory", "file", "fsync"] = "file",
        segment_bytes: int = 64 << 20,
        retention: Retention | None = None,
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
        disk : Disk, optional
            The file system, for tests.

        Raises
        ------
        StoreError
            If the directory holds a shard of another schema.
        ShardLocked
            If another process has it open.
        """
        shard = cls(path, schema, ack, segment_bytes, retention or Retention(), disk or Disk())
        path.mkdir(parents=True, exist_ok=True)
        shard._lock()
        try:
            shard._check_schema()
            shard._recover()
        except BaseException:
            shard._unlock()
            raise
        return shard

    # -- opening --------------------------------------------------------------------------

    def _lock(self) -> None:
        self._lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_fd)
            raise ShardLocked(f"{self.path}: another process has this shard open") from error

    def _unlock(self) -> None:
        os.close(self._lock_fd)

    def _check_schema(self) -> None:
        path = self.path / "schema.json"
        if not path.exists():
            self._disk.replace(path, json.dumps(self.schema.to_json()).encode())
            return
        found = Schema.from_json(json.loads(path.read_text()))
        if found != self.schema:
            raise StoreError(
                f"{self.path}: holds points of {found.dtype}[{found.dim}], the stream has "
                f"{self.schema.dtype}[{self.schema.dim}] - use another directory for another stream"
            )

    def _recover(self) -> None:
        checkpoint = self.path / "checkpoint.json"
        first = 1
        if checkpoint.exists():
            value = json.loads(checkpoint.read_text())
            first, self.expired = value["first_segment"], value["expired"]
            self._marks = Marks(value["marks"])
        self._next = first
        segments: list[Segment] = []
        numbers = sorted(int(p.stem) for p in self.path.glob("*.journal"))
        for number in numbers:
            segment = self._segment(number, self._segment_rows)
            self._next = max(self._next, number + 1)
            if number < first:
                segment.remove()  # dropped by retention just before a crash
                continue
            size = segment.path("x").stat().st_size if segment.path("x").exists() else 0
            segment.capacity = max(self._segment_rows, size // self.schema.columns[0].row_bytes)
            records = segment.recover()
            for record in records:
                self._marks.add(record.mark)
            last = number == numbers[-1]
            if not (segment.whole() if segment.sealed else last):
                self._quarantine(segment)
            else:
                segments.append(segment)
        if segments and not segments[-1].sealed and segments[-1].rows == 0:
            segments.pop().remove()
        self._segments = tuple(segments)

    def _quarantine(self, segment: Segment) -> None:
        aside = self.path / "quarantine"
        aside.mkdir(exist_ok=True)
        segment.close()
        for path in segment.paths:
            if path.exists():
                path.rename(aside / path.name)
        self.quarantined.append(segment.stem.name)
        log.error("%s: segment %s is corrupt and was set aside", self.path, segment.stem.name)

    def _segment(self, number: int, capacity: int) -> Segment:
        return Segment(self._disk, self.path / f"{number:08d}", self.schema, capacity)

    # -- writing --------------------------------------------------------------------------

    def append(self, points: Points, mark: Mark, now: float) -> Outcome:
        """Add a batch, unless one of this mark is there already.

        Parameters
        ----------
        points : Points
            The batch.
        mark : Mark
            Its name.
        now : float
            Time of arrival, seconds since 1970.

        Raises
        ------
        StoreError
            If the points do not fit the schema.
        OSError
            If the disk takes no more. Nothing of the batch is kept; the shard stays usable.
        """
        if mark in self._marks:
            return Outcome.DUPLICATE
        columns = self.schema.check(points)
        if self.ack == "memory":
            if self._buffered > BUFFER_BYTES:
                self._flush()
            self._buffer.append((columns, mark, now, points.keys))
            self._buffered += columns["x"].nbytes
        else:
            self._write(columns, mark, now, points.keys)
        self._marks.add(mark)
        return Outcome.STORED

    def _write(self, columns: dict[str, NDArray[Any]], mark: Mark, now: float, keys: Any) -> None:
        segment = self._room_for(len(columns["x"]))
        segment.append(columns, mark, now, keys)
        if self.ack == "fsync" and segment not in self._dirty:
            self._dirty.append(segment)

    def _room_for(self, count: int) -> Segment:
        """Return the segment that the next rows go to; one batch is never split over two."""
        if self._segments:
            last = self._segments[-1]
            if not last.sealed and last.rows + count <= last.capacity:
                return last
            if not last.sealed:
                last.seal(durable=self.ack == "fsync")
                self._dirty = [s for s in self._dirty if s is not last]
        segment = self._segment(self._next, max(count, self._segment_rows))
        segment.create()
        self._next += 1
        self._segments = (*self._segments, segment)
        if self.ack == "fsync":
            self._disk.sync_directory(self.path)
        return segment

    def _flush(self) -> None:
        while self._buffer:
            self._write(*self._buffer[0])
            self._buffered -= self._buffer.pop(0)[0]["x"].nbytes

    def commit(self) -> None:
        """Make good what the ack mode promises for everything appended so far.

        With ``fsync`` this is where batches reach the disk: append several, then commit once.
        """
        for segment in self._dirty:
            segment.sync()
        self._dirty.clear()

    def enforce_retention(self, now: float) -> int:
        """Drop the oldest segments that are beyond the limits; return how many points that were."""
        self._flush()
        surplus = self.retention.surplus([s.extent for s in self._segments], now)
        if surplus == 0:
            return 0
        dropped, kept = self._segments[:surplus], self._segments[surplus:]
        points = sum(segment.rows for segment in dropped)
        # the marks must outlive the segments, or a batch sent again would be taken for a new one
        checkpoint = {
            "first_segment": int(kept[0].stem.name),
            "expired": self.expired + points,
            "marks": self._marks.to_json(),
        }
        self._disk.replace(self.path / "checkpoint.json", json.dumps(checkpoint).encode())
        self._segments = kept
        self.expired += points
        for segment in dropped:
            segment.remove()
        return points

    def close(self) -> None:
        """Write what is buffered, and release the directory."""
        self._flush()
        self.commit()
        for segment in self._segments:
            segment.close()
        self._unlock()

    # -- reading --------------------------------------------------------------------------

    @property
    def points(self) -> int:
        """Points that it holds."""
        buffered = sum(len(columns["x"]) for columns, *_ in self._buffer)
        return sum(segment.rows for segment in self._segments) + buffered

    @property
    def bytes(self) -> int:
        """Bytes of its points on disk."""
        return sum(segment.extent.bytes for segment in self._segments)

    @property
    def appended(self) -> int:
        """Points ever stored: those it holds and those that expired."""
        return self.points + self.expired

    def coordinates(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Say what the coordinates of one point look like, before the first view uses them."""
        self._coordinates = (shape, np.dtype(dtype))

    def view(self) -> ShardView:
        """Return a snapshot of the points that are written now."""
        segments = self._segments  # one read: the writer replaces the tuple, never changes it
        first = self.expired
        x_column, *others = self.schema.columns
        counts = [segment.rows for segment in segments]
        parts = [(s, n) for s, n in zip(segments, counts, strict=True) if n]
        y = next((column for column in others if column.name == "y"), None)
        return ShardView(
            first,
            self.schema.dim,
            [s.column(x_column)[:n] for s, n in parts],
            [s.column(y)[:n] for s, n in parts] if y is not None else None,
            [partial(s.z, *self._coordinates) for s, _ in parts],
        )

    def verify(self) -> list[str]:
        """Check every row of every segment; return the names of the segments that fail."""
        bad = []
        for segment in self._segments:
            check = self._segment(int(segment.stem.name), segment.capacity)
            records = [e.record for e in _entries(check) if e.record is not None]
            if sum(r.count for r in records) != segment.rows or not all(
                map(check.vouches, records)
            ):
                bad.append(segment.stem.name)
        return bad


def _entries(segment: Segment) -> list[Any]:
    from streammac.store.journal import read

    return list(read(segment.path("journal").read_bytes()))
