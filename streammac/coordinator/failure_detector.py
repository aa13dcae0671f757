"""When silence means trouble: a process is suspected once it is much quieter than it used to be.

Fixed time-outs are guesses, too long for a fast network and too short for a busy machine. So each peer's
own intervals between signs of life set its limit: their median and spread, between two bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

REMEMBERED = 50
"""Intervals that are remembered of each peer."""
SPREADS = 8.0
"""Silence is suspicious beyond the median by so many median absolute deviations."""
LEAST_BEATS = 4.0
"""Never suspect before so many heartbeats are missing: a sudden load of the whole machine is nobody's hang."""
CAP_S = 2.5
"""Always suspect after so long (or after `LEAST_BEATS`, where heartbeats are rarer)."""


def limit(intervals: Sequence[float], heartbeat_s: float) -> float:
    """Return after how many seconds of silence a peer is suspected.

    >>> limit([0.5] * 20, heartbeat_s=0.5)
    2.0
    >>> limit([0.5, 0.9, 0.4, 1.3, 0.5, 1.1], heartbeat_s=0.5)
    2.5
    """
    least = LEAST_BEATS * heartbeat_s
    if not intervals:
        return max(least, CAP_S)
    usual = median(intervals)
    spread = median(abs(interval - usual) for interval in intervals)
    return max(least, min(CAP_S, usual + SPREADS * spread))


@dataclass(slots=True)
class FailureDetector:
    """What is known of one peer's rhythm."""

    heartbeat_s: float
    last: float
    _intervals: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def hear(self, now: float) -> None:
        """Take a heartbeat."""
        self._intervals.append(max(0.0, now - self.last))
        self.last = now

    def suspicious(self, now: float) -> bool:
        """Return whether the peer has been silent for too long."""
        return now - self.last > limit(self._intervals, self.heartbeat_s)
