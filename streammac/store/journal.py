"""The journal of a segment: one record for each batch, with the checksums of its rows and its batch id.

A record is written after the rows it speaks of, so a record that verifies vouches for them. Records stand in the order
of their rows: rows between two of them that none speaks of belong to a record that was damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import msgpack

from streammac.files.log import Contents
from streammac.points.batch_id import BatchId


@dataclass(frozen=True, slots=True)
class Opening:
    """The first record: whose segment it is, and how many rows the shard took before it."""

    shard: str
    first: int

    def encode(self) -> bytes:
        """Return the body of the record in the journal."""
        body: bytes = msgpack.packb((self.shard, self.first))
        return body


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows that were damaged; of which batch, and who brought it, where that is known."""

    row: int
    count: int
    batch_id: BatchId | None = None
    sender: str = ""

    def encode(self) -> bytes:
        """Return the body of the record in the journal."""
        body: bytes = msgpack.packb((self.row, self.count, self.batch_id, self.sender))
        return body


@dataclass(frozen=True, slots=True)
class Record:
    """One batch in a segment.

    ``checksums`` are the CRC-32 of the batch's rows in each column, in the order of the schema's columns.
    ``sender`` is who brought it here, empty where that is its source. ``promised`` rows of the segment were as safe as
    the ack mode says when this was written: if one of them is not whole, it is damaged, and no crash cut it short.
    """

    row: int
    count: int
    arrival: float
    batch_id: BatchId
    checksums: tuple[int, ...]
    keys: tuple[bytes, ...] | None
    sender: str = ""
    promised: int = 0

    def encode(self) -> bytes:
        """Return the body of the record in the journal."""
        batch = (self.row, self.count, self.arrival, self.batch_id)
        body: bytes = msgpack.packb((*batch, self.checksums, self.keys, self.sender, self.promised))
        return body


@dataclass(frozen=True, slots=True)
class Seal:
    """The last record of a segment that is complete: it has so many rows."""

    rows: int

    def encode(self) -> bytes:
        """Return the body of the record in the journal."""
        body: bytes = msgpack.packb(self.rows)
        return body


Entry: TypeAlias = Opening | Record | Lost | Seal


class Placed(NamedTuple):
    """An entry, and where it ends in the file; ``missing``: there is no record of it."""

    entry: Entry
    end: int
    missing: bool = False


def decode(body: bytes | memoryview) -> Entry:
    """Return what a body says.

    Raises
    ------
    ValueError, TypeError
        If this version writes no such body.
    """
    fields = msgpack.unpackb(body, use_list=False)
    match fields:
        case int():
            return Seal(fields)
        case (str(shard), int(first)):
            return Opening(shard, first)
        case (int(row), int(count), name, str(sender)):
            return Lost(row, count, None if name is None else BatchId(*name), sender)
        case (int(row), int(count), float(arrival), name, checksums, keys, sender, *promised):
            batch_id = BatchId(*name)
            # records of before there was this field were promised one by one
            return Record(
                row, count, arrival, batch_id, checksums, keys, sender, *promised or [row]
            )
    raise ValueError("no entry of a journal")


def entries(contents: Contents) -> Iterator[Placed]:
    """Yield what a journal says, in the order of the rows; rows that no record speaks of are `Lost`."""
    rows = end = 0
    for body, body_end in contents.entries:
        try:
            entry = decode(body)
        except (ValueError, TypeError):  # nothing that this version writes
            continue
        if not isinstance(entry, Opening):
            row = entry.rows if isinstance(entry, Seal) else entry.row
            if row < rows:  # of another life of these rows
                continue
            if row > rows:
                yield Placed(Lost(rows, row - rows), end, missing=True)
            rows = row if isinstance(entry, Seal) else row + entry.count
        end = body_end
        yield Placed(entry, end)
        if isinstance(entry, Seal):
            return
