"""A shard as training sees it at one moment: all its rows, or after a drift the newest of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, LocalData
from streammac.points.stored_rows import StoredRows


class Snapshot(LocalData, Protocol):
    """The points of a shard at one moment. Rows keep their numbers while their positions move."""

    def number(self, position: int) -> int:
        """Return the number of the row at a position; of ``len(self)``, one more than the last row's."""
        ...

    def position(self, number: int) -> int:
        """Return where the row of a number is, or the next one that is still there."""
        ...


class SnapshotSource(Protocol):
    """A shard, as far as the learner needs one."""

    def view(self) -> Snapshot:
        """Return the points that are there now."""
        ...


Rows = slice | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recent:
    """A snapshot without its first rows, which are of another kind; see `Snapshot` for what it can do.

    Parameters
    ----------
    whole : Snapshot
        All of them.
    first : int
        Position of the first row that is shown.
    """

    whole: Snapshot
    first: int

    @property
    def dim(self) -> int:
        """Length of x."""
        return self.whole.dim

    @property
    def targets(self) -> int:
        """Length of y; 0: there are none."""
        return self.whole.targets

    def __len__(self) -> int:
        return len(self.whole) - self.first

    def _of_all(self, rows: Rows) -> Rows:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            return slice(start + self.first, stop + self.first)
        return rows + self.first

    def x(self, rows: Rows, out: Floats | None = None) -> Floats:
        """See `LocalData.x`."""
        return self.whole.x(self._of_all(rows), out)

    def y(self, rows: Rows) -> Array | None:
        """See `LocalData.y`."""
        return self.whole.y(self._of_all(rows))

    def z(self, rows: Rows) -> Array:
        """See `LocalData.z`."""
        return self.whole.z(self._of_all(rows))

    def set_z(self, rows: Rows, z: Array) -> None:
        """See `LocalData.set_z`."""
        self.whole.set_z(self._of_all(rows), z)

    def stored(self) -> StoredRows:
        """See `LocalData.stored`."""
        starts, x, z = self.whole.stored()
        part = min(int(np.searchsorted(starts, self.first, side="right")), len(x)) - 1
        skipped = self.first - int(starts[part])
        begin = np.maximum(starts[part:] - self.first, 0)
        return StoredRows(
            begin, [x[part][skipped:], *x[part + 1 :]], [z[part][skipped:], *z[part + 1 :]]
        )

    def number(self, position: int) -> int:
        """See `Snapshot.number`."""
        return self.whole.number(position + self.first)

    def position(self, number: int) -> int:
        """See `Snapshot.position`."""
        return max(0, self.whole.position(number) - self.first)
