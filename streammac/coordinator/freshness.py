"""How long points wait, from their acknowledgement until a version is published that was trained with them.

Workers tell with each epoch how old the oldest point is that is new in it, and with each heartbeat how old the oldest
one is that no finished epoch had. Ages, because clocks differ.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_OPEN = 256
"""Epochs that may wait to be published; of more, the oldest are taken together."""


class Freshness:
    """What waits to be published.

    Attributes
    ----------
    newest_s : float or None
        How long the oldest of the points had waited that came with the newest version; None before the first one.
    waiting_s : float
        Age of the oldest point that no version was trained with, when it was looked at last; 0: there was none.
    """

    def __init__(self) -> None:
        self.newest_s: float | None = None
        self.waiting_s = 0.0
        self._oldest: dict[int, float] = {}
        """Epoch to the time at which the oldest of its new points was acknowledged, monotonic seconds."""

    def trained(self, epoch: int, age_s: float, now: float) -> None:
        """Take a worker's word that it has finished an epoch whose oldest new point is so old; 0: none is new."""
        if age_s <= 0.0:
            return
        self._oldest[epoch] = min(now - age_s, self._oldest.get(epoch, now))
        if len(self._oldest) > MAX_OPEN:
            first, second = sorted(self._oldest)[:2]
            self._oldest[second] = min(self._oldest[second], self._oldest.pop(first))

    def published(self, epoch: int, now: float) -> float | None:
        """Take notice that an epoch is published; return how long the oldest of its points waited, if any is new."""
        done = [number for number in self._oldest if number <= epoch]
        if not done:
            return None
        self.newest_s = now - min(self._oldest.pop(number) for number in done)
        return self.newest_s

    def look(self, untrained_s: Iterable[float], now: float) -> None:
        """Look at what waits; ``untrained_s`` are the ages that workers tell of points that no finished epoch had."""
        trained = (now - since for since in self._oldest.values())
        self.waiting_s = max((*untrained_s, *trained), default=0.0)
