"""What the estimators share: a window of points, and a binary autoencoder that follows it.

Points wait until there are ``every`` of them; then the scikit-learn estimator trains on them and on those that its
window still has, by the rules that it has for streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from river.utils.dataframe import into_frame, to_numpy

from streammac.models.base import Array
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.estimator import BinaryAutoencoder
from streammac.river.features import FeatureError, Name, Row, columns_of, matrix, row_of


@dataclass(frozen=True, slots=True)
class Trained:
    """A model with the features that it is of.

    Attributes
    ----------
    columns : tuple of D names
        Features in the order of the model's inputs.
    params : mapping of str to array
        See `streammac.models.binary_autoencoder`.
    usual : float
        Mean error of the points that it was trained on, those aside that are far from all others.
    """

    columns: tuple[Name, ...]
    params: Mapping[str, Array]
    usual: float


class AutoencoderLearner:
    """Keeps the newest points and trains a binary autoencoder on them; subclasses make an estimator of it.

    The parameters are those of the subclasses, where they are explained.
    """

    def __init__(self, bits: int, window: int, every: int, seed: int) -> None:
        if every < 1:
            raise ValueError(f"every: expected 1 or more, got {every}")
        if window < every:
            raise ValueError(f"window: expected at least as many as every, {every}, got {window}")
        self.bits = bits
        self.window = window
        self.every = every
        self.seed = seed
        self._family = BinaryAutoencoderModel(bits=bits, seed=seed)
        self._autoencoder = BinaryAutoencoder(bits, window=window, random_state=seed)
        self._rows: deque[Row] = deque(maxlen=window)
        self._waiting = 0  # the newest points, which nothing was trained on yet
        self._chosen_from = self._since_chosen = (
            0  # points, when the columns were chosen and since then
        )
        self._trained: Trained | None = None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        # River's checks bring few points
        yield {"bits": 4, "window": 200, "every": 25}

    def learn_one(self, x: Mapping[Any, Any]) -> None:
        """Keep a point; with every so many of them, train.

        Raises
        ------
        FeatureError
            If a feature is no number; the point is not kept.
        """
        self._rows.append(row_of(x, self._rows[-1] if self._rows else None))
        self._waiting += 1
        self._since_chosen += 1
        if self._waiting == self.every:
            self._train()
            self._waiting = 0

    def learn_many(self, X: Any) -> None:
        """Learn the points of a data frame, one after the other."""
        for row in rows_of(X):
            self.learn_one(row)

    def _train(self) -> None:
        rows, model = list(self._rows), self._autoencoder
        columns = self._trained.columns if self._trained else ()
        # new columns need a new model: they wait until there would be one anyway
        wanted = columns_of(rows) if self._since_chosen >= self._chosen_from else columns
        if not wanted:
            return  # no point has a feature yet
        if wanted != columns:
            self._chosen_from, self._since_chosen = len(rows), 0
            model.fit(matrix(rows, wanted))
        else:
            model.partial_fit(matrix(rows[-self._waiting :], wanted))
        self._trained = self._followed(Trained(wanted, model.params_, model.objective_))

    def _followed(self, new: Trained) -> Trained:
        """Return the model that is used from now on."""
        return new


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
