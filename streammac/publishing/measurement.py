"""How a model did on a probe, beside its baselines, and how far chance reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streammac.models.measures import Scores
from streammac.wire.status import METHODS, PROPERTIES, Estimate, Quality

NORMAL = 1.96
"""Standard errors to either side in which a mean lies with a probability of 95 %."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The leading measure of one model beside the baselines, and all measures of all of them.

    Attributes
    ----------
    metric : str
        The leading measure, in words.
    model, itq, pca, random, initial : float
        Its mean over queries; ``initial`` is the model from which training made this one, None where nobody knows it.
    points, queries : int
        How many points were looked through, and for how many queries.
    measure : str
        Name of the leading measure.
    measures : dict
        Measure to method to its mean and margin.
    properties : dict
        What else the family tells of the model.
    probe : int
        Two measurements of the same probe are of the same queries and points: they can be compared in pairs.
    leading : ndarray
        The model's leading measure of each query, (q,); ``model`` is its mean.
    """

    metric: str
    model: float
    itq: float
    pca: float
    random: float
    points: int
    queries: int
    initial: float | None = None
    measure: str = ""
    measures: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    properties: dict[str, float] = field(default_factory=dict)
    probe: int = 0
    leading: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False)

    def quality(self, version: int) -> Quality:
        """Return what the status tells of it: all but what is for pairs."""
        names = ("metric", *METHODS, "points", "queries", "measure", "measures")
        told: dict[str, Any] = {name: getattr(self, name) for name in names}
        properties: dict[str, Any] = {name: self.properties.get(name) for name in PROPERTIES}
        return Quality(**told, **properties, version=version)

    def summary(self) -> dict[str, Any]:
        """Return the same JSON-serialisable, for the metadata of a version, which says itself which one it is."""
        told: dict[str, Any] = msgspec.to_builtins(self.quality(0))
        del told["version"]
        return told


def estimate(shares: NDArray[np.float64]) -> Estimate:
    """Return the mean over queries of (q,) values, and half the width of its 95 % confidence interval.

    >>> estimate(np.array([0.0, 1.0, 0.0, 1.0]))
    Estimate(value=0.5, margin=0.5658)
    """
    count = len(shares)
    error = float(shares.std(ddof=1)) / math.sqrt(count) if count > 1 else 1.0
    return Estimate(round(float(shares.mean()), 6), round(NORMAL * error, 4))


def measurement(
    scores: Mapping[str, Scores], words: Mapping[str, str], leading: str, probe: int, points: int
) -> Measurement:
    """Put together what a probe has found.

    Parameters
    ----------
    scores : mapping
        Of the model and of what it is compared with, by method.
    words : mapping
        `Measures.names` of the family.
    leading : str
        The leading measure.
    probe, points : int
        Number of the probe, and the points in it.
    """
    model = scores["model"]
    measures = {
        name: {method: estimate(one.shares[name]) for method, one in scores.items()}
        for name in words
    }
    means = {method: float(one.shares[leading].mean()) for method, one in scores.items()}
    return Measurement(
        metric=words[leading],
        **{method: means.get(method, 0.0) for method in ("model", "itq", "pca", "random")},
        points=points,
        queries=len(model.shares[leading]),
        initial=means.get("initial"),
        measure=leading,
        measures=measures,
        properties=dict(model.properties),
        probe=probe,
        leading=model.shares[leading],
    )
