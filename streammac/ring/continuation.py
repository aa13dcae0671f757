"""When the continuation in mu begins anew: the data has grown or been replaced, or has drifted.

MAC lets the penalty mu grow epoch by epoch (MAC, section 3). On a feed that is only right while the
data stays what it was. The coordinator asks `Continuation` after every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streammac.wire.messages import Restart

VOTE_EPOCHS = 10
"""Drift votes count together if they fall into so many epochs."""


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
    _votes: dict[str, int] = field(default_factory=dict)

    def grown(self, points: int, appended: int) -> Restart | None:
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
        if appended - self.appended >= self.growth * self.points:
            return self._restart(points, appended, fresh=False)
        return None

    def vote(
        self, name: str, epoch: int, members: int, points: int, appended: int
    ) -> Restart | None:
        """Take a worker's word that its data drifted; return a restart on a majority."""
        self._votes[name] = epoch
        recent = [e for e in self._votes.values() if epoch - e <= VOTE_EPOCHS]
        if 2 * len(recent) <= members:
            return None
        self.drifts += 1
        return self._restart(points, appended, fresh=False) if self.enabled else None

    def _restart(self, points: int, appended: int, *, fresh: bool) -> Restart:
        self.number += 1
        self.points, self.appended = points, appended
        self._votes.clear()
        return Restart(self.number, fresh)
