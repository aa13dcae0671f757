"""When the continuation in mu begins anew: the data has grown a lot, or the feed has drifted.

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
    drifts: int = 0
    """Drift events so far."""
    _votes: dict[str, int] = field(default_factory=dict)

    def grown(self, points: int) -> Restart | None:
        """Return a restart if the data has outgrown the statistics the model began with."""
        if self.points == 0:
            self.points = points
        if not self.enabled or points < self.growth * self.points:
            return None
        return self._restart(points, fresh=True)

    def vote(self, name: str, epoch: int, members: int, points: int) -> Restart | None:
        """Take a worker's word that its data drifted; return a restart on a majority."""
        self._votes[name] = epoch
        recent = [e for e in self._votes.values() if epoch - e <= VOTE_EPOCHS]
        if 2 * len(recent) <= members:
            return None
        self.drifts += 1
        return self._restart(points, fresh=False) if self.enabled else None

    def _restart(self, points: int, *, fresh: bool) -> Restart:
        self.number += 1
        self.points = points
        self._votes.clear()
        return Restart(self.number, fresh)
