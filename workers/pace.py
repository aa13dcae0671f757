"""How long a visit may take: as long as was set, or so long that points are in a published version in time.

For `training.refresh`: a point may come just after an epoch has begun. It waits for the end of that epoch, takes part
in the next one, and then the model is written. So an epoch may take a third of what is promised.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from streammac.settings.schema import Training, duration_s, visit_budget

SHARE_OF_EPOCH = 1 / 3
LEAST_S = 0.002
"""Time that a visit gets, however late it is: enough for a minibatch or two."""


class Pace(Protocol):
    """Says how long visits and Z steps may take."""

    hurries: ClassVar[bool]
    """Points that are new come first in a visit."""

    def begin(self, now: float, visits: int, turns: int) -> None:
        """Begin an epoch of so many visits here; so many follow each other before a block has made all of its own."""
        ...

    def next_s(self, now: float) -> float:
        """Return how long the next visit, or the Z step, may take, seconds."""
        ...


class Even:
    """Gives each visit the same time."""

    hurries: ClassVar[bool] = False

    def __init__(self, visit_s: float) -> None:
        self._visit_s = visit_s

    def begin(self, now: float, visits: int, turns: int) -> None:
        """See `Pace.begin`."""

    def next_s(self, now: float) -> float:
        """See `Pace.next_s`."""
        return self._visit_s


class Refreshing:
    """Shares the time of an epoch out among the visits that are still to come, and the Z step.

    What else takes time (points that enter, tokens on their way, other members) leaves less for them: the end of the
    epoch stays where it is.

    Parameters
    ----------
    refresh_s : float
        The promise, seconds.

    >>> pace = Refreshing(refresh_s=9.0)
    >>> pace.begin(now=100.0, visits=5, turns=5)
    >>> pace.next_s(now=100.0)
    0.5
    >>> pace.next_s(now=101.0)  # it took longer, or the block came late
    0.4
    """

    hurries: ClassVar[bool] = True

    def __init__(self, refresh_s: float) -> None:
        self.epoch_s = refresh_s * SHARE_OF_EPOCH
        self._end = 0.0
        self._left = 1
        self._stretch = 1.0

    def begin(self, now: float, visits: int, turns: int) -> None:
        """See `Pace.begin`."""
        self._end = now + self.epoch_s
        self._left = visits + 1
        self._stretch = max(1.0, turns / max(1, visits))

    def next_s(self, now: float) -> float:
        """See `Pace.next_s`."""
        share_s = (self._end - now) / (max(1, self._left) * self._stretch)
        self._left -= 1
        return max(LEAST_S, share_s)


def pace_of(training: Training) -> Pace | None:
    """Return the pace that is asked for; None: nothing bounds a visit but its points."""
    _, visit_s = visit_budget(training.visit_budget)
    refresh_s = duration_s(training.refresh)
    if refresh_s is not None:
        return Refreshing(refresh_s)
    return Even(visit_s) if visit_s is not None else None
