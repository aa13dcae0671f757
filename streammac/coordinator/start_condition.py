"""When training begins: with all the workers that there are to be, and enough points.

A pure decision of the coordinator, and what it tells people while it waits. A feed that has paused is not waited
for: then training begins with the points that are there.
"""

from __future__ import annotations

from dataclasses import dataclass

QUIET_S = 2.0
"""A feed that stores nothing for so long has nothing to wait for: training begins with what is there."""


@dataclass(slots=True)
class StartCondition:
    """What has to be there, and what is.

    Parameters
    ----------
    start_points : int
        So many points are enough.
    """

    start_points: int
    points: int = 0
    """Points to train on."""
    quiet: bool = False
    """Whether their number has not changed for `QUIET_S`."""
    _since: float = 0.0

    def count(self, points: int, now: float) -> None:
        """Take notice of how many points there are; call it often."""
        if points != self.points:
            self.points, self._since = points, now
        self.quiet = now - self._since > QUIET_S

    def waits_for(self, here: int, ready: int, needed: int, *, fed: bool) -> str | None:
        """Return in words what training waits for, None if it can begin.

        Parameters
        ----------
        here, ready, needed : int
            Workers that are here, those of them that can train, and how many have to.
        fed : bool
            Whether it is known what the points look like: workers cannot get ready before.

        Examples
        --------
        >>> condition = StartCondition(start_points=1000, points=200)
        >>> condition.waits_for(here=1, ready=1, needed=3, fed=True)
        'waiting for workers: 1 of 3 are here'
        >>> condition.waits_for(here=3, ready=3, needed=3, fed=True)
        'waiting for points: 200 of 1,000 to begin with'
        """
        if here < needed:
            some = f"workers: {here} of {needed} are here"
            return f"waiting for {'a worker' if needed == 1 else some}"
        if not fed:
            return "waiting for points"
        if ready < needed:
            return f"waiting for workers: {ready} of {needed} are ready"
        if not self.points:
            return "waiting for points"
        if self.points < self.start_points and not self.quiet:
            return f"waiting for points: {self.points:,} of {self.start_points:,} to begin with"
        return None
