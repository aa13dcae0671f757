"""What sources yield and what validation returns: arrays of points, raw records, and what was refused.

Typed formats come as `PointBlock`; text comes as `Raw` records, which are decoded one by one so that one bad line
costs that line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from streammac.errors import StreammacError
from streammac.points.block import PointBlock
from streammac.wire.codec import MAX_HEADER_BYTES

MAX_KEY_BYTES = 512
"""Longest key of a point: the keys of a batch travel in its header, which has a limit."""
BATCH_BYTES = 8 << 20
"""Bytes of points that travel together, about; so wide points make batches of few."""
KEYED_POINTS = MAX_HEADER_BYTES * 3 // 4 // (MAX_KEY_BYTES + 8)
"""Most points with keys that travel together, or their keys might not fit into a header."""


class BadRecord(StreammacError, ValueError):
    """A record cannot be used; the message says why."""


class Record(Struct, frozen=True):
    """One decoded record: numbers not yet checked against the stream's schema."""

    x: Sequence[float]
    y: Sequence[float] | None = None
    key: bytes = b""
    time: float = float("nan")


Decode: TypeAlias = Callable[[bytes], Record]
"""Turns the bytes of a record into numbers, or raises `BadRecord`."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Records as they were read, and how to decode them."""

    records: Sequence[bytes]
    decode: Decode

    def __len__(self) -> int:
        return len(self.records)


Chunk: TypeAlias = PointBlock | Raw


def rows_together(points: PointBlock, most: int) -> int:
    """Return how many of the points may travel together, if no more than ``most`` are to."""
    if points.keys:
        most = min(most, KEYED_POINTS)
    width = points.x.nbytes // max(1, len(points))
    return max(1, min(most, BATCH_BYTES // max(1, width)))


def pieces(chunk: Chunk) -> Iterator[Chunk]:
    """Cut a chunk of wide points into pieces of about `BATCH_BYTES`, so that few bytes wait at a time."""
    if isinstance(chunk, Raw) or len(chunk) == 0:
        yield chunk
        return
    together = rows_together(chunk, len(chunk))
    for first in range(0, len(chunk), together):
        yield chunk.take(slice(first, first + together))


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that goes to the dead letters, as it was, and why."""

    raw: bytes
    reason: str
