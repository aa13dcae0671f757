"""The held-out sample: a bounded random sample of the points of the feed that are never trained on.

Some of them ask what measures a model (`streammac.publishing.probe`). They are to tell of the same time as the points
that are stored: what came before all of those, or before a drift, is left out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, Floats
from streammac.models.outliers import near_points
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
    queries : (q, D) float32
        Random ones of the held-out points.
    of : int
        How many held-out points there were.
    changes, left_out : int
        Those of the `HeldOutSample` when they were drawn.
    """

    queries: Floats
    of: int
    changes: int
    left_out: int


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
    changes, left_out : int
        Points that have ever been taken, and those that have become too old.
    """

    def __init__(self, settings: HeldOutSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._rng = np.random.default_rng([seed, 1])
        self._lock = threading.Lock()
        self._points: Floats | None = None
        self._came = np.zeros(settings.points, np.int64)
        """How many points had been accepted when each of them came, at most."""
        self._filled = 0
        self._oldest = 0
        self.changes = self.left_out = 0

    def add(self, x: Array) -> int:
        """Take (n, D) held-out points; return how many are refused: not finite, out of range, or of another length.

        Once the sample is full each new point takes the place of a random one, and it is those of older points
        than any that is stored that are free first.
        """
        if x.ndim != 2 or x.shape[1] == 0 or x.dtype.kind not in "fiub":
            return len(x)
        offered = len(x)
        x = x[within(x)]
        with self._lock:
            if self._points is None:
                self._points = np.empty((self._settings.points, x.shape[1]), np.float32)
            if x.shape[1] != self._points.shape[1]:
                return offered
            room = min(len(x), len(self._points) - self._filled)
            places = np.concatenate(
                [
                    np.arange(self._filled, self._filled + room),
                    self._rng.integers(0, len(self._points), len(x) - room),
                ]
            )
            self._points[places], self._came[places] = x, JUST_NOW
            self._filled += room
            self.changes += len(x)
        return offered - len(x)

    def see(self, accepted: int, newest: int) -> None:
        """Take notice that of so many points that were ever accepted the newest ``newest`` are to be asked for."""
        with self._lock:
            self._came[self._came == JUST_NOW] = accepted
            self._oldest = accepted - newest
            self._leave_out()

    def sample(self) -> Floats | None:
        """Return the points that tell of those that are stored, (n, D); None while there are too few."""
        with self._lock:
            if self._points is None or self._filled < LEAST_POINTS:
                return None
            return self._points[: self._filled].copy()

    def _leave_out(self) -> None:
        """Forget what is too old, but not the newest few."""
        came = self._came[: self._filled]
        if self._points is None or self._filled <= FEWEST or came.min() >= self._oldest:
            return
        stay = np.flatnonzero(came >= min(self._oldest, np.sort(came)[-FEWEST]))
        self.left_out += self._filled - len(stay)
        self._filled = len(stay)
        self._points[: len(stay)], self._came[: len(stay)] = self._points[stay], came[stay]

    def draw(self) -> Drawn | None:
        """Draw queries, the same ones of the same points; None while there are too few points."""
        changes, left_out, points = self.changes, self.left_out, self.sample()
        if points is None:
            return None
        sample = near_points(points)
        order = np.random.default_rng([self._seed, 3]).permutation(len(sample))
        return Drawn(sample[order[: self._settings.queries]], len(points), changes, left_out)
