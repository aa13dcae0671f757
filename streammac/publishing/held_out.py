"""The held-out sample: points held out of training, on which every version's retrieval is measured.

A bounded random sample of the feed. Each of some query points looks for its true neighbours among the
rest, by Hamming distance of codes; the same is done with the codes of three baselines (ITQ, the signs
of principal components, random projections) fitted on the held-out sample itself, which if anything flatters them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, NestedModel
from streammac.models.outliers import near_points
from streammac.models.retrieval import baselines, bit_entropy, precisions, true_neighbours
from streammac.points.range import within
from streammac.settings.schema import HeldOut as HeldOutSettings

LEAST_POINTS = 50
"""With fewer points no share of found neighbours means anything."""
LEAST_RETRIEVED = 5
REFRESH_SHARE = 0.1
"""Neighbours and baselines are computed anew when so much of the sample has changed."""

PAIRED = ("probe", "leading")
"""What of a measurement is for comparing it with another one."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Retrieval quality of one version beside the baselines, all on the same points."""

    metric: str
    model: float
    itq: float
    pca: float
    random: float
    points: int
    queries: int
    entropy: float = 0.0
    """Entropy of a bit of the model's codes, mean over bits: 1 where it is on for half of the points."""
    least_entropy: float = 0.0
    """Entropy of the least balanced bit; 0: it is constant and tells nothing."""
    probe: int = 0
    """Two measurements of the same probe are of the same queries and points: they can be compared in pairs."""
    leading: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False)
    """The model's leading measure of each query, (q,); ``model`` is its mean."""

    def summary(self) -> dict[str, Any]:
        """Return what can be told of it in a few numbers: all but those of single queries."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in PAIRED}


class HeldOutSample:
    """A random sample of held-out points and what was computed from it.

    Parameters
    ----------
    settings : streammac.settings.schema.Held-out
        Size of the sample, number of queries, share of neighbours.
    seed : int
        Seed of the sampling and of the random baselines.
    """

    def __init__(self, settings: HeldOutSettings, seed: int) -> None:
        self._settings = settings
        self._rng = np.random.default_rng([seed, 1])
        self._seed = seed
        self._points: Floats | None = None
        self._filled = 0
        self._changed = 0
        self._task: Task | None = None
        self._tasks = 0

    def add(self, x: Array) -> int:
        """Take (n, D) held-out points; return how many are refused: not finite, out of range, or of another length.

        Once the sample is full each new point takes the place of a random one, so that the held-out sample
        follows a drifting feed and forgets at the pace of its size.
        """
        if x.ndim != 2 or x.shape[1] == 0 or x.dtype.kind not in "fiub":
            return len(x)
        offered = len(x)
        x = x[within(x)]
        if self._points is None:
            self._points = np.empty((self._settings.points, x.shape[1]), np.float32)
        if x.shape[1] != self._points.shape[1]:
            return offered
        room = min(len(x), len(self._points) - self._filled)
        self._points[self._filled : self._filled + room] = x[:room]
        self._filled += room
        rest = x[room:]
        self._points[self._rng.integers(0, len(self._points), len(rest))] = rest
        self._changed += len(x)
        return offered - len(x)

    def sample(self) -> Floats | None:
        """Return the points that there are, (n, D); None while there are too few."""
        if self._points is None or self._filled < LEAST_POINTS:
            return None
        return self._points[: self._filled].copy()

    def task(self, bits: int) -> Task | None:
        """Return what versions are to be measured on; None while there are too few points."""
        if self._points is None or self._filled < LEAST_POINTS:
            return None
        if self._task is None or self._changed > REFRESH_SHARE * self._task.points:
            self._changed = 0
            # one outlier among the points that the baselines are fitted on would flatter the model
            sample = near_points(self._points[: self._filled].copy())
            self._tasks += 1
            self._task = Task(sample, self._settings, bits, self._seed, self._tasks)
        return self._task


class Task:
    """A frozen sample: its queries, their true neighbours, and the baselines' results."""

    def __init__(
        self, x: Floats, settings: HeldOutSettings, bits: int, seed: int, number: int
    ) -> None:
        self.number = number
        self.points = len(x)
        queries = min(settings.queries, len(x) // 2)
        self._queries, self._database = x[:queries], x[queries:]
        self._near = max(LEAST_RETRIEVED, round(settings.neighbours_share * len(self._database)))
        self._retrieved = max(LEAST_RETRIEVED, self._near // 10)
        self._bits = bits
        self._rng = np.random.default_rng([seed, 2])

    @cached_property
    def _neighbours(self) -> NDArray[np.int64]:
        return true_neighbours(self._database, self._queries, self._near)

    @cached_property
    def _baselines(self) -> dict[str, float]:
        fitted = baselines(self._database, self._bits, self._rng)
        return {
            name: float(self._precisions(encode(self._queries), encode(self._database)).mean())
            for name, encode in fitted.items()
        }

    def _precisions(
        self, queries: NDArray[np.uint8], database: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        return precisions(queries, database, self._neighbours, self._retrieved)

    def measure(self, model: NestedModel, params: Mapping[str, Array]) -> Measurement:
        """Measure a version."""
        queries = model.encode(params, self._queries.copy())
        database = model.encode(params, self._database.copy())
        entropy = bit_entropy(database, self._bits)
        leading = self._precisions(queries, database)
        return Measurement(
            metric=f"share of true {self._near} nearest among the first {self._retrieved} retrieved",
            model=float(leading.mean()),
            points=self.points,
            queries=len(self._queries),
            entropy=float(entropy.mean()),
            least_entropy=float(entropy.min()),
            probe=self.number,
            leading=leading,
            **self._baselines,
        )
