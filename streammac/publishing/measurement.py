"""How a model did on a probe, beside its baselines, and how far chance reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streammac.models.measures import Measures, Scores
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
    model : float
        Its mean over queries.
    reference : float
        That of the baseline which is fitted anew on each probe (`Measures.reference`).
    points, queries : int
        How many points were looked through, and for how many queries.
    others : dict
        The same of all baselines, and of ``initial``, the model from which training made this one, if that is known.
    titles : dict
        What all of these are, in words.
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
    reference: float
    points: int
    queries: int
    others: dict[str, float] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    measure: str = ""
    measures: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    properties: dict[str, float] = field(default_factory=dict)
    probe: int = 0
    leading: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False)

    def quality(self, version: int) -> Quality:
        """Return what the status tells of it: all but what is for pairs."""
        names = ("metric", "model", "points", "queries", "measure", "measures", "others", "titles")
        told: dict[str, Any] = {name: getattr(self, name) for name in names}
        told |= {name: self.others.get(name) for name in METHODS[1:]}
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
    scores: Mapping[str, Scores], of: Measures, leading: str, probe: int, points: int
) -> Measurement:
    """Put together what a probe has found.

    Parameters
    ----------
    scores : mapping
        Of the model and of what it is compared with, by method.
    of : Measures
        Those of the family.
    leading : str
        The leading measure.
    probe, points : int
        Number of the probe, and the points in it.
    """
    model = scores["model"]
    measures = {
        name: {method: estimate(one.shares[name]) for method, one in scores.items()}
        for name in of.names
    }
    means = {method: float(one.shares[leading].mean()) for method, one in scores.items()}
    own = means.pop("model")
    return Measurement(
        metric=of.names[leading],
        model=own,
        reference=means[of.reference],
        points=points,
        queries=len(model.shares[leading]),
        others={name: means[name] for name in of.titles if name in means},
        titles=dict(of.titles),
        measure=leading,
        measures=measures,
        properties=dict(model.properties),
        probe=probe,
        leading=model.shares[leading],
    )
