"""Time as a loop has seen it pass: while the process was stopped or kept from its work, no time has passed for it.

A coordinator that was asleep has heard nobody, which says nothing about the others: with the whole machine suspended
all of them slept. Silence, deadlines and stalls are therefore measured on this clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

BLINK_S = 1.0
"""A turn that takes longer was a sleep."""
COUNTED_S = 0.1
"""So much of a sleep counts, as a usual turn does: a machine too busy for quick turns still finds out who is dead."""


class AwakeClock:
    """A clock for a loop that reads it in every turn, many times a second.

    Parameters
    ----------
    clock : callable
        A clock that does not jump, s.

    >>> readings = iter([100.0, 100.5, 4000.5, 4001.0])
    >>> clock = AwakeClock(lambda: next(readings))
    >>> clock.turn(), clock.turn(), clock.turn()
    (100.5, 100.6, 101.1)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read = self._now = clock()

    def turn(self) -> float:
        """Return the time, once per turn."""
        read = self._clock()
        passed, self._read = read - self._read, read
        self._now += passed if passed <= BLINK_S else COUNTED_S
        return self._now
