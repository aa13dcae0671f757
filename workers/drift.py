"""Watching a shard for drift: River's ADWIN over the error of new points, for what makes it grow.

What the error is, the model's family says (`NestedModel.watched`): of codes that of reconstruction, of nets the loss.

Each worker watches its own share of the feed, as points enter and before anything is trained on them; the
coordinator takes the word of those who have most of the points.
"""

from __future__ import annotations

import numpy as np

from streammac.models.base import Floats
from workers.adwin import Adwin

GROUP = 8
"""Points averaged into one observation, and observations between two looks of the detector. ADWIN believes no change
before some thirty observations: with more points in each, a fresh model often came before the alarm."""


RECENT = 256
"""Observations among which the change is looked for that an alarm tells of."""


def tail(means: Floats) -> int:
    """Return how many of the last of (n,) observations differ most from those before them.

    >>> tail(np.array([1.0, 1.2, 0.9, 3.0, 2.8], np.float32))
    2
    """
    count = len(means)
    last = np.arange(1, count)
    of_last = np.cumsum(means[::-1], dtype=np.float64)[:-1]
    gap = of_last / last - (means.sum(dtype=np.float64) - of_last) / (count - last)
    return int(np.argmax(last * (count - last) * gap**2)) + 1


class DriftWatch:
    """An ADWIN detector on the mean nested error of groups of points, relative to that of the stored ones.

    Parameters
    ----------
    delta : float
        ADWIN's confidence: smaller means fewer false alarms.
    """

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._rest = np.empty(0, np.float32)
        self._recent = np.empty(0, np.float32)
        self.newest: float | None = None
        """Mean error of the points that entered last."""
        self.raised: float | None = None
        """Mean error at the last alarm that nobody has taken yet."""
        self.since = self.before = 0
        """Points since the change that the last alarm told of, and those there were before; 0 where that is over."""
        self._adwin: Adwin | None = None

    def reset(self) -> None:
        """Forget all errors: those of another model tell nothing."""
        self._rest, self._recent = np.empty(0, np.float32), np.empty(0, np.float32)
        self._adwin, self.raised = None, None

    def observe(self, errors: Floats, usual: float = 1.0) -> None:
        """Take the (n,) errors of new points, in order of arrival; one that falls is no alarm: the model learns.

        ``usual`` is the mean error of the points that are stored: what training does to both is no drift.
        """
        count = len(errors)
        self.newest = float(errors.mean()) if count else self.newest
        errors = np.concatenate([self._rest, errors / np.float32(usual)])
        self.since += count if self.since else 0
        whole = len(errors) // GROUP * GROUP
        self._rest = errors[whole:]
        detector = self._adwin = self._adwin or Adwin(self._delta, clock=GROUP)
        means = errors[:whole].reshape(-1, GROUP).mean(axis=1)
        for number, value in enumerate(means, 1):
            before = detector.estimation
            detector.update(float(value))
            if detector.drift_detected and detector.estimation > before:
                self.raised = float(value) * usual
                groups = tail(np.concatenate([self._recent, means[:number]]))
                self.since = groups * GROUP + len(errors) - number * GROUP
        self._recent = np.concatenate([self._recent, means])[-RECENT:]

    def take(self) -> float | None:
        """Return the alarm, if any, and forget it."""
        raised, self.raised = self.raised, None
        return raised
