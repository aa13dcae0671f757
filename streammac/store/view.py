"""A snapshot of a shard: the rows that were there when it was taken, across segments.

Training reads through it (it is a `streammac.models.base.LocalData`). It stays readable while the shard
grows, and after retention has dropped segments it shows: it holds their mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = slice | NDArray[np.int64]


class ShardView:
    """Rows of a shard, by position from the oldest.

    Parameters
    ----------
    first : int
        Number of rows that the shard had dropped before the first of this view.
    dim : int
        Length of x.
    x, y : list of arrays
        The rows of each segment; ``y`` None where the stream has no targets.
    z : list of functions
        Return the writable coordinates of each segment.
    """

    def __init__(
        self,
        first: int,
        dim: int,
        x: list[NDArray[Any]],
        y: list[NDArray[Any]] | None,
        z: list[Callable[[], NDArray[Any]]],
    ) -> None:
        self.first = first
        self._dim = dim
        self._x = x
        self._y = y
        self._z = z
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in x])]).astype(np.int64)

    @property
    def dim(self) -> int:
        """Length of x."""
        return self._dim

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _parts(self, rows: Rows) -> Iterator[tuple[int, slice, Any]]:
        """Yield (segment, where in the result, rows of the segment) for the rows asked for."""
        starts = self._starts
        if isinstance(rows, slice):
            lo, hi, _ = rows.indices(len(self))
            bounds = np.clip(starts, lo, max(lo, hi)) - lo
            for i in range(len(self._x)):
                if bounds[i] < bounds[i + 1]:
                    local = slice(
                        int(bounds[i] + lo - starts[i]), int(bounds[i + 1] + lo - starts[i])
                    )
                    yield i, slice(int(bounds[i]), int(bounds[i + 1])), local
            return
        bounds = np.searchsorted(rows, starts)
        for i in range(len(self._x)):
            if bounds[i] < bounds[i + 1]:
                yield (
                    i,
                    slice(bounds[i], bounds[i + 1]),
                    rows[bounds[i] : bounds[i + 1]] - starts[i],
                )

    def _count(self, rows: Rows) -> int:
        return len(range(*rows.indices(len(self)))) if isinstance(rows, slice) else len(rows)

    def _gather(
        self, parts: list[NDArray[Any]], rows: Rows, dtype: Any, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        shape = parts[0].shape[1:] if parts else (self._dim,)
        count = self._count(rows)
        out = np.empty((count, *shape), dtype) if out is None else out[:count]
        for i, target, local in self._parts(rows):
            if isinstance(local, slice) or parts[i].dtype != out.dtype:
                out[target] = parts[i][local]
            else:
                np.take(parts[i], local, axis=0, out=out[target], mode="clip")
        return out

    def x(self, rows: Rows, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return (n, D) float32, a copy. ``rows``: a slice, or increasing positions.

        ``out``, of at least n rows, spares an allocation (whose pages cost more than the copying).
        """
        return self._gather(self._x, rows, np.float32, out)

    def y(self, rows: Rows) -> NDArray[Any] | None:
        """Return the targets, a copy, if the stream has any."""
        if self._y is None:
            return None
        return self._gather(self._y, rows, self._y[0].dtype if self._y else np.float32)

    def z(self, rows: Rows) -> NDArray[Any]:
        """Return the coordinates, a copy."""
        parts = [z() for z in self._z]
        return self._gather(parts, rows, parts[0].dtype if parts else np.uint8)

    def set_z(self, rows: Rows, z: NDArray[Any]) -> None:
        """Set the coordinates."""
        for i, source, local in self._parts(rows):
            self._z[i]()[local] = z[source]
