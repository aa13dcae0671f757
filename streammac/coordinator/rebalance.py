"""Whether a slow worker should hand points to a fast one that waits for it, and how many; decided by the coordinator.

`streammac.coordinator.balance` only directs new points. Where none come any more, or too few, a worker that has more
than its share stays the one that all others wait for; with ``training.rebalance`` it gives some away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOO_MANY = 1.5
"""Who has so many times its fair share is slow enough to be helped."""
PATIENCE = 3
"""It must be so in this many looks in a row, or a hiccup would move data."""
REST = 10
"""After a move so many looks are left out: first the speeds must be measured anew."""
LEAST_SHARE = 0.05
"""Less than this part of all points is not worth a move."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """So many points are to go from one worker to others."""

    giver: str
    points: int
    to: tuple[str, ...]


def surplus(speeds: Mapping[str, float], points: Mapping[str, float]) -> Transfer | None:
    """Return what would give the worker with the most points for its speed its fair share.

    >>> surplus({"w1": 3.0, "w2": 1.0}, {"w1": 200.0, "w2": 200.0})
    Transfer(giver='w2', points=100, to=('w1',))
    >>> surplus({"w1": 1.0, "w2": 1.0}, {"w1": 220.0, "w2": 180.0})
    """
    total, everything = sum(speeds.values()), sum(points.values())
    if len(speeds) < 2 or points.keys() != speeds.keys() or not everything:
        return None
    fair = {name: everything * speed / total for name, speed in speeds.items()}
    giver = max(fair, key=lambda name: (points[name] / fair[name], name))
    excess = points[giver] - fair[giver]
    if points[giver] < TOO_MANY * fair[giver] or excess < max(1.0, LEAST_SHARE * everything):
        return None
    to = tuple(sorted(name for name in fair if points[name] < fair[name]))
    return Transfer(giver, int(excess), to)


@dataclass(slots=True)
class Rebalance:
    """Looks now and then, and is slow to act: moving data twice is worse than waiting."""

    _giver: str = ""
    _seen: int = 0
    _rest: int = 0

    def check(self, speeds: Mapping[str, float], points: Mapping[str, float]) -> Transfer | None:
        """Return what is to be moved now, mostly nothing.

        Parameters
        ----------
        speeds : mapping of str to float
            Points per second of work (`Balance.speeds`).
        points : mapping of str to float
            Points of all workers.
        """
        if self._rest:
            self._rest -= 1
            return None
        transfer = surplus(speeds, points)
        giver = transfer.giver if transfer is not None else ""
        self._seen = self._seen + 1 if giver and giver == self._giver else int(bool(giver))
        self._giver = giver
        if self._seen < PATIENCE:
            return None
        self._giver, self._seen, self._rest = "", 0, REST
        return transfer
