"""When the continuation in mu begins anew: the data has grown or been replaced, or has drifted.

MAC lets the penalty mu grow epoch by epoch (MAC, section 3). On a feed that is only right while the
data stays what it was. The coordinator asks `Continuation` after every epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streammac.wire.messages import EpochPlan, RestartContinuation

MAJORITY = 0.6
"""Drift votes decide with so much of all points: of two workers with about as many, one alone does not."""
VOTE_EPOCHS = 10
"""Drift votes count together if they fall into so many epochs,"""
VOTE_S = 15.0
"""or into so many seconds: epochs may be much shorter than the time that the feed takes to reach all workers."""
TURNED_OVER = (0.5, 1.0)
"""After a drift, begin anew whenever so much of the data has been replaced; from new statistics when all of it has."""


@dataclass(slots=True)
class Continuation:
    """The rule for restarts, with its memory.

    Attributes
    ----------
    growth : float
        Restart, from new statistics, when the stored points have grown by this factor.
    enabled : bool
        False: never restart (deterministic runs).
    """

    growth: float
    enabled: bool = True
    number: int = 0
    points: int = 0
    """Points stored at the last (re)start."""
    appended: int = 0
    """Points ever stored by then."""
    drifts: int = 0
    """Drift events so far."""
    due: list[int] = field(default_factory=list)
    """Restart when so many points have ever been stored. A drift is noticed with the first points of the new kind, and
    epochs may be so short that the continuation is over before the shards hold many of them."""
    newest: RestartContinuation | None = None
    """The newest restart that was ordered."""
    _votes: dict[str, tuple[int, float]] = field(default_factory=dict)

    def grown(self, points: int, appended: int) -> RestartContinuation | None:
        """Return a restart if the data is not what the model began with.

        Parameters
        ----------
        points : int
            Points stored now. Grown by the factor: the statistics are outgrown, the model begins anew.
        appended : int
            Points ever stored. As many new ones as that, although retention keeps the number down: the
            window has been replaced, and the parameters are trained further on the new one.
        """
        if self.points == 0:
            self.points, self.appended = points, appended
        if not self.enabled:
            return None
        if points >= self.growth * self.points:
            return self._restart(points, appended, fresh=True)
        if self.due and appended >= self.due[0]:
            return self._restart(points, appended, fresh=len(self.due) == 1)
        if appended - self.appended >= self.growth * self.points:
            return self._restart(points, appended, fresh=False)
        return None

    def vote(
        self, name: str, epoch: int, now: float, shards: Mapping[str, int], appended: int
    ) -> RestartContinuation | None:
        """Take a worker's word that its data drifted; return a restart on a majority.

        Parameters
        ----------
        name : str
            The worker.
        epoch : int
            In which it noticed.
        now : float
            Monotonic seconds.
        shards : mapping of str to int
            Points of each worker: its vote weighs so much. By heads, a worker that gets little of the feed, and so
            notices late or never, would have its way.
        appended : int
            Points ever stored.
        """
        self._votes[name] = (epoch, now)
        votes = self._votes.items()
        recent = [n for n, (e, at) in votes if epoch - e <= VOTE_EPOCHS or now - at <= VOTE_S]
        points = sum(shards.values())
        if sum(shards.get(voter, 0) for voter in recent) < MAJORITY * points:
            return None
        self.drifts += 1
        self.due = [appended + int(share * points) for share in TURNED_OVER]
        return self._restart(points, appended, fresh=False) if self.enabled else None

    def missed(self, plan: EpochPlan) -> RestartContinuation | None:
        """Return the newest restart, if whoever made this plan has not heard of it."""
        if self.newest is None or plan.restart >= self.newest.number:
            return None
        return self.newest

    def _restart(self, points: int, appended: int, *, fresh: bool) -> RestartContinuation:
        self.number += 1
        self.points, self.appended = points, appended
        self.due = [] if fresh else [mark for mark in self.due if mark > appended]
        self._votes.clear()
        self.newest = RestartContinuation(self.number, fresh)
        return self.newest
