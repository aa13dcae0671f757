"""How models did on points that they had not been trained on yet, all workers together: over the run, and lately.

Workers tell sums that begin anew with each of their processes; what former ones had told stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streammac.wire.reports import Predicted
from streammac.wire.status import Prequential

WINDOW_POINTS = 5000
"""Over the newest so many points a mean says how the model does lately: that of a share is known to 0.014 then."""
STEP_POINTS = 250
"""The window moves by so many at a time, or by as many as a worker tells of together."""


@dataclass(slots=True)
class Sums:
    """Sums over points."""

    points: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, points: int, sums: Mapping[str, float]) -> None:
        """Add others."""
        self.points += points
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    @property
    def means(self) -> dict[str, float]:
        """Return the means by name."""
        return {name: value / self.points for name, value in self.sums.items() if self.points}


@dataclass(slots=True)
class Told:
    """The newest word of a worker."""

    incarnation: int
    points: int = 0
    sums: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Predictions:
    """What all workers have told.

    Attributes
    ----------
    told : dict of str to Told
        The newest word of each.
    whole : Sums
        Over all points.
    steps : list of Sums
        Over the newest ones, oldest first.
    """

    told: dict[str, Told] = field(default_factory=dict)
    whole: Sums = field(default_factory=Sums)
    steps: list[Sums] = field(default_factory=list)

    def take(self, name: str, incarnation: int, predicted: Predicted) -> None:
        """Take the word of a worker; what an older process of its says comes too late."""
        known = self.told.get(name)
        if known is not None and incarnation < known.incarnation:
            return
        if known is None or incarnation > known.incarnation:
            known = Told(incarnation)
        points = predicted.points - known.points
        if points <= 0:
            return
        more = {of: value - known.sums.get(of, 0.0) for of, value in predicted.sums.items()}
        self.told[name] = Told(incarnation, predicted.points, dict(predicted.sums))
        if self.whole.points and more.keys() != self.whole.sums.keys():
            self.whole, self.steps = Sums(), []  # another family of models: its figures are others
        self.whole.add(points, more)
        if not self.steps or self.steps[-1].points >= STEP_POINTS:
            self.steps.append(Sums())
        self.steps[-1].add(points, more)
        while sum(step.points for step in self.steps[1:]) >= WINDOW_POINTS:
            del self.steps[0]

    @property
    def status(self) -> Prequential | None:
        """Return what the status says of it; None before the first point."""
        if not self.whole.points:
            return None
        newest = Sums()
        for step in self.steps:
            newest.add(step.points, step.sums)
        return Prequential(self.whole.points, self.whole.means, newest.points, newest.means)
