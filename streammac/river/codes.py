"""Binary codes as features of whatever comes behind in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base
from river.utils.dataframe import into_frame, to_native_frame

from streammac.models.base import Floats
from streammac.models.outliers import near_points
from streammac.river.autoencoder import AutoencoderLearner, Trained
from streammac.river.features import Name, Row, matrix, row_of
from streammac.river.learner import rows_of

BETTER = 0.9
"""A new model is used if its error is less than so much of that of the one there is: every other one costs bits."""


class BinaryCodes(AutoencoderLearner, base.MiniBatchTransformer):
    """The bits of a binary autoencoder's code, as features that are 0 or 1.

    A bit says on which side of a hyperplane a point is; the hyperplanes are trained so that points with the same
    bits are near each other. A linear model on bits is a piecewise constant function of the features.

    Before the first model all bits are 0. A new model is used if it reconstructs the window better by a tenth, and its
    bits are named after those of the model before: what comes behind need not learn their meaning anew. A feature that
    is missing counts as 0; one that is new counts from the next time that a model is made from scratch, which is when
    points have doubled or the window has been replaced.

    Parameters
    ----------
    bits
        Length of the code.
    window
        The newest points are kept, so many of them.
    every
        Train after so many new points; so many also make the first model.
    seed
        Of everything random: the same points and seed give the same bits.

    Examples
    --------
    >>> from river import datasets, preprocessing
    >>> model = preprocessing.StandardScaler() | BinaryCodes(bits=4)
    >>> for x, _ in datasets.ImageSegments().take(150):
    ...     model.learn_one(x)
    >>> model.transform_one(x)
    {'bit0': ..., 'bit1': ..., 'bit2': ..., 'bit3': ...}
    """

    def __init__(self, bits: int = 32, window: int = 2000, every: int = 100, seed: int = 0) -> None:
        super().__init__(bits, window, every, seed)

    def transform_one(self, x: Mapping[Any, Any]) -> dict[Name, int]:
        """Return the bits of a point by name."""
        (code,) = self._codes([row_of(x)], self._trained).tolist()
        return dict(zip(self._names, code, strict=True))

    def transform_many(self, X: Any) -> Any:
        """Return the bits of the points of a data frame, in one of the same kind."""
        codes = self._codes([row_of(row) for row in rows_of(X)], self._trained)
        return to_native_frame(codes, like=into_frame(X), columns=self._names)

    @property
    def _names(self) -> list[str]:
        return [f"bit{number}" for number in range(self.bits)]

    def _codes(self, rows: list[Row], trained: Trained | None) -> NDArray[np.uint8]:
        if trained is None:
            return np.zeros((len(rows), self.bits), np.uint8)
        return self._family.coordinates(trained.params, matrix(rows, trained.columns))

    def _followed(self, new: Trained) -> Trained:
        """Return the model that there is unless the new one is better; else that one, its bits named after the old."""
        old, rows = self._trained, list(self._rows)
        if old is None:
            return new
        if old.columns == new.columns:
            points = matrix(rows, new.columns)
            points = points[near_points(points)]
            if self._error(new, points) >= BETTER * self._error(old, points):
                return old
        known = self._codes(rows, old)
        params = self._family.aligned(new.params, matrix(rows, new.columns), known)
        return replace(new, params=params)

    def _error(self, trained: Trained, points: Floats) -> float:
        codes = self._family.coordinates(trained.params, points.copy())
        errors = points - self._family.decode(trained.params, codes)
        return float(np.square(errors).mean(dtype=np.float64))
