"""The continuation: how the penalty of the constraints grows with the epochs, until what makes coordinates rests."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

WARM = 0.3
"""A warm continuation begins with so much of the largest penalty: what has been learned is not let go."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """``mu = min(cap, start factor^age)``, see `streammac.models.base.NestedModel.mu`."""

    start: float
    factor: float
    cap: float

    def mu(self, age: float) -> float:
        """Return the penalty of the epoch with this age."""
        # the exponent is bounded: ages go on for ever, floats do not
        return float(min(self.cap, self.start * self.factor ** min(age, 1000)))

    def rests(self, age: float) -> bool:
        """Return whether an epoch has ended at the cap: the constraints hold everywhere by now."""
        return age > 0 and self.mu(age - 1) >= self.cap

    @property
    def warm_age(self) -> int:
        """The first age with a penalty of at least `WARM` of the cap."""
        return bisect_left(range(1000), WARM * self.cap, key=self.mu)
