"""A snapshot of a shard: the rows that were there when it was taken, across segments.

Training reads through it (it is a `streammac.models.base.LocalData`). It stays readable while the shard
grows, and after retention has dropped segments it shows: it holds their mappings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streammac.points.stored_rows import StoredRows
from streammac.store.errors import StoreError
from streammac.store.points import Column, Schema
from streammac.store.segment import Segment

Rows = slice | NDArray[np.int64]


class Strip(NamedTuple):
    """One column over all parts of a view; each of ``parts`` returns a part's rows, or more than those."""

    column: Column
    parts: Sequence[Callable[[], NDArray[Any]]]


class ShardView:
    """Rows of a shard, by position from the oldest.

    A part is a segment, or a piece of one where batches were withdrawn. Every row also has a *number*, which
    it keeps for ever while positions move; see `position` and `number`.

    ``rows`` of all methods: a slice without a step, or positions that never decrease, in ``[0, len(view))``.
    Any thread may read x and y; the coordinates are for one thread.

    Parameters
    ----------
    numbers : list of int
        Number of the first row of each part, at least one.
    counts : list of int
        Rows of each part.
    x, y, z : Strip
        Their rows; None where the stream has no targets, or nobody said what coordinates look like.
    """

    def __init__(
        self,
        numbers: list[int],
        counts: list[int],
        x: Strip,
        y: Strip | None,
        z: Strip | None,
    ) -> None:
        self._numbers = np.array(numbers, np.int64)
        self._x = x
        self._y = y
        self._z = z
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)

    @property
    def dim(self) -> int:
        """Length of x."""
        return self._x.column.shape[0]

    @property
    def targets(self) -> int:
        """Length of y; 0: there are none."""
        return 0 if self._y is None else math.prod(self._y.column.shape)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def first(self) -> int:
        """Number of its oldest row."""
        return int(self._numbers[0])

    def number(self, position: int) -> int:
        """Return the number of the row at a position; of ``len(view)``, one more than the last row's."""
        part = int(np.searchsorted(self._starts, position, side="right")) - 1
        part = min(part, len(self._numbers) - 1)
        return int(self._numbers[part]) + position - int(self._starts[part])

    def position(self, number: int) -> int:
        """Return how many rows have a smaller number: where the row of this number is, or the next one."""
        part = int(np.searchsorted(self._numbers, number, side="right")) - 1
        if part < 0:
            return 0
        beyond = int(self._starts[part]) + number - int(self._numbers[part])
        return min(beyond, int(self._starts[part + 1]))

    def recent(self, n: int) -> slice:
        """Return the positions of the newest ``n`` rows, or of all if there are fewer."""
        return slice(max(0, len(self) - n), len(self))

    def x(self, rows: Rows, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return (n, D) float32, a copy.

        ``out``, of at least n rows, spares an allocation (whose pages cost more than the copying).
        """
        return self._gather(self._x, rows, np.dtype(np.float32), out)

    def y(self, rows: Rows) -> NDArray[Any] | None:
        """Return the targets, a copy, if the stream has any."""
        return None if self._y is None else self._gather(self._y, rows)

    def z(self, rows: Rows) -> NDArray[Any]:
        """Return the coordinates, a copy; zeros where none were set since the shard was opened.

        Raises
        ------
        OSError
            If the disk has no room for them.
        """
        return self._gather(self._coordinates(), rows)

    def set_z(self, rows: Rows, z: NDArray[Any]) -> None:
        """Set the coordinates; raises as `z` does."""
        parts = self._coordinates().parts
        for i, source, local in self._touched(rows):
            parts[i]()[local] = z[source]

    def stored(self) -> StoredRows:
        """Return all rows where they lie; raises as `z` does."""
        x, z = self._x.parts, self._coordinates().parts
        return StoredRows(self._starts, [part() for part in x], [part() for part in z])

    def _coordinates(self) -> Strip:
        if self._z is None:
            raise StoreError("z: expected a shape - call Shard.coordinates before taking a view")
        return self._z

    def _gather(
        self,
        strip: Strip,
        rows: Rows,
        dtype: np.dtype[Any] | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        dtype = dtype or strip.column.dtype
        count = self._count(rows)
        out = np.empty((count, *strip.column.shape), dtype) if out is None else out[:count]
        for i, target, local in self._touched(rows):
            part = strip.parts[i]()
            if isinstance(local, slice) or part.dtype != out.dtype:
                out[target] = part[local]
            else:
                # positions are checked: "clip" only spares numpy the buffer that its own check needs
                np.take(part, local, axis=0, out=out[target], mode="clip")
        return out

    def _count(self, rows: Rows) -> int:
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step != 1:
                raise ValueError(f"rows: expected a slice without a step, got {rows}")
            return max(0, last - first)
        return len(rows)

    def _touched(self, rows: Rows) -> Iterator[tuple[int, slice, Any]]:
        """Yield (part, where in the result, rows of the part) for the rows asked for."""
        starts = self._starts
        if isinstance(rows, slice):
            low = rows.indices(len(self))[0]
            bounds = np.clip(starts, low, low + self._count(rows)) - low
            for i in np.flatnonzero(bounds[1:] > bounds[:-1]):
                lo, hi, shift = int(bounds[i]), int(bounds[i + 1]), int(low - starts[i])
                yield int(i), slice(lo, hi), slice(lo + shift, hi + shift)
            return
        self._check(rows)
        bounds = np.searchsorted(rows, starts)
        for i in np.flatnonzero(bounds[1:] > bounds[:-1]):
            target = slice(int(bounds[i]), int(bounds[i + 1]))
            yield int(i), target, rows[target] - starts[i]

    def _check(self, rows: NDArray[np.int64]) -> None:
        """Refuse positions that would leave rows of the result unset."""
        if len(rows) == 0:
            return
        if rows[0] < 0 or rows[-1] >= len(self):
            raise IndexError(f"rows: expected positions in [0, {len(self)}), got {rows}")
        if (rows[1:] < rows[:-1]).any():
            raise ValueError("rows: expected positions that never decrease - sort them")


def view_of(
    segments: Sequence[Segment], first: int, schema: Schema, coordinates: Column | None
) -> ShardView:
    """Return a view of the rows that segments have now.

    Parameters
    ----------
    segments : sequence of Segment
        Oldest first.
    first : int
        Number of the next row where there is no segment.
    schema : Schema
        Of the points.
    coordinates : Column, optional
        What the coordinates of one look like.

    Raises
    ------
    FileNotFoundError
        If a segment has been removed.
    """
    parts = [(segment, start, stop) for segment in segments for start, stop in segment.runs()]
    if segments:
        first = segments[0].first

    def strip(column: Column) -> Strip:
        # mapped now: when retention has dropped a segment, it is too late
        maps = [segment.column(column)[start:] for segment, start, _ in parts]
        return Strip(column, [partial(_same, rows) for rows in maps])

    columns = {column.name: column for column in schema.columns}
    y, z = columns.get("y"), coordinates
    return ShardView(
        [segment.first + start for segment, start, _ in parts] or [first],
        [stop - start for _, start, stop in parts] or [0],
        strip(columns["x"]),
        None if y is None else strip(y),
        None if z is None else Strip(z, [partial(_from, s, z, start) for s, start, _ in parts]),
    )


def _same(rows: NDArray[Any]) -> NDArray[Any]:
    return rows


def _from(segment: Segment, z: Column, start: int) -> NDArray[Any]:
    return segment.z(z)[start:]
