"""How often processes failed, and how long the ring stood still for it: counts that outlive the coordinator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Failures:
    """The counts, and the loss that the ring has not recovered from yet.

    Parameters
    ----------
    state : mapping, optional
        What `durable` returned when the cluster last ran.

    Attributes
    ----------
    counts : dict of str to int
        How often each thing happened.
    recoveries : dict of str to float
        How often the ring turned again after a loss, after how many seconds the last time, and all together.

    >>> failures = Failures()
    >>> failures.lost("crash", since=10.0, in_ring=True)
    >>> failures.turns(10.5), failures.turns(11.0)
    (0.5, None)
    >>> failures.counts["crash"], failures.recoveries
    (1, {'count': 1, 'last_s': 0.5, 'seconds': 0.5})
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        none = {"crash": 0, "hang": 0, "drained": 0, "fenced": 0, "unreachable": 0}
        self.counts: dict[str, int] = none | state.get("failures", {})
        never = {"count": 0, "last_s": 0.0, "seconds": 0.0}
        self.recoveries: dict[str, float] = never | state.get("recoveries", {})
        self._lost_at: float | None = None
        """When the first member died whose loss the ring has not recovered from yet."""

    def lost(self, reason: str, since: float, *, in_ring: bool) -> None:
        """Take notice that a process is gone, since when, and whether the ring counted on it."""
        self.counts[reason] += 1
        if in_ring and self._lost_at is None:
            self._lost_at = since

    def turns(self, now: float) -> float | None:
        """Take notice that the ring turns; return how many seconds after a loss, None if there was none."""
        if self._lost_at is None:
            return None
        seconds, self._lost_at = now - self._lost_at, None
        self.recoveries["count"] += 1
        self.recoveries["last_s"] = seconds
        self.recoveries["seconds"] += seconds
        return seconds

    def durable(self) -> dict[str, Any]:
        """Return what must survive a restart, JSON-serialisable."""
        return {"failures": self.counts, "recoveries": self.recoveries}
