"""When a trained model is trained again: the feed has brought enough that is new, or it has drifted.

A rule on two counts, of the points that are stored and of those that ever were, for clusters and for the estimator.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Begin: TypeAlias = Literal["warm", "fresh"]
"""How training begins again: shortly, from the trained model, or from new statistics with a new one."""


@dataclass(slots=True)
class Renewal:
    """The rule, with its memory.

    Attributes
    ----------
    growth : float
        Begin fresh when there have been so many times the points of the last fresh beginning: with 2, when the stored
        points have doubled, or retention has replaced all of them.
    share : float
        Begin warm when new points come to so large a share of those at the last beginning.
    points, ever : int
        Points stored at the last beginning, and ever stored by then; 0 before the first one.
    fresh_points, fresh_ever : int
        The same, of the last fresh one.
    drifted_ever : int
        So many points had ever been stored when a drift was noticed; 0: there was none, or it is over.
    replaced_ever : int
        There was a drift; once so many points have ever been stored, none of the old kind is left. Until then a
        model that goes on from the old one has no future: all beginnings are fresh. 0: no drift.
    """

    growth: float = 2.0
    share: float = 0.25
    points: int = 0
    ever: int = 0
    fresh_points: int = 0
    fresh_ever: int = 0
    drifted_ever: int = 0
    replaced_ever: int = 0

    @property
    def memory(self) -> dict[str, Any]:
        """What `Renewal` is made from again, besides what it rests on; JSON-serialisable."""
        memory = asdict(self)
        del memory["growth"], memory["share"]
        return memory

    def due(self, points: int, ever: int) -> Begin | None:
        """Return how training is to begin again, if it is, with so many points stored now and ever."""
        if self.points == 0:
            return None
        # who comes back with points brings what is new to the others, though it was stored before
        new = max(ever - self.ever, points - self.points)
        new_since_fresh = max(ever - self.fresh_ever, points - self.fresh_points)
        if new_since_fresh >= (self.growth - 1) * self.fresh_points:
            return "fresh"
        if new < self.share * self.points:
            return None
        return "fresh" if self.replaced_ever else "warm"

    def begun(self, begin: Begin, points: int, ever: int) -> None:
        """Take notice that training begins with so many points stored now and ever."""
        self.points, self.ever = points, ever
        if begin == "fresh":
            self.fresh_points, self.fresh_ever = points, ever
            if ever >= self.replaced_ever:
                self.drifted_ever = self.replaced_ever = 0

    def drifted(self, points: int, ever: int) -> None:
        """Take notice that what comes now is of another kind."""
        self.drifted_ever, self.replaced_ever = ever, ever + points
