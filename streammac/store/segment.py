"""One segment of a shard: a file per column with rows of fixed size, and a journal of its batches.

The writer thread appends; readers map the columns and see the rows up to a count they read beforehand.
Coordinates ``z`` are a column of their own: mutable, mapped, derived, and thrown away when a shard is opened.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.store import journal
from streammac.store.disk import Disk, File
from streammac.store.journal import Record
from streammac.store.points import Column, Mark, Schema
from streammac.store.retention import Extent


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
    """

    def __init__(self, disk: Disk, stem: Path, schema: Schema, capacity: int) -> None:
        self._disk = disk
        self.stem = stem
        self.schema = schema
        self.capacity = capacity
        self.rows = 0
        self.sealed = False
        self.newest = 0.0
        self._journal_bytes = 0
        self._files: dict[str, File] = {}
        self._maps: dict[str, NDArray[Any]] = {}
        self._z: NDArray[Any] | None = None

    @property
    def paths(self) -> list[Path]:
        """All files it may have."""
        names = [column.name for column in self.schema.columns]
        return [self.path(name) for name in (*names, "journal", "z")]

    def path(self, name: str) -> Path:
        """Return the path of a column's file or of the journal."""
        return self.stem.with_name(f"{self.stem.name}.{name}")

    @property
    def extent(self) -> Extent:
        """Size, for the retention rule."""
        row_bytes = sum(column.row_bytes for column in self.schema.columns)
        return Extent(self.rows, self.rows * row_bytes + self._journal_bytes, self.newest)

    # -- writing --------------------------------------------------------------------------

    def create(self) -> None:
        """Make the files of a new segment."""
        self._open_files()
        for column in self.schema.columns:
            self._files[column.name].truncate(self.capacity * column.row_bytes)

    def _open_files(self) -> None:
        for name in (*(column.name for column in self.schema.columns), "journal"):
            self._files[name] = self._disk.open(self.path(name))

    def append(
        self,
        columns: dict[str, NDArray[Any]],
        mark: Mark,
        arrival: float,
        keys: Sequence[bytes] | None,
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
        record = Record(
            self.rows, count, arrival, mark, tuple(checksums), None if keys is None else tuple(keys)
        )
        self._write_journal(record.encode())
        self.newest = arrival
        self.rows += count

    def _write_journal(self, entry: bytes) -> None:
        try:
            self._files["journal"].write(self._journal_bytes, entry)
        except OSError:
            # half a record would hide those written after it
            self._files["journal"].truncate(self._journal_bytes)
            raise
        self._journal_bytes += len(entry)

    def sync(self) -> None:
        """Make everything written so far durable: the rows before the records that vouch for them."""
        for column in self.schema.columns:
            self._files[column.name].sync()
        self._files["journal"].sync()

    def seal(self, *, durable: bool) -> None:
        """Close the segment for writing."""
        for column in self.schema.columns:
            self._files[column.name].truncate(self.rows * column.row_bytes)
        if durable:
            self.sync()
        self._write_journal(journal.seal(self.rows))
        if durable:
            self._files["journal"].sync()
        self.sealed = True
        self.close()

    def close(self) -> None:
        """Close the files; mappings that views hold stay."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    # -- recovery -------------------------------------------------------------------------

    def recover(self) -> list[Record]:
        """Read the journal of an existing segment; return its good records and cut off the rest.

        The rows of a sealed segment are believed (see `verify`); those of the one that was being
        written are checked against their checksums.
        """
        entries = list(journal.read(self.path("journal").read_bytes()))
        self.sealed = bool(entries) and entries[-1].record is None
        good: list[Record] = []
        end = 0
        for entry in entries:
            if entry.record is not None:
                if not self.sealed and not self.vouches(entry.record):
                    break
                good.append(entry.record)
            end = entry.end
        self.rows = sum(record.count for record in good)
        self.newest = max((record.arrival for record in good), default=0.0)
        self._journal_bytes = end
        if not self.sealed:
            self._open_files()
            self._files["journal"].truncate(end)
            for column in self.schema.columns:
                self._files[column.name].truncate(self.capacity * column.row_bytes)
        return good

    def whole(self) -> bool:
        """Return whether the files of a sealed segment are as long as they must be."""
        return self.sealed and all(
            self.path(c.name).exists()
            and self.path(c.name).stat().st_size >= self.rows * c.row_bytes
            for c in self.schema.columns
        )

    def vouches(self, record: Record) -> bool:
        """Return whether the rows of a record have its checksums."""
        for column, checksum in zip(self.schema.columns, record.checksums, strict=True):
            path, size = self.path(column.name), column.row_bytes
            with path.open("rb") as file:
                file.seek(record.row * size)
                data = file.read(record.count * size)
            if len(data) != record.count * size or zlib.crc32(data) != checksum:
                return False
        return True

    # -- reading --------------------------------------------------------------------------

    def column(self, column: Column) -> NDArray[Any]:
        """Return a mapping of a column, of at least as many rows as are written."""
        if column.name not in self._maps:
            rows = self.rows if self.sealed else self.capacity
            self._maps[column.name] = np.memmap(
                self.path(column.name), column.dtype, "r", shape=(rows, *column.shape)
            )
        return self._maps[column.name]

    def z(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the coordinates' column, writable; zeros at first. For the reader thread alone."""
        if self._z is None:
            rows = max(1, self.rows if self.sealed else self.capacity)
            column = Column("z", dtype, shape)
            file = self._disk.open(self.path("z"))
            file.truncate(0)
            file.reserve(
                rows * column.row_bytes
            )  # a store into a hole on a full disk would be SIGBUS
            file.close()
            self._z = np.memmap(self.path("z"), dtype, "r+", shape=(rows, *shape))
        return self._z

    def remove(self) -> None:
        """Delete the files; views that map them stay readable."""
        self.close()
        self._disk.remove(self.paths)
