"""One segment of a shard: a file per column with rows of fixed size, and a journal of its batches.

The writer thread appends; readers map the columns and see the rows up to a count they read beforehand.
Coordinates ``z`` are a column of their own: mutable, mapped, derived, and gone when the process is.
"""

from __future__ import annotations

import logging
import mmap
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.files.disk import Disk, File
from streammac.files.log import Log
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet
from streammac.store import journal
from streammac.store.journal import Entry, Record
from streammac.store.points import Column, Schema
from streammac.store.retention import Extent
from streammac.store.withdrawals import Rows

log = logging.getLogger(__name__)


class Segment:
    """A segment on disk.

    Parameters
    ----------
    disk : Disk
        The file system.
    stem : Path
        Path of its files without their suffixes.
    schema : Schema
        Columns.
    capacity : int
        Rows that its files have room for.
    first : int
        Rows that the shard took before its first one. What a reader sees of a shard is then one tuple
        of segments, and never a tuple and a counter that disagree.
    """

    def __init__(
        self, disk: Disk, stem: Path, schema: Schema, capacity: int, first: int = 0
    ) -> None:
        self._disk = disk
        self.stem = stem
        self.schema = schema
        self.capacity = capacity
        self.first = first
        self.rows = 0
        self.sealed = False
        self.newest = 0.0
        self.batch_ids = BatchIdSet()
        self.holes: tuple[tuple[int, int], ...] = ()
        """Withdrawn rows, as disjoint ranges in order. Replaced, never changed: a reader takes it once."""
        self._journal = Log(disk, self.path("journal"))
        self._files: dict[str, File] = {}
        self._maps: dict[str, NDArray[Any]] = {}
        self._z: NDArray[Any] | None = None

    @property
    def paths(self) -> list[Path]:
        """All files it may have; the journal last, so that a removal cut short is seen and finished."""
        names = [column.name for column in self.schema.columns]
        return [self.path(name) for name in (*names, "z", "journal")]

    def path(self, name: str) -> Path:
        """Return the path of a column's file or of the journal."""
        return self.stem.with_name(f"{self.stem.name}.{name}")

    @property
    def extent(self) -> Extent:
        """Size, for the retention rule."""
        row_bytes = sum(column.row_bytes for column in self.schema.columns)
        return Extent(self.live, self.rows * row_bytes + self._journal.end, self.newest)

    @property
    def number(self) -> int:
        """Its number, which no other segment of the shard ever has."""
        return int(self.stem.name)

    @property
    def withdrawn(self) -> int:
        """Rows that were withdrawn."""
        return sum(stop - start for start, stop in self.holes)

    @property
    def live(self) -> int:
        """Rows that count."""
        return self.rows - self.withdrawn

    # -- writing --------------------------------------------------------------------------

    def create(self) -> None:
        """Make the files of a new segment."""
        try:
            self._open_files()
            self._make_room()
        except OSError:
            self.close()
            raise

    def _open_files(self) -> None:
        for column in self.schema.columns:
            self._files[column.name] = self._disk.open(self.path(column.name))
        self._journal.open()

    def _make_room(self) -> None:
        # all at once and never taken back, even by sealing: a reader may map the files at any moment
        for column in self.schema.columns:
            self._files[column.name].truncate(self.capacity * column.row_bytes)

    def append(
        self,
        columns: dict[str, NDArray[Any]],
        batch_id: BatchId,
        arrival: float,
        keys: Sequence[bytes] | None,
        sender: str = "",
    ) -> None:
        """Write a batch: its rows, then its record. It counts once all of that is written.

        Raises
        ------
        OSError
            If the disk takes no more; the segment is as it was before.
        """
        count = len(columns["x"])
        checksums = []
        for column in self.schema.columns:
            data = columns[column.name].reshape(-1).view(np.uint8).data if count else b""
            self._files[column.name].write(self.rows * column.row_bytes, data)
            checksums.append(zlib.crc32(data))
        named = None if keys is None else tuple(keys)
        record = Record(self.rows, count, arrival, batch_id, tuple(checksums), named, sender)
        self._journal.append([record.encode()])
        self._count(record)

    def _count(self, record: Record) -> None:
        self.batch_ids.add(record.batch_id)
        self.newest = max(self.newest, record.arrival)
        self.rows += record.count  # last: now readers see the rows

    def sync(self) -> None:
        """Make everything written so far durable: the rows before the records that vouch for them."""
        if not self._files:
            self._open_files()
        for column in self.schema.columns:
            self._files[column.name].sync()
        self._journal.sync()
        if self.sealed:
            self.close()

    def seal(self) -> None:
        """Write that the segment is complete: whatever its files hold beyond its rows is not data."""
        self._journal.append([journal.seal(self.rows)])
        self.sealed = True

    def close(self) -> None:
        """Close the files; mappings that views hold stay."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._journal.close()

    def withdraw(self, records: Iterable[Record], *, remember: bool) -> None:
        """Leave these batches out from now on; their batch ids stay known if they are to be remembered."""
        holes = sorted([*self.holes, *((r.row, r.row + r.count) for r in records if r.count)])
        merged: list[tuple[int, int]] = []
        for start, stop in holes:
            if merged and merged[-1][1] == start:
                start = merged.pop()[0]
            merged.append((start, stop))
        self.holes = tuple(merged)
        if not remember:
            for record in records:
                self.batch_ids.discard(record.batch_id)

    # -- recovery -------------------------------------------------------------------------

    def recover(self, withdrawn: Mapping[int, bool]) -> Rows:
        """Take up the good records of an existing segment, and forget the rest.

        The rows of a sealed segment are believed (see `intact`); those of the one that was being
        written are checked against their checksums.

        Parameters
        ----------
        withdrawn : mapping
            First rows of batches that were withdrawn; True: the batch id stays known.

        Returns
        -------
        dict
            Those of them that are there.
        """
        entries = self.entries()
        self.sealed = bool(entries) and entries[-1].record is None
        records = [entry.record for entry in entries if entry.record is not None]
        good = len(records) if self.sealed else self.intact(records)
        for record in records[:good]:
            self._count(record)
        gone = [record for record in records[:good] if record.row in withdrawn and record.count]
        self.withdraw(gone, remember=True)
        self.batch_ids = BatchIdSet()
        for record in records[:good]:
            if record.count == 0 or withdrawn.get(record.row, True):
                self.batch_ids.add(record.batch_id)
        entries = entries[: good + self.sealed]
        self._journal.end = entries[-1].end if entries else 0
        return {record.row: withdrawn[record.row] for record in gone}

    def resume(self) -> None:
        """Go on writing where the good records end."""
        left = self.path("journal").stat().st_size - self._journal.end
        if left:
            log.warning("%s: dropped %d bytes that were not written to the end", self.stem, left)
        self._open_files()
        self._make_room()

    def believable(self, *, last: bool) -> bool:
        """Return whether a crash can have left its files so, be it the last one or not."""
        sizes = [
            (path.stat().st_size if (path := self.path(c.name)).exists() else None, c.row_bytes)
            for c in self.schema.columns
        ]
        if self.sealed:
            return all(size is not None and size >= self.rows * row for size, row in sizes)
        # columns come before the journal: a crash cuts them short, it does not take one away
        return last and (all(size is not None for size, _ in sizes) or not self.entries())

    def entries(self) -> list[Entry]:
        """Read the journal, up to what does not verify."""
        return list(journal.entries(self._journal.read()))

    def intact(self, records: Iterable[Record]) -> int:
        """Return how many records there are before the first whose rows do not have its checksums."""
        with ExitStack() as stack:
            try:
                columns = [
                    (stack.enter_context(self.path(c.name).open("rb")), c.row_bytes)
                    for c in self.schema.columns
                ]
            except FileNotFoundError:
                return 0
            good = 0
            for record in records:
                found = []
                for file, row_bytes in columns:
                    file.seek(record.row * row_bytes)
                    found.append(zlib.crc32(file.read(record.count * row_bytes)))
                if tuple(found) != record.checksums:
                    break
                good += 1
            return good

    # -- reading --------------------------------------------------------------------------

    def runs(self) -> list[tuple[int, int]]:
        """Return the ranges of rows that count, in order."""
        rows, holes = self.rows, self.holes
        bounds = [0, *(bound for hole in holes for bound in hole), rows]
        return [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if a < b]

    def records(self) -> list[Record]:
        """Return the records of the batches that count, in order."""
        gone = self.holes
        found = [entry.record for entry in self.entries() if entry.record is not None]
        return [r for r in found if not any(start <= r.row < stop for start, stop in gone)]

    def column(self, column: Column) -> NDArray[Any]:
        """Return a mapping of a column, of at least as many rows as are written."""
        if column.name not in self._maps:
            rows = self.rows if self.sealed else self.capacity
            self._maps[column.name] = np.memmap(
                self.path(column.name), column.dtype, "r", shape=(rows, *column.shape)
            ).view(np.ndarray)
        return self._maps[column.name]

    def z(self, column: Column) -> NDArray[Any]:
        """Return the coordinates' column, writable; zeros at first. For the reader thread alone."""
        if self._z is None:
            rows = self.rows if self.sealed else self.capacity
            size = max(1, rows * column.row_bytes)
            try:
                memory = self._disk.scratch(self.path("z"), size)
            except OSError as error:
                # a full disk stops no training: of one segment, in memory they fit
                log.warning("%s: coordinates are kept in memory: %s", self.stem, error)
                memory = mmap.mmap(-1, size)
            count = rows * int(np.prod(column.shape, dtype=np.int64))
            self._z = np.frombuffer(memory, column.dtype, count).reshape(rows, *column.shape)
        return self._z

    def remove(self) -> None:
        """Delete the files; views that map them stay readable."""
        self.close()
        self._disk.remove(self.paths)
