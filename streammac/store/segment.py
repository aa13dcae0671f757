"""One segment of a shard: a file per column with rows of fixed size, and a journal of its batches.

The writer thread appends; readers map the columns and see the rows up to a count they read beforehand.
Coordinates ``z`` are a column of their own: mutable, mapped, derived, and gone when the process is.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from streammac.files.disk import Disk, File
from streammac.files.log import Log
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet
from streammac.store.buffer import Batch
from streammac.store.journal import Lost, Opening, Placed, Record, Seal, entries
from streammac.store.points import Column, Schema
from streammac.store.retention import Extent
from streammac.store.stock import Stock, columns, take_stock
from streammac.store.withdrawals import Rows, Withdrawn

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
    opening : Opening
        Whose it is, and how many rows the shard took before its first one. What a reader sees of a shard is
        then one tuple of segments, and never a tuple and a counter that disagree.

    Attributes
    ----------
    holes : tuple of (int, int)
        Rows that do not count, withdrawn or lost, as disjoint ranges in order. Replaced, never changed: a
        reader takes it once.
    lost : list of Lost
        What was damaged, and lives nowhere else.
    synced : int
        So many rows are on the disk.
    """

    def __init__(
        self, disk: Disk, stem: Path, schema: Schema, capacity: int, opening: Opening
    ) -> None:
        self._disk = disk
        self.stem = stem
        self.schema = schema
        self.capacity = capacity
        self.opening = opening
        self.rows = self.synced = 0
        self.sealed = False
        self.newest = 0.0
        self.batch_ids = BatchIdSet()
        self.holes: tuple[tuple[int, int], ...] = ()
        self.lost: list[Lost] = []
        self._journal = Log(disk, self.path("journal"))
        self._files: dict[str, File] = {}
        self._maps: dict[str, NDArray[Any]] = {}

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
    def first(self) -> int:
        """Rows that the shard took before its first one."""
        return self.opening.first

    @property
    def live(self) -> int:
        """Rows that count."""
        return self.rows - sum(stop - start for start, stop in self.holes)

    @property
    def withdrawn(self) -> int:
        """Rows that were withdrawn."""
        return self.rows - self.live - sum(lost.count for lost in self.lost)

    def damaged(self, known: BatchIdSet) -> int:
        """Return how many rows are lost; those of batches that are ``known`` were stored again."""
        return sum(
            lost.count for lost in self.lost if lost.batch_id is None or lost.batch_id not in known
        )

    # -- writing --------------------------------------------------------------------------

    def create(self) -> None:
        """Make the files of a new segment."""
        try:
            self._open_files()
            self._make_room()
            self._journal.append([self.opening.encode()])
        except OSError:
            self.close()
            raise

    def _open_files(self) -> None:
        for column in self.schema.columns:
            if column.name not in self._files:
                self._files[column.name] = self._disk.open(self.path(column.name))
        self._journal.open()

    def _make_room(self) -> None:
        # all at once and never taken back, even by sealing: a reader may map the files at any moment
        for column in self.schema.columns:
            self._files[column.name].truncate(max(self.capacity, self.rows) * column.row_bytes)

    def append(self, batches: Sequence[Batch], *, promised: int = 0) -> None:
        """Write batches: their rows, then their records. They count once all of that is written.

        ``promised`` rows are as safe by now as the ack mode says.

        Raises
        ------
        OSError
            If the disk takes no more; the segment is as it was before.
        """
        checksums = []
        for column in self.schema.columns:
            parts = [_bytes(batch.columns[column.name]) for batch in batches]
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._files[column.name].write(self.rows * column.row_bytes, data)
            checksums.append([crc32(part) for part in parts])
        records, row = [], self.rows
        for batch, sums in zip(batches, zip(*checksums, strict=True), strict=True):
            keys = None if batch.keys is None else tuple(batch.keys)
            named = (len(batch.columns["x"]), batch.arrival, batch.batch_id)
            records.append(Record(row, *named, sums, keys, batch.sender, promised))
            row += records[-1].count
        self._journal.append([record.encode() for record in records])
        for record in records:
            self.batch_ids.add(record.batch_id)
            self.newest = max(self.newest, record.arrival)
        self.rows = row  # last: now readers see the rows

    def sync(self) -> None:
        """Make everything written so far durable: the rows before the records that vouch for them."""
        if not self._files:
            self._open_files()
        for column in self.schema.columns:
            self._files[column.name].sync()
        self._journal.sync()
        self.synced = self.rows
        if self.sealed:
            self.close()

    def seal(self) -> None:
        """Write that the segment is complete: whatever its files hold beyond its rows is not data."""
        self._journal.append([Seal(self.rows).encode()])
        self.sealed = True

    def close(self) -> None:
        """Close the files; mappings that views hold stay."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._journal.close()

    def withdraw(self, records: Collection[Record], *, remember: bool) -> None:
        """Leave these batches out from now on; their batch ids stay known if they are to be remembered."""
        self.holes = _merged((*self.holes, *((r.row, r.row + r.count) for r in records)))
        if not remember:
            for record in records:
                self.batch_ids.discard(record.batch_id)

    def find_lost(self, batch_ids: Collection[BatchId], sender: str | None) -> list[Lost]:
        """Return what is lost of these batches; see `Index.search`."""
        return [
            one
            for one in self.lost
            if one.batch_id is not None
            and one.batch_id in batch_ids
            and sender in (None, one.sender or one.batch_id.source)
        ]

    def forgive(self, lost: Collection[Lost]) -> None:
        """Take notice that what is lost here lives elsewhere."""
        self.lost = [one for one in self.lost if one not in lost]

    # -- recovery -------------------------------------------------------------------------

    def stock(self, *, verify: bool = True, promised: int = 0) -> Stock:
        """Return what its files hold; see `take_stock`.

        The rows of a sealed segment are believed without ``verify``; those of one that was being written are
        looked at.
        """
        contents = self._journal.read()
        found = list(entries(contents))
        sealed = any(isinstance(placed.entry, Seal) for placed in found)
        paths = [(self.path(column.name), column.row_bytes) for column in self.schema.columns]
        if not all(path.exists() for path, _ in paths):
            # columns are made before the journal: a crash cuts them short, it does not take one away
            counts = (e.count for e, *_ in found if isinstance(e, Record | Lost))
            promised = max(promised, sum(counts))
        with columns(paths, verify=verify or not sealed) as whole:
            return take_stock(contents, found, whole, promised)

    def adopt(self, stock: Stock, withdrawn: Mapping[int, Withdrawn]) -> Rows:
        """Take up what there is, and forget the rest.

        Parameters
        ----------
        stock : Stock
            What `stock` returned.
        withdrawn : mapping
            Batches that were withdrawn, by first row.

        Returns
        -------
        dict
            Those of them that are there.
        """
        self.sealed, self._journal.end = stock.sealed, stock.end
        # what rots after it was withdrawn is no loss
        batches = [part for batch in stock.batches for part in _parts(batch, withdrawn)]
        gone = [b for b in batches if b.row in withdrawn and b.count]
        self.lost = [b for b in batches if isinstance(b, Lost) and b not in gone]
        self.batch_ids = BatchIdSet()
        for record in stock.records:
            self.newest = max(self.newest, record.arrival)
            if record.count == 0 or record.row not in withdrawn:
                self.batch_ids.add(record.batch_id)
        for batch in gone:
            if batch.batch_id and withdrawn[batch.row].remembered:
                self.batch_ids.add(batch.batch_id)
        holes: list[Record | Lost] = [*self.lost, *gone]
        self.holes = _merged((batch.row, batch.row + batch.count) for batch in holes)
        self.rows = stock.rows
        return {batch.row: withdrawn[batch.row] for batch in gone}

    def mend(self, stock: Stock, quarantine: Path) -> None:
        """Keep a copy of what is damaged, and write a journal that speaks of the damage.

        Raises
        ------
        OSError
            If the disk takes no more: the files tell the same the next time.
        """
        self._open_files()
        self._make_room()
        used = {self.path(c.name): self.rows * c.row_bytes for c in self.schema.columns}
        self._disk.copy({**used, self.path("journal"): None}, quarantine)
        seal = [Seal(self.rows)] if stock.sealed else []
        self._journal.rewrite(e.encode() for e in (self.opening, *stock.batches, *seal))
        if self.sealed:
            self.close()

    def resume(self) -> None:
        """Go on writing where the good records end."""
        path = self.path("journal")
        left = path.stat().st_size - self._journal.end if path.exists() else 0
        if left:
            log.warning("%s: dropped %d bytes that were not written to the end", self.stem, left)
        self._open_files()
        self._make_room()
        if self._journal.end == 0:
            self._journal.append([self.opening.encode()])

    # -- reading --------------------------------------------------------------------------

    def runs(self) -> list[tuple[int, int]]:
        """Return the ranges of rows that count, in order."""
        rows, holes = self.rows, self.holes
        bounds = [0, *(bound for hole in holes for bound in hole), rows]
        return [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if a < b]

    def records(self) -> list[Record]:
        """Return the records of the batches that count, in order."""
        found = (placed.entry for placed in self.entries())
        return [r for r in found if isinstance(r, Record) and self.has(r)]

    def entries(self) -> Iterator[Placed]:
        """Yield what its journal says."""
        return entries(self._journal.read())

    def has(self, record: Record) -> bool:
        """Return whether a batch counts: it was neither withdrawn nor lost."""
        return not any(start <= record.row < stop for start, stop in self.holes)

    @property
    def is_there(self) -> bool:
        """Return whether its files are, and were not removed meanwhile."""
        return self.path("journal").exists()

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
        if "z" not in self._maps:
            rows = self.rows if self.sealed else self.capacity
            size = max(1, rows * column.row_bytes)
            try:
                memory = self._disk.scratch(self.path("z"), size)
            except OSError as error:
                # a full disk stops no training: of one segment, in memory they fit
                log.warning("%s: coordinates are kept in memory: %s", self.stem, error)
                memory = mmap.mmap(-1, size)
            count = rows * int(np.prod(column.shape, dtype=np.int64))
            z = np.frombuffer(memory, column.dtype, count).reshape(rows, *column.shape)
            self._maps["z"] = z
        return self._maps["z"]

    def remove(self) -> None:
        """Delete the files; views that map them stay readable."""
        self.close()
        self._disk.remove(self.paths)


def _bytes(column: NDArray[Any]) -> memoryview | bytes:
    return column.reshape(-1).view(np.uint8).data if column.size else b""


def _parts(batch: Record | Lost, withdrawn: Mapping[int, Withdrawn]) -> Iterator[Record | Lost]:
    """Yield a batch; rows whose records are damaged may be of several, of which some were withdrawn."""
    if isinstance(batch, Record) or batch.batch_id is not None:
        yield batch
        return
    row, end = batch.row, batch.row + batch.count
    for begin in sorted(first for first in withdrawn if row <= first < end):
        count = withdrawn[begin].points
        if count:
            yield Lost(row, begin - row)
            yield Lost(begin, count)
            row = begin + count
    yield Lost(row, end - row)


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]
        if start < stop:
            merged.append((start, stop))
    return tuple(merged)
