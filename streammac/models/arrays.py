"""A shard that is a plain array in memory: for embedding, the serial reference, and tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats
from streammac.points.stored_rows import StoredRows

Rows = slice | NDArray[np.int64]


def _plain(x: Array) -> Array:
    """Return points as a shard on disk has them: uint8 or float32, row after row."""
    return np.ascontiguousarray(x, x.dtype if x.dtype in (np.uint8, np.float32) else np.float32)


def _targets(y: Array) -> Array:
    return np.ascontiguousarray(y, np.float32).reshape(len(y), -1)


class ArrayShard:
    """Points in memory with their coordinates (a `LocalData`, and its own snapshot).

    Parameters
    ----------
    x : (n, D) array
        The points.
    coordinate_shape : tuple
        What `NestedModel.coordinate_shape` returns.
    y : (n, K) array, optional
        Their targets; (n,) of one each.
    """

    def __init__(
        self,
        x: Array,
        coordinate_shape: tuple[tuple[int, ...], np.dtype[np.generic]],
        y: Array | None = None,
    ) -> None:
        shape, dtype = coordinate_shape
        self._x = _plain(x)
        self._y = None if y is None else _targets(y)
        self._z = np.zeros((len(x), *shape), dtype)
        self._dropped = 0

    @property
    def dim(self) -> int:
        """Length of x."""
        return int(self._x.shape[1])

    @property
    def targets(self) -> int:
        """Length of y; 0: there are none."""
        return 0 if self._y is None else int(self._y.shape[1])

    def __len__(self) -> int:
        return len(self._x)

    def view(self) -> ArrayShard:
        """Return itself: it shows what is there now."""
        return self

    def extend(self, x: Array, y: Array | None = None) -> None:
        """Append points, with targets if the others have any; their coordinates are zeros until they enter."""
        self._x = _plain(np.concatenate([self._x, x]))
        if self._y is not None and y is not None:
            self._y = np.concatenate([self._y, _targets(y)])
        self._z = np.concatenate([self._z, np.zeros((len(x), *self._z.shape[1:]), self._z.dtype)])

    def keep_last(self, points: int) -> None:
        """Drop all but the newest points."""
        self._dropped += max(0, len(self._x) - points)
        self._x, self._z = self._x[-points:], self._z[-points:]
        self._y = None if self._y is None else self._y[-points:]

    def number(self, position: int) -> int:
        """Return the number of the row at a position: rows keep theirs when older ones are dropped."""
        return self._dropped + position

    def position(self, number: int) -> int:
        """Return how many rows have a smaller number."""
        return min(len(self), max(0, number - self._dropped))

    def x(self, rows: Rows, out: Floats | None = None) -> Floats:
        """See `LocalData.x`."""
        if out is None:
            return np.array(self._x[rows], np.float32)
        part = self._x[rows]
        out[: len(part)] = part
        return out[: len(part)]

    def y(self, rows: Rows) -> Array | None:
        """See `LocalData.y`."""
        return None if self._y is None else self._y[rows].copy()

    def z(self, rows: Rows) -> Array:
        """See `LocalData.z`."""
        return self._z[rows].copy()

    def set_z(self, rows: Rows, z: Array) -> None:
        """See `LocalData.set_z`."""
        self._z[rows] = z

    def stored(self) -> StoredRows:
        """See `LocalData.stored`."""
        return StoredRows(np.array([0, len(self)]), [self._x], [self._z])
