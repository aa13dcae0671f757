"""Points that a model of the others cannot reconstruct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from river import base

from streammac.points.block import PointBlock
from streammac.river.autoencoder import AutoencoderLearner
from streammac.river.features import matrix, row_of


class ReconstructionScorer(AutoencoderLearner, base.AnomalyDetector):
    """Scores points by the error with which a binary autoencoder reconstructs them from their codes.

    With a mean error e of the points that are trained on, a point with error E has the score ``E / (E + e)``: 0 is
    a perfect reconstruction, 0.5 the usual error, 0.9 nine times as much, and never more than 1. Before the first
    model it is 0.

    Points that are far from all others have no part in training, and a tenth of the window may be such. Bring features
    to one scale first, for example with ``preprocessing.StandardScaler``: errors add up over them. A feature that is
    missing counts as 0; one that is new counts from the next time that a model is made from scratch, which is when
    points have doubled or the window has been replaced.

    Parameters
    ----------
    bits
        Length of the code. With few bits only what most points have in common is usual.
    window
        The newest points are kept, so many of them.
    every
        Train after so many new points; so many also make the first model.
    seed
        Of everything random: the same points and seed give the same scores.

    Examples
    --------
    >>> from river import datasets, preprocessing
    >>> model = preprocessing.StandardScaler() | ReconstructionScorer()
    >>> for x, _ in datasets.ImageSegments().take(500):
    ...     model.learn_one(x)
    >>> 0.2 < model.score_one(x) < 0.8
    True
    >>> model.score_one(x | {"hue-mean": 100.0}) > 0.9
    True
    """

    def __init__(self, bits: int = 4, window: int = 2000, every: int = 100, seed: int = 0) -> None:
        super().__init__(bits, window, every, seed)

    def score_one(self, x: Mapping[Any, Any]) -> float:
        """Return how unusual a point is, 0 to 1."""
        row = row_of(x)
        if self._trained is None:
            return 0.0
        point = PointBlock(matrix([row], self._trained.columns))
        error = float(self._family.errors(self._trained.params, point)[0])
        return error / (error + self._trained.usual) if error else 0.0
