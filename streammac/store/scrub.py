"""Reading a shard again, a part at a time: rows rot while nobody looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streammac.store.journal import Lost, Record
from streammac.store.segment import Segment
from streammac.store.stock import Check, columns

RECORD_BYTES = 8192
"""A small batch costs as much time as so many bytes."""


class Scrub:
    """A pass over the segments of a shard, for the writer thread."""

    def __init__(self) -> None:
        self._pass: Iterator[tuple[int, Segment | None]] | None = None

    def step(self, segments: Sequence[Segment], budget: int) -> tuple[list[Segment], bool]:
        """Read so many bytes; return the segments that are not as written, and whether the pass goes on.

        A pass begins with the segments that there are, and leaves out those that expire meanwhile.
        """
        if self._pass is None:
            self._pass = _read(segments)
        bad = []
        for size, segment in self._pass:
            budget -= size
            if segment is not None:
                bad.append(segment)
            if budget <= 0:
                return bad, True
        self._pass = None
        return bad, False


def _read(segments: Sequence[Segment]) -> Iterator[tuple[int, Segment | None]]:
    """Read record by record; yield what each costs, in bytes, and the segment if it is damaged."""
    for segment in segments:
        # what is newer than the pass waits for the next one
        rows, schema = segment.rows, segment.schema
        row_bytes = sum(column.row_bytes for column in schema.columns)
        paths = [(segment.path(column.name), column.row_bytes) for column in schema.columns]
        covered = 0
        with columns(paths, verify=True) as whole:
            for entry, _, missing in segment.entries():
                if not isinstance(entry, Record | Lost):
                    continue
                unknown = missing or (
                    isinstance(entry, Record) and not _sound(segment, entry, whole)
                )
                if covered >= rows or (unknown and segment.is_there):
                    break
                covered = entry.row + entry.count
                yield max(RECORD_BYTES, entry.count * row_bytes), None
        if covered < rows and segment.is_there:
            yield 0, segment


def _sound(segment: Segment, record: Record, whole: Check) -> bool:
    return not segment.has(record) or whole(record)
