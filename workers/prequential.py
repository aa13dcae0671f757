"""Prequential figures: each point that comes is first predicted with the model there is, then trained on.

What a model does on points that it has not seen yet (`NestedModel.outcomes`) is summed up here; the coordinator adds up
what workers tell. A point counts once at most: at the worker that it was sent to first, and in the life of that worker
in which it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Floats, added
from streammac.wire.reports import Predicted


class NewRows:
    """Which rows of a shard nobody has predicted yet: those that came in this life, and that no worker had before.

    The thread that stores notes what a worker had before it is stored; another one asks.

    Parameters
    ----------
    began : int
        Number of the first row of this life.
    """

    def __init__(self, began: int = 0) -> None:
        self._began = began
        self._others: tuple[tuple[int, int], ...] = ()

    def leave_out(self, first: int, stop: int) -> None:
        """Take notice that rows from ``first`` on, before ``stop`` at most, are to come that a worker had before."""
        before = self._others
        if before and before[-1][1] == first:
            first, before = before[-1][0], before[:-1]
        self._others = (*before, (first, stop))

    def left_out(self, stop: int) -> None:
        """Take notice that they have come, and where they ended."""
        *before, (first, _) = self._others
        self._others = (*before, (first, stop))

    def among(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of (n,) rows by their numbers whether they are new, (n,)."""
        new = numbers >= self._began
        if not self._others:
            return new
        starts, stops = np.array(self._others).T  # apart from each other, in order
        last = np.searchsorted(starts, numbers, side="right") - 1
        new &= (last < 0) | (numbers >= stops[last])
        return new


class Prequential:
    """Sums of outcomes since the worker began.

    Parameters
    ----------
    new_rows : NewRows
        Says which rows count.

    Attributes
    ----------
    predicted : Predicted
        The sums so far; replaced, never changed: another thread may take it.
    """

    def __init__(self, new_rows: NewRows | None = None) -> None:
        self._new_rows = new_rows or NewRows()
        self._until = 0  # rows of smaller numbers have been here
        self.predicted = Predicted()

    def take(
        self, rows: slice, number: Callable[[int], int], outcomes: Mapping[str, Floats]
    ) -> None:
        """Take the (n,) outcomes of rows at these positions, whose numbers ``number`` tells; in order of arrival.

        One that is not finite would make every mean so: its point does not count. Nor does one that comes again, after
        a step that failed.
        """
        numbers = _numbers(rows, number)
        counts = self._new_rows.among(numbers) & (numbers >= self._until)
        self._until = max(self._until, int(numbers[-1]) + 1)
        for values in outcomes.values():
            counts &= np.isfinite(values)
        before = self.predicted
        sums = {
            name: float(values[counts].sum(dtype=np.float64)) for name, values in outcomes.items()
        }
        points = before.points + int(counts.sum())
        self.predicted = Predicted(points, added(before.sums, sums))


def _numbers(rows: slice, number: Callable[[int], int]) -> NDArray[np.int64]:
    """Return the numbers of rows, at least one."""
    first, last = number(rows.start), number(rows.stop - 1)
    if last - first == rows.stop - rows.start - 1:
        return np.arange(first, last + 1)
    return np.array([number(position) for position in range(rows.start, rows.stop)])
