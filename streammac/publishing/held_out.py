"""The held-out sample: a bounded random sample of the points of the feed that are never trained on.

Some of them ask what measures a model (`streammac.publishing.probe`). They are to tell of the same time as the points
that are stored: what came before all of those, or before a drift, is left out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats
from streammac.models.outliers import near_points
from streammac.points.block import PointBlock
from streammac.points.range import within
from streammac.settings.schema import HeldOut as HeldOutSettings

LEAST_POINTS = 50
"""With fewer queries no mean over them says anything."""
JUST_NOW = np.iinfo(np.int64).max
FEWEST = 4 * LEAST_POINTS
"""So many of the newest are never left out: a small window has too few of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What a probe is made of.

    Attributes
    ----------
    queries : PointBlock
        Random ones of the held-out points, (q, D) float32, with their targets.
    of : int
        How many held-out points there were.
    changes : int
        `HeldOutSample.changes` when they were drawn.
    came : (of,) int64
        How many points had been accepted when each of those came.
    """

    queries: PointBlock
    of: int
    changes: int
    came: NDArray[np.int64]


class HeldOutSample:
    """A random sample of held-out points. One thread adds to it, another one draws.

    Parameters
    ----------
    settings : streammac.settings.schema.HeldOut
        Size of the sample, number of queries.
    seed : int
        Seed of the sampling.

    Attributes
    ----------
    changes : int
        Points that have ever been taken.
    """

    def __init__(self, settings: HeldOutSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._rng = np.random.default_rng([seed, 1])
        self._lock = threading.Lock()
        self._points: Floats | None = None
        self._targets: Floats | None = None
        self._came = np.zeros(settings.points, np.int64)
        """How many points had been accepted when each of them came, at most."""
        self._filled = 0
        self._stored_since = self._drifted = 0
        self.changes = 0

    def add(self, x: Array, y: Array | None = None) -> int:
        """Take (n, D) held-out points, with (n, K) targets if the stream has any; return how many are refused.

        Refused is what is not finite, out of range, or of another length. Once the sample is full each new point takes
        the place of a random one, and it is those of older points than any that is stored that are free first.
        """
        if x.ndim != 2 or x.shape[1] == 0 or x.dtype.kind not in "fiub":
            return len(x)
        offered = len(x)
        targets = np.empty((offered, 0), np.float32) if y is None else y
        if targets.shape[:1] != (offered,) or targets.ndim != 2:
            return offered
        good = within(x) & np.isfinite(targets).all(axis=1)
        x, targets = x[good], targets[good]
        with self._lock:
            if self._points is None or self._targets is None:
                self._points = np.empty((self._settings.points, x.shape[1]), np.float32)
                self._targets = np.empty((self._settings.points, targets.shape[1]), np.float32)
            widths = self._points.shape[1], self._targets.shape[1]
            if (x.shape[1], targets.shape[1]) != widths:
                return offered
            if self._filled + len(x) > len(self._points):
                self._make_room(self._points, self._targets)
            room = min(len(x), len(self._points) - self._filled)
            places = np.concatenate(
                [
                    np.arange(self._filled, self._filled + room),
                    self._rng.integers(0, len(self._points), len(x) - room),
                ]
            )
            self._points[places], self._targets[places] = x, targets
            self._came[places] = JUST_NOW
            self._filled += room
            self.changes += len(x)
        return offered - len(x)

    def see(self, accepted: int, stored: int, since: int = 0) -> None:
        """Take notice of what queries are to tell of.

        Parameters
        ----------
        accepted : int
            Points that were ever accepted.
        stored : int
            So many of the newest are stored.
        since : int
            As many had been accepted when a drift was noticed; 0: there is none.
        """
        with self._lock:
            self._came[self._came == JUST_NOW] = accepted
            self._stored_since, self._drifted = accepted - stored, since

    def sample(self) -> Floats | None:
        """Return the points that are to ask, (n, D); None while there are too few."""
        asking = self._asking()
        return None if asking is None else asking[0].x

    def too_old(self, drawn: Drawn) -> int:
        """Return how many of the points that were drawn from are not to ask any more."""
        with self._lock:
            return int((drawn.came < self._oldest(self._drifted)).sum())

    def _oldest(self, since: int) -> int:
        """Return when the oldest came that is to ask: not before all that is stored, but the newest few in any case."""
        first = max(self._stored_since, since)
        newest = np.sort(self._came[: self._filled])[-FEWEST:]
        return min(first, int(newest[0])) if len(newest) else first

    def _asking(self) -> tuple[PointBlock, NDArray[np.int64]] | None:
        """Return the points that are to ask, and when they came."""
        with self._lock:
            x, y = self._points, self._targets
            if x is None or y is None or self._filled < LEAST_POINTS:
                return None
            came = self._came[: self._filled]
            asking = np.flatnonzero(came >= self._oldest(self._drifted))
            points = PointBlock(x[asking], y[asking] if y.shape[1] else None)
            return points, came[asking]

    def _make_room(self, points: Floats, targets: Floats) -> None:
        """Forget what came before all that is stored."""
        came = self._came[: self._filled]
        stay = np.flatnonzero(came >= self._oldest(0))
        self._filled = len(stay)
        points[: len(stay)], targets[: len(stay)] = points[stay], targets[stay]
        self._came[: len(stay)] = came[stay]

    def draw(self) -> Drawn | None:
        """Draw queries, the same ones of the same points; None while there are too few points."""
        changes, asking = self.changes, self._asking()
        if asking is None:
            return None
        points, came = asking
        sample = np.flatnonzero(near_points(points.x))
        order = np.random.default_rng([self._seed, 3]).permutation(len(sample))
        queries = points.take(sample[order[: self._settings.queries]])
        return Drawn(queries, len(points), changes, came)
