"""How long a visit may take, so that the points that are stored now are in a published version in time.

A point may come just after an epoch has begun. It waits for the end of that epoch, takes part in the next one, and then
the model is measured and published: so an epoch may take a third of what `training.refresh` promises.
"""

from __future__ import annotations

SHARE_OF_EPOCH = 1 / 3
LEAST_S = 0.002
"""Time that a visit gets, however late it is: enough for a minibatch or two."""


class Pace:
    """Shares the time of an epoch out among the visits that are still to come, and the Z step.

    What else takes time (points that enter, tokens on their way, other members) leaves less for them: the end of the
    epoch stays where it is.

    Parameters
    ----------
    refresh_s : float
        The promise, seconds.

    >>> pace = Pace(refresh_s=9.0)
    >>> pace.begin(now=100.0, visits=5, turns=5)
    >>> pace.next_s(now=100.0)
    0.5
    >>> pace.next_s(now=101.0)  # it took longer, or the block came late
    0.4
    """

    def __init__(self, refresh_s: float) -> None:
        self.epoch_s = refresh_s * SHARE_OF_EPOCH
        self._end = 0.0
        self._left = 1
        self._stretch = 1.0

    def begin(self, now: float, visits: int, turns: int) -> None:
        """Begin an epoch of so many visits here; so many follow each other before a block has made all of its own."""
        self._end = now + self.epoch_s
        self._left = visits + 1
        self._stretch = max(1.0, turns / max(1, visits))

    def next_s(self, now: float) -> float:
        """Return how long the next visit, or the Z step, may take."""
        share_s = (self._end - now) / (max(1, self._left) * self._stretch)
        self._left -= 1
        return max(LEAST_S, share_s)
