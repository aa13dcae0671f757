"""Points as arrays: the one form in which they are read, sent and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PointBlock:
    """Some points. Nothing is checked here: a store and an ingest node say what they take.

    Attributes
    ----------
    x : (n, D) array
        The points.
    y : (n, ...) array or None
        Their targets.
    time : (n,) array of float64 or None
        Event times, seconds since 1970.
    keys : sequence of n bytes
        The points' own names; empty if they have none.
    """

    x: NDArray[Any]
    y: NDArray[Any] | None = None
    time: NDArray[np.float64] | None = None
    keys: Sequence[bytes] = ()

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]], keys: Sequence[bytes] = ()) -> PointBlock:
        """Return the block of what `tensors` returned; ``x`` must be among it."""
        return cls(tensors["x"], tensors.get("y"), tensors.get("time"), keys)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that there are, by name."""
        columns = {"x": self.x, "y": self.y, "time": self.time}
        return {name: column for name, column in columns.items() if column is not None}

    def __len__(self) -> int:
        return len(self.x)

    @property
    def nbytes(self) -> int:
        """Bytes of arrays and keys."""
        return sum(array.nbytes for array in self.tensors().values()) + sum(map(len, self.keys))

    def take(self, rows: slice | NDArray[Any]) -> PointBlock:
        """Return some of the points: views for a slice, copies for positions or a mask."""
        keys = tuple(self.keys[i] for i in np.arange(len(self))[rows]) if self.keys else ()
        return PointBlock.of({name: a[rows] for name, a in self.tensors().items()}, keys)
