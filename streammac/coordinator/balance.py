"""Load balance: how much of the feed each worker is to get, from how fast it turned out to be.

All workers should be busy for the same time in an epoch, so the points of each should be in proportion to
its speed (ParMAC, section 4.3). New points go where they are missing; `streammac.coordinator.rebalance` moves old ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

SMOOTHING = 0.3
"""Weight of the newest epoch in a worker's speed."""
GAIN = 2.0
"""How strongly weights lean towards those who have too few points."""
LEAST = 0.1
"""Nobody gets less than this part of its fair share, or its speed could not be measured any more."""
NOTABLE = 0.1
"""Weights that differ by less are not worth a message."""


def weights(speeds: Mapping[str, float], points: Mapping[str, float]) -> dict[str, float]:
    """Return the share of the feed for each worker, relative to an equal share.

    Parameters
    ----------
    speeds : mapping of str to float
        Points per second of work.
    points : mapping of str to float
        Points that each has.

    >>> weights({"w1": 2.0, "w2": 1.0}, {"w1": 200.0, "w2": 100.0})
    {'w1': 1.3333, 'w2': 0.6667}
    >>> weights({"w1": 2.0, "w2": 1.0}, {"w1": 150.0, "w2": 150.0})
    {'w1': 1.9355, 'w2': 0.0645}
    """
    everything = sum(speeds.values())
    stored = sum(points.values())
    wanted = {}
    for name, speed in speeds.items():
        fair = speed / everything
        present = points.get(name, 0.0) / stored if stored else fair
        wanted[name] = max(LEAST * fair, fair + GAIN * (fair - present))
    total = sum(wanted.values())
    return {name: round(len(wanted) * w / total, 4) for name, w in wanted.items()}


@dataclass(slots=True)
class Balance:
    """The speeds of all workers, and the weights that were announced last."""

    announced: dict[str, float] = field(default_factory=dict)
    _speeds: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, points: float, busy_s: float) -> None:
        """Take what a worker did in an epoch: so many points in so much work."""
        if points <= 0 or busy_s <= 0:
            return
        speed = points / busy_s
        known = self._speeds.get(name, speed)
        self._speeds[name] = known + SMOOTHING * (speed - known)

    def speeds(self, names: Collection[str]) -> dict[str, float]:
        """Return the points per second of work of these workers; nothing before one of them is known.

        A worker that has not finished an epoch yet counts as fast as the others are on average.
        """
        known = [self._speeds[name] for name in names if name in self._speeds]
        usual = sum(known) / max(1, len(known))
        return {name: self._speeds.get(name, usual) for name in names} if known else {}

    def news(self, points: Mapping[str, float]) -> dict[str, float] | None:
        """Return new weights of these workers, None if they are about as they were announced."""
        speeds = self.speeds(points)
        if not speeds:
            return None
        now = weights(speeds, points)
        if all(abs(now[name] - self.announced.get(name, 1.0)) < NOTABLE for name in now):
            return None
        self.announced = now
        return now

    def forget(self, here: Collection[str]) -> None:
        """Drop what is known of all others: a new process of that name may be faster or slower."""
        self._speeds = {name: speed for name, speed in self._speeds.items() if name in here}
        self.announced = {name: weight for name, weight in self.announced.items() if name in here}
