"""Which stored batches were withdrawn: a journal beside the segments, one record for each order to withdraw.

`Shard.withdraw` writes here before anything changes in memory, and opening a shard reads it. A record names
batches by segment and row, because one batch id may be stored, withdrawn and stored again. It verifies as a whole
or not at all, so of one order either everything is done or nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from streammac.store.disk import Disk, File

HEADER = struct.Struct("<4sII")  # magic, length of the body, its CRC-32
PLACE = struct.Struct("<QQ?")
MAGIC = b"smw1"
NAME = "withdrawn"


class Place(NamedTuple):
    """A withdrawn batch: its segment, its first row there, and whether its batch id stays known."""

    segment: int
    row: int
    remembered: bool


Rows = dict[int, bool]
"""First rows of the withdrawn batches of a segment; True: the batch id stays known."""


class Withdrawals:
    """The journal of a shard's directory.

    Attributes
    ----------
    rows : dict
        By segment, what is withdrawn.
    """

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._path = directory / NAME
        self._file: File | None = None
        content = self._path.read_bytes() if self._path.exists() else b""
        self.rows: dict[int, Rows] = {}
        self._end = 0
        for places, end in _read(content):
            self._note(places)
            self._end = end
        self.torn = self._end < len(content)
        """Whether a record was cut short; `keep` removes the rest of it."""

    def _note(self, places: Iterable[Place]) -> None:
        for segment, row, remembered in places:
            self.rows.setdefault(segment, {})[row] = remembered

    def add(self, places: list[Place], *, sync: bool) -> None:
        """Write that these batches are withdrawn.

        Raises
        ------
        OSError
            If the disk takes no more; none of them is withdrawn then.
        """
        self._file = self._file or self._disk.open(self._path)
        record = _framed(places)
        try:
            self._file.write(self._end, record)
        except OSError:
            self._file.truncate(self._end)
            raise
        if sync:
            self._file.sync()
            if self._end == 0:
                self._disk.sync_directory(self._path.parent)
        self._end += len(record)
        self._note(places)

    def keep(self, rows: Mapping[int, Rows]) -> None:
        """Forget all others: those of segments that are gone, and of batches that a power loss took back.

        Rows of a segment are used again after power loss, so this comes before anything is appended.
        """
        kept = {segment: dict(r) for segment, r in rows.items() if r}
        if kept == self.rows and not self.torn:
            return
        places = [Place(s, row, seen) for s, r in sorted(kept.items()) for row, seen in r.items()]
        data = _framed(places) if places else b""
        self.close()
        self._disk.replace(self._path, data)
        self.rows, self._end, self.torn = kept, len(data), False

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _framed(places: Iterable[Place]) -> bytes:
    body = b"".join(PLACE.pack(*place) for place in places)
    return HEADER.pack(MAGIC, len(body), zlib.crc32(body)) + body


def _read(content: bytes) -> Iterable[tuple[list[Place], int]]:
    offset = 0
    while offset + HEADER.size <= len(content):
        magic, length, checksum = HEADER.unpack_from(content, offset)
        end = offset + HEADER.size + length
        body = content[offset + HEADER.size : end]
        whole = magic == MAGIC and end <= len(content) and length % PLACE.size == 0
        if not whole or zlib.crc32(body) != checksum:
            return
        yield [Place(*fields) for fields in PLACE.iter_unpack(body)], end
        offset = end
