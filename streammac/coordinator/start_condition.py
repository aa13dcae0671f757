"""When training begins: with all the workers that there are to be, and enough points.

A pure decision of the coordinator, and what it tells people while it waits. Nobody is waited for in vain: when no
worker has come for a while, training begins with those that are there, and when a feed has paused, with its points.
"""

from __future__ import annotations

import math
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
    join_s : float, optional
        Workers that are missing are waited for until none has come for so long; None: for ever.
    """

    start_points: int
    join_s: float | None = None
    points: int = 0
    """Points to train on."""
    quiet: bool = False
    """Whether their number has not changed for `QUIET_S`."""
    left_s: float | None = None
    """How long those that are missing are still waited for; not more than 0 if no longer."""
    _since: float = 0.0
    _most: tuple[int, int, bool] = (0, 0, False)
    _came_at: float | None = None

    def gather(self, here: int, ready: int, now: float, *, fed: bool) -> None:
        """Take notice of who is there, as `waits_for` is told; call it often.

        A worker gets ready once it is fed, and one that comes and goes again and again is no news.
        """
        here_most, ready_most, was_fed = self._most
        most = max(here, here_most), max(ready, ready_most), fed or was_fed
        if most != self._most or self._came_at is None:
            self._most, self._came_at = most, now
        if self.join_s is not None:
            self.left_s = self._came_at + self.join_s - now

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
        >>> condition.join_s = 15
        >>> condition.gather(here=1, ready=1, now=0, fed=True)
        >>> condition.gather(here=1, ready=1, now=3, fed=True)
        >>> condition.waits_for(here=1, ready=1, needed=3, fed=True)
        'waiting for workers: 1 of 3 are here; training begins without the others in 12 s'
        >>> condition.waits_for(here=3, ready=3, needed=3, fed=True)
        'waiting for points: 200 of 1,000 to begin with'
        """
        alone = self.left_s is not None and self.left_s <= 0
        if here < needed and not (here and alone):
            return "waiting for a worker" if needed == 1 else self._missing(here, needed, "here")
        if not fed:
            return "waiting for points"
        if ready < needed and not (ready and alone):
            return self._missing(ready, needed, "ready")
        if not self.points:
            return "waiting for points"
        if self.points < self.start_points and not self.quiet:
            return f"waiting for points: {self.points:,} of {self.start_points:,} to begin with"
        return None

    def _missing(self, some: int, needed: int, state: str) -> str:
        begins = ""
        if some and self.left_s is not None:
            begins = f"; training begins without the others in {math.ceil(self.left_s)} s"
        return f"waiting for workers: {some} of {needed} are {state}{begins}"
