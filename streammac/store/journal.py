"""The records of a segment: one for each batch, with the checksums of its rows and its batch id.

A record is written after the rows it speaks of, so a record that verifies vouches for them. Reading
stops at the first record that does not verify: that is where a crash cut the writing short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgpack

from streammac.files.log import Contents
from streammac.points.batch_id import BatchId


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
        """Return the body of the record in the journal."""
        name = (self.batch_id.source, self.batch_id.incarnation, self.batch_id.sequence)
        fields = (self.row, self.count, self.arrival, name, self.checksums, self.keys, self.sender)
        body: bytes = msgpack.packb(fields)
        return body


def seal(rows: int) -> bytes:
    """Return the body of the last record of a segment that is complete."""
    body: bytes = msgpack.packb(rows)
    return body


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified record and where it ends; ``record`` None: the segment is sealed here."""

    record: Record | None
    end: int


def entries(contents: Contents) -> Iterator[Entry]:
    """Yield the entries of a journal up to the first that is none."""
    rows = 0
    for body, end in contents.entries:
        try:
            fields = msgpack.unpackb(body, use_list=False)
            if isinstance(fields, int):
                if fields == rows:
                    yield Entry(None, end)
                return
            row, count, arrival, name, *rest = fields
            record = Record(row, count, arrival, BatchId(*name), *rest)
        except (ValueError, TypeError):  # nothing that this version writes
            return
        if record.row != rows:
            return
        rows += record.count
        yield Entry(record, end)
