"""When the continuation in mu begins anew: enough of the data is new, or it has drifted.

MAC lets the penalty mu grow epoch by epoch (MAC, section 3). On a feed that is only right while the
data stays what it was. The coordinator asks `Continuation` after every epoch; `streammac.models.renewal` is the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streammac.models.renewal import Begin, Renewal
from streammac.wire.messages import EpochPlan, RestartContinuation

MAJORITY = 0.6
"""Drift votes decide with so much of all points: of two workers with about as many, one alone does not."""
VOTE_EPOCHS = 10
"""Drift votes count together if they fall into so many epochs,"""
VOTE_S = 15.0
"""or into so many seconds: epochs may be much shorter than the time that the feed takes to reach all workers."""


@dataclass(slots=True)
class Continuation:
    """Orders to begin the continuation anew, and what they rest on.

    Attributes
    ----------
    rule : Renewal
        What is new since training began last.
    enabled : bool
        False: nothing is ever ordered (deterministic runs).
    number : int
        Of the newest order.
    drifts : int
        Drift events so far.
    newest : RestartContinuation or None
        The newest order.
    """

    rule: Renewal = field(default_factory=Renewal)
    enabled: bool = True
    number: int = 0
    drifts: int = 0
    newest: RestartContinuation | None = None
    _votes: dict[str, tuple[int, float]] = field(default_factory=dict)

    def grown(self, points: int, ever: int, plan: EpochPlan) -> RestartContinuation | None:
        """Return an order if the data is not what training began with.

        Parameters
        ----------
        points, ever : int
            Points stored now, and ever stored.
        plan : EpochPlan
            Of the newest epoch that is planned. An order that it does not know of waits to be carried out: only a
            fresh beginning comes before a warm one that waits.
        """
        if self.rule.points == 0:
            self.rule.begun("fresh", points, ever)
        begin, waiting = self.rule.due(points, ever), self.missed(plan)
        if begin is None or (waiting is not None and (waiting.fresh or begin == "warm")):
            return None
        return self._order(begin, points, ever)

    def vote(
        self, name: str, epoch: int, now: float, shards: Mapping[str, int], ever: int
    ) -> RestartContinuation | None:
        """Take a worker's word that its data drifted; return an order on a majority.

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
        ever : int
            Points ever stored.
        """
        self._votes[name] = (epoch, now)
        votes = self._votes.items()
        recent = [n for n, (e, at) in votes if epoch - e <= VOTE_EPOCHS or now - at <= VOTE_S]
        points = sum(shards.values())
        if sum(shards.get(voter, 0) for voter in recent) < MAJORITY * points:
            return None
        self._votes.clear()
        self.drifts += 1
        self.rule.drifted(points, ever)
        return self._order("warm", points, ever)

    def undecided(self, now: float) -> bool:
        """Return whether workers have lately noticed a drift, and not enough of them."""
        return any(now - at <= VOTE_S for _, at in self._votes.values())

    def missed(self, plan: EpochPlan) -> RestartContinuation | None:
        """Return the newest order, if whoever made this plan has not carried it out."""
        if self.newest is None or plan.restart >= self.newest.number:
            return None
        return self.newest

    def _order(self, begin: Begin, points: int, ever: int) -> RestartContinuation | None:
        self.rule.begun(begin, points, ever)
        if not self.enabled:
            return None
        self.number += 1
        self.newest = RestartContinuation(self.number, fresh=begin == "fresh")
        return self.newest
