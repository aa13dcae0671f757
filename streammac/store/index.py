"""Where in its segments a shard has a batch: the segments' marks say which one, its journal says which rows.

For the writer thread alone. Journals are read when somebody asks, which is rare: batches are withdrawn or moved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streammac.store.journal import Record
from streammac.store.points import Mark
from streammac.store.segment import Segment


class Index:
    """Finds batches; the records of the segment that was asked for last are kept at hand."""

    def __init__(self) -> None:
        self._last: tuple[Segment, int, dict[Mark, Record]] | None = None

    def find(self, segments: Iterable[Segment], mark: Mark) -> tuple[Segment, Record] | None:
        """Return where a batch with points is, None if it is in none of the segments."""
        for segment, (record,) in self.search(segments, [mark]):
            return segment, record
        return None

    def search(
        self, segments: Iterable[Segment], marks: Collection[Mark], sender: str | None = None
    ) -> Iterable[tuple[Segment, list[Record]]]:
        """Yield segments with the batches that they have of these marks.

        A batch without points has no place of its own and is not found.

        Parameters
        ----------
        segments : iterable of Segment
            Where to look.
        marks : collection of Mark
            Of what.
        sender : str, optional
            Only batches that this one brought.
        """
        for segment in segments:
            here = [mark for mark in marks if mark in segment.marks]
            index = self._records(segment) if here else {}
            records = [index[mark] for mark in here if mark in index and index[mark].count]
            if sender is not None:
                records = [r for r in records if (r.sender or r.mark.source) == sender]
            if records:
                yield segment, records

    def _records(self, segment: Segment) -> dict[Mark, Record]:
        if self._last is None or self._last[:2] != (segment, segment.rows):
            self._last = (segment, segment.rows, {r.mark: r for r in segment.records()})
        return self._last[2]

    def forget(self, segment: Segment, records: Iterable[Record]) -> None:
        """Take note that batches were withdrawn."""
        if self._last is not None and self._last[0] is segment:
            for record in records:
                self._last[2].pop(record.mark, None)
