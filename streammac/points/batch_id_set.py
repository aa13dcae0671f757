"""Which batches a shard has already taken: the batch ids of each incarnation of a source, as ranges.

Kept exact but small: sequences that follow each other make one range, so a source that sends everything
here costs two numbers, and one that spreads its batches costs two for each gap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from streammac.points.batch_id import BatchId


class Ranges:
    """A set of integers as sorted, disjoint, inclusive ranges."""

    def __init__(self, ranges: list[list[int]] | None = None) -> None:
        self._starts = [first for first, _ in ranges or []]
        self._ends = [last for _, last in ranges or []]

    def __contains__(self, number: int) -> bool:
        i = bisect_right(self._starts, number) - 1
        return i >= 0 and number <= self._ends[i]

    def add(self, number: int) -> None:
        """Add a number that is not in the set yet."""
        i = bisect_right(self._starts, number)
        joins_left = i > 0 and self._ends[i - 1] == number - 1
        joins_right = i < len(self._starts) and self._starts[i] == number + 1
        if joins_left and joins_right:
            self._ends[i - 1] = self._ends[i]
            del self._starts[i], self._ends[i]
        elif joins_left:
            self._ends[i - 1] = number
        elif joins_right:
            self._starts[i] = number
        else:
            self._starts.insert(i, number)
            self._ends.insert(i, number)

    def discard(self, number: int) -> None:
        """Take a number out, if it is there."""
        i = bisect_right(self._starts, number) - 1
        if i < 0 or number > self._ends[i]:
            return
        first, last = self._starts[i], self._ends[i]
        left = [(first, number - 1)] if first < number else []
        right = [(number + 1, last)] if number < last else []
        self._starts[i : i + 1] = [a for a, _ in (*left, *right)]
        self._ends[i : i + 1] = [b for _, b in (*left, *right)]

    def __len__(self) -> int:
        return len(self._starts)

    def update(self, other: Ranges) -> None:
        """Add all numbers of another set."""
        starts: list[int] = []
        ends: list[int] = []
        for first, last in sorted(self.to_json() + other.to_json()):
            if ends and first <= ends[-1] + 1:
                ends[-1] = max(ends[-1], last)
            else:
                starts.append(first)
                ends.append(last)
        self._starts, self._ends = starts, ends

    def to_json(self) -> list[list[int]]:
        """Return the ranges as pairs."""
        return [[a, b] for a, b in zip(self._starts, self._ends, strict=True)]


class BatchIdSet:
    """The batch ids of batches: of a segment, of those that expired, or of all that a shard ever took."""

    def __init__(self, value: list[Any] | None = None) -> None:
        self._seen: dict[tuple[str, int], Ranges] = {
            (source, incarnation): Ranges(ranges) for source, incarnation, ranges in value or []
        }

    def __contains__(self, batch_id: BatchId) -> bool:
        ranges = self._seen.get((batch_id.source, batch_id.incarnation))
        return ranges is not None and batch_id.sequence in ranges

    def add(self, batch_id: BatchId) -> None:
        """Remember a batch id."""
        if batch_id not in self:
            self._seen.setdefault((batch_id.source, batch_id.incarnation), Ranges()).add(
                batch_id.sequence
            )

    def discard(self, batch_id: BatchId) -> None:
        """Forget a batch id, if it is known."""
        name = (batch_id.source, batch_id.incarnation)
        ranges = self._seen.get(name)
        if ranges is not None:
            ranges.discard(batch_id.sequence)
            if not len(ranges):
                del self._seen[name]

    def __bool__(self) -> bool:
        return bool(self._seen)

    def __iter__(self) -> Iterator[BatchId]:
        for (source, incarnation), ranges in sorted(self._seen.items()):
            for first, last in ranges.to_json():
                for sequence in range(first, last + 1):
                    yield BatchId(source, incarnation, sequence)

    def update(self, other: BatchIdSet) -> None:
        """Remember all batch ids that another one holds."""
        for name, ranges in other._seen.items():
            self._seen.setdefault(name, Ranges()).update(ranges)

    def to_json(self) -> list[Any]:
        """Return plain values, for the checkpoint that outlives dropped segments."""
        return [[s, i, ranges.to_json()] for (s, i), ranges in sorted(self._seen.items())]
