"""The records of a segment: one for each batch, with the checksums of its rows and its batch id.

A record is written after the rows it speaks of, so a record that verifies vouches for them. Reading
stops at the first record that does not verify: that is where a crash cut the writing short.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from streammac.points.batch_id import BatchId

HEADER = struct.Struct("<4sII")  # magic, length of the body, its CRC-32
# row, count, arrival, incarnation, sequence, bytes of the source's name, checksums, has keys?
FIELDS = struct.Struct("<QIdqqHB?")
MAGIC = b"smb2"
SENT_ON = b"smb3"
"""Of a record that begins with the length and the name of the sender."""
SENDER = struct.Struct("<H")
SEAL = b"smS2"
MAX_BODY_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Record:
    """One batch in a segment.

    ``checksums`` are the CRC-32 of the batch's rows in each column, in the order of the schema's columns.
    ``sender`` is who brought it here, empty where that is its source.
    """

    row: int
    count: int
    arrival: float
    batch_id: BatchId
    checksums: tuple[int, ...]
    keys: tuple[bytes, ...] | None
    sender: str = ""

    def encode(self) -> bytes:
        """Return the bytes to append to the journal."""
        source = self.batch_id.source.encode()
        fields = FIELDS.pack(
            self.row,
            self.count,
            self.arrival,
            self.batch_id.incarnation,
            self.batch_id.sequence,
            len(source),
            len(self.checksums),
            self.keys is not None,
        )
        keys = self.keys or ()
        numbers = struct.pack(
            f"<{len(self.checksums) + len(keys)}I", *self.checksums, *map(len, keys)
        )
        body = b"".join((fields, source, numbers, *keys))
        if not self.sender:
            return _framed(MAGIC, body)
        sender = self.sender.encode()
        return _framed(SENT_ON, SENDER.pack(len(sender)) + sender + body)


def seal(rows: int) -> bytes:
    """Return the last record of a segment that is complete."""
    return _framed(SEAL, _rows(rows))


def _framed(magic: bytes, body: bytes) -> bytes:
    return HEADER.pack(magic, len(body), zlib.crc32(body)) + body


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
        if magic not in (MAGIC, SENT_ON, SEAL) or length > MAX_BODY_BYTES or end > len(journal):
            return
        body = journal[offset + HEADER.size : end]
        if zlib.crc32(body) != checksum:
            return
        if magic == SEAL:
            if body == _rows(rows):
                yield Entry(None, end)
            return
        record = _decode_sent_on(body) if magic == SENT_ON else _decode(body)
        if record is None or record.row != rows:
            return
        rows += record.count
        yield Entry(record, end)
        offset = end


def _decode_sent_on(body: bytes) -> Record | None:
    try:
        (length,) = SENDER.unpack_from(body)
        sender = body[SENDER.size : SENDER.size + length].decode()
    except (struct.error, UnicodeDecodeError):
        return None
    record = _decode(body[SENDER.size + length :])
    return None if record is None else replace(record, sender=sender)


def _decode(body: bytes) -> Record | None:
    """Return the record of a body whose checksum is right, None where it still is not one."""
    try:
        row, count, arrival, incarnation, sequence, name, columns, keyed = FIELDS.unpack_from(body)
        at = FIELDS.size + name
        source = body[FIELDS.size : at].decode()
        numbers = struct.unpack_from(f"<{columns + (count if keyed else 0)}I", body, at)
    except (struct.error, UnicodeDecodeError):
        return None
    checksums, lengths = numbers[:columns], numbers[columns:]
    at += 4 * len(numbers)
    if at + sum(lengths) != len(body):
        return None
    keys = []
    for length in lengths:
        keys.append(body[at : at + length])
        at += length
    batch_id = BatchId(source, incarnation, sequence)
    return Record(row, count, arrival, batch_id, checksums, tuple(keys) if keyed else None)
