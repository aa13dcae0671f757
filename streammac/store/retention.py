"""How much a shard keeps: by number, size or age; whole segments are dropped, the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """What the retention rule needs to know of a segment."""

    points: int
    bytes: int
    newest: float
    """Time of arrival of its newest point, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits; None means no limit.

    A segment is dropped when what remains without it still reaches the limit, so a shard holds at least
    its limit and at most one segment more. The segment that is being written is never dropped.
    """

    points: int | None = None
    bytes: int | None = None
    age_s: float | None = None

    def surplus(self, segments: Sequence[Extent], now: float) -> int:
        """Return how many of the oldest segments are to be dropped (the last one never is)."""
        points = sum(s.points for s in segments)
        size = sum(s.bytes for s in segments)
        drop = 0
        for segment in segments[:-1]:
            enough_points = self.points is not None and points - segment.points >= self.points
            enough_bytes = self.bytes is not None and size - segment.bytes >= self.bytes
            old = self.age_s is not None and now - segment.newest > self.age_s
            if not (enough_points or enough_bytes or old):
                break
            drop += 1
            points -= segment.points
            size -= segment.bytes
        return drop
