"""Reading a shard again, a part at a time: rows rot while nobody looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streammac.store.segment import Segment
from streammac.store.stock import columns


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
    """Read record by record; yield the bytes that were read, and the segment if it is damaged."""
    for segment in segments:
        schema_columns = segment.schema.columns
        row_bytes = sum(column.row_bytes for column in schema_columns)
        rows, records = segment.rows, segment.records()
        live = segment.live
        if sum(record.count for record in records) < live and segment.path("journal").exists():
            yield 0, segment
            continue
        paths = [(segment.path(column.name), column.row_bytes) for column in schema_columns]
        with columns(paths, verify=True) as whole:
            for record in records:
                if record.row + record.count > rows:
                    break  # newer than the pass
                good = whole(record) or not segment.path("journal").exists()
                yield record.count * row_bytes, None if good else segment
                if not good:
                    break
