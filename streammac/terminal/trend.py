"""How objective and quality went while somebody watched: what the sparklines of a view are drawn from."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from streammac.wire.status import ClusterStatus

KEPT = 600
"""Values that a trend remembers."""


def _values() -> deque[float]:
    return deque(maxlen=KEPT)


@dataclass(slots=True)
class Trend:
    """The newest values, oldest first, without repetitions in a row."""

    objective: deque[float] = field(default_factory=_values)
    quality: deque[float] = field(default_factory=_values)

    def add(self, status: ClusterStatus) -> None:
        """Take a status."""
        measured = status.quality.model if status.quality else None
        for values, value in ((self.objective, status.objective), (self.quality, measured)):
            if value is not None and (not values or value != values[-1]):
                values.append(value)
