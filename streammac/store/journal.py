"""The records of a segment: one for each batch, with the checksums of its rows and its mark.

A record is written after the rows it speaks of, so a record that verifies vouches for them. Reading
stops at the first record that does not verify: that is where a crash cut the writing short.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgpack

from streammac.store.points import Mark

HEADER = struct.Struct("<4sII")  # magic, length of the body, its CRC-32
MAGIC = b"smb1"
SEAL = b"smS1"
MAX_BODY_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One batch in a segment.

    ``checksums`` are the CRC-32 of the batch's rows in each column, in the order of the schema's columns.
    """

    row: int
    count: int
    arrival: float
    mark: Mark
    checksums: tuple[int, ...]
    keys: tuple[bytes, ...] | None

    def encode(self) -> bytes:
        """Return the bytes to append to the journal."""
        mark = self.mark
        body = msgpack.packb(
            [
                self.row,
                self.count,
                self.arrival,
                mark.source,
                mark.incarnation,
                mark.sequence,
                self.checksums,
                self.keys,
            ]
        )
        return HEADER.pack(MAGIC, len(body), zlib.crc32(body)) + bytes(body)


def seal(rows: int) -> bytes:
    """Return the last record of a segment that is complete."""
    body = _rows(rows)
    return HEADER.pack(SEAL, len(body), zlib.crc32(body)) + body


def _rows(rows: int) -> bytes:
    return struct.pack("<Q", rows)


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified record and where it ends; ``record`` None: the segment is sealed here."""

    record: Record | None
    end: int


def read(journal: bytes) -> Iterator[Entry]:
    """Yield the entries of a journal up to the first that is torn or corrupt."""
    offset = rows = 0
    while offset + HEADER.size <= len(journal):
        magic, length, checksum = HEADER.unpack_from(journal, offset)
        end = offset + HEADER.size + length
        if magic not in (MAGIC, SEAL) or length > MAX_BODY_BYTES or end > len(journal):
            return
        body = journal[offset + HEADER.size : end]
        if zlib.crc32(body) != checksum:
            return
        if magic == SEAL:
            if body == _rows(rows):
                yield Entry(None, end)
            return
        record = _decode(body)
        if record is None or record.row != rows:
            return
        rows += record.count
        yield Entry(record, end)
        offset = end


def _decode(body: bytes) -> Record | None:
    """Return the record of a body whose checksum is right, None where it still is not one."""
    try:
        row, count, arrival, source, incarnation, sequence, checksums, keys = msgpack.unpackb(body)
        mark = Mark(str(source), int(incarnation), int(sequence))
        keys = None if keys is None else tuple(keys)
        record = Record(int(row), int(count), float(arrival), mark, tuple(checksums), keys)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    return record if record.row >= 0 and record.count >= 0 else None
