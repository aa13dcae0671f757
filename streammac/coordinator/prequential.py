"""How models did on points that they had not been trained on yet, all workers together: over the run, and lately.

Workers tell sums that begin anew with each of their processes; what former ones had told stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

from streammac.models.base import added
from streammac.wire.fields import Incarnation
from streammac.wire.reports import Predicted
from streammac.wire.status import Prequential

WINDOW_POINTS = 5000
"""Over the newest so many points a mean says how the model does lately: that of a share is known to 0.014 then."""
STEP_POINTS = 250
"""The window moves by so many at a time, or by as many as a worker tells of together."""


class Told(Predicted):
    """The newest word of a worker."""

    incarnation: Incarnation = 0


def together(one: Predicted, other: Predicted) -> Predicted:
    """Return the sums over the points of both."""
    return Predicted(one.points + other.points, added(one.sums, other.sums))


def since(before: Predicted, now: Predicted) -> Predicted:
    """Return the sums over the points that came in between."""
    gone = {name: -value for name, value in before.sums.items()}
    return Predicted(now.points - before.points, added(now.sums, gone))


def means(predicted: Predicted) -> dict[str, float]:
    """Return those of at least one point, by name."""
    return {name: value / predicted.points for name, value in predicted.sums.items()}


@dataclass(slots=True)
class Predictions:
    """What all workers have told.

    Attributes
    ----------
    told : dict of str to Told
        The newest word of each.
    whole : Predicted
        Over all points.
    steps : list of Predicted
        Over the newest ones, oldest first.
    """

    told: dict[str, Told] = field(default_factory=dict)
    whole: Predicted = field(default_factory=Predicted)
    steps: list[Predicted] = field(default_factory=list)

    def take(self, name: str, incarnation: int, predicted: Predicted) -> None:
        """Take the word of a worker; what an older process of its says comes too late."""
        known = self.told.get(name)
        if known is not None and incarnation < known.incarnation:
            return
        if known is None or incarnation > known.incarnation:
            known = Told(incarnation=incarnation)
        more = since(known, predicted)
        if more.points <= 0:
            return
        self.told[name] = Told(predicted.points, predicted.sums, incarnation)
        if self.whole.points and more.sums.keys() != self.whole.sums.keys():
            # another family of models: its figures are others
            self.whole, self.steps = Predicted(), []
        self.whole = together(self.whole, more)
        if not self.steps or self.steps[-1].points >= STEP_POINTS:
            self.steps.append(Predicted())
        self.steps[-1] = together(self.steps[-1], more)
        while sum(step.points for step in self.steps[1:]) >= WINDOW_POINTS:
            del self.steps[0]

    @property
    def status(self) -> Prequential | None:
        """Return what the status says of it; None before the first point."""
        if not self.whole.points:
            return None
        newest = reduce(together, self.steps)
        return Prequential(self.whole.points, means(self.whole), newest.points, means(newest))
