"""Where in its segments a shard has a batch: the segments' batch ids say which one, its journal says which rows.

For the writer thread alone. Journals are read when somebody asks, which is rare: batches are withdrawn or moved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streammac.points.batch_id import BatchId
from streammac.store.journal import Record
from streammac.store.segment import Segment


class Index:
    """Finds batches; the records of the segment that was asked for last are kept at hand."""

    def __init__(self) -> None:
        self._last: tuple[Segment, int, dict[BatchId, Record]] | None = None

    def find(self, segments: Iterable[Segment], batch_id: BatchId) -> tuple[Segment, Record] | None:
        """Return where a batch with points is, None if it is in none of the segments."""
        for segment, (record,) in self.search(segments, [batch_id]):
            return segment, record
        return None

    def search(
        self, segments: Iterable[Segment], batch_ids: Collection[BatchId], sender: str | None = None
    ) -> Iterable[tuple[Segment, list[Record]]]:
        """Yield segments with the batches that they have of these batch ids.

        A batch without points has no place of its own and is not found.

        Parameters
        ----------
        segments : iterable of Segment
            Where to look.
        batch_ids : collection of BatchId
            Of what.
        sender : str, optional
            Only batches that this one brought.
        """
        for segment in segments:
            here = [batch_id for batch_id in batch_ids if batch_id in segment.batch_ids]
            index = self._records(segment) if here else {}
            records = [
                index[batch_id] for batch_id in here if batch_id in index and index[batch_id].count
            ]
            if sender is not None:
                records = [r for r in records if (r.sender or r.batch_id.source) == sender]
            if records:
                yield segment, records

    def _records(self, segment: Segment) -> dict[BatchId, Record]:
        if self._last is None or self._last[:2] != (segment, segment.rows):
            self._last = (segment, segment.rows, {r.batch_id: r for r in segment.records()})
        return self._last[2]

    def forget(self, segment: Segment, records: Iterable[Record]) -> None:
        """Take note that batches were withdrawn."""
        if self._last is not None and self._last[0] is segment:
            for record in records:
                self._last[2].pop(record.batch_id, None)
