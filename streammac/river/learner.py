"""What all the estimators share: a window of points, which features are inputs, and when to train.

Points wait until there are ``every`` of them; then the estimator trains on what it has, and begins anew where it needs
other inputs than it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from river.utils.dataframe import into_frame, to_numpy

from streammac.models.base import Floats
from streammac.river.features import FeatureError, Name, Row, columns_of, matrix, row_of


class WindowLearner(ABC):
    """Keeps the newest points, and has a subclass train on them.

    Parameters
    ----------
    window, every, seed : int
        As in the subclasses, which explain them.
    """

    def __init__(self, window: int, every: int, seed: int) -> None:
        if every < 1:
            raise ValueError(f"every: expected 1 or more, got {every}")
        if window < every:
            raise ValueError(f"window: expected at least as many as every, {every}, got {window}")
        self.window = window
        self.every = every
        self.seed = seed
        self._rows: deque[Row] = deque(maxlen=window)
        self._waiting = 0  # the newest points, which nothing was trained on yet
        self._columns: tuple[Name, ...] = ()
        self._chosen_from = self._since_chosen = (
            0  # points, when the columns were chosen and since then
        )

    @abstractmethod
    def _begin(self, points: Floats) -> None:
        """Make a model of all points that there are, (n, D), whose columns are `_columns`."""

    @abstractmethod
    def _go_on(self, new: Floats) -> None:
        """Train with those that are new, (n, D)."""

    @property
    def _outgrown(self) -> bool:
        """Whether the model cannot go on with what has come, whatever its columns are."""
        return False

    def _row(self, x: Mapping[Any, Any]) -> Row:
        return row_of(x, self._rows[-1] if self._rows else None)

    def _keep(self, row: Row) -> None:
        """Keep a point; with every so many of them, train."""
        self._rows.append(row)
        self._waiting += 1
        self._since_chosen += 1
        if self._waiting == self.every:
            self._train()
            self._waiting = 0

    def _train(self) -> None:
        rows = list(self._rows)
        # new columns need a new model: they wait until there would be one anyway
        wanted = columns_of(rows) if self._since_chosen >= self._chosen_from else self._columns
        if not wanted:
            return  # no point has a feature yet
        if wanted != self._columns or self._outgrown:
            self._columns = wanted
            self._chosen_from, self._since_chosen = len(rows), 0
            self._begin(matrix(rows, wanted))
        else:
            self._go_on(matrix(rows[-self._waiting :], wanted))


def rows_of(X: Any) -> Iterator[dict[Any, float]]:
    """Yield the rows of a data frame of any kind that River takes, as dicts of features; NaN where one is missing.

    Raises
    ------
    FeatureError
        If a column does not hold numbers.
    """
    frame = into_frame(X)
    try:
        values = to_numpy(frame, np.float64)
    except (TypeError, ValueError) as error:
        raise FeatureError(f"X: expected numbers in all columns: {error}") from error
    for row in values.tolist():
        yield dict(zip(frame.columns, row, strict=True))
