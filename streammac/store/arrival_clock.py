"""The time by which points age: it never jumps, whatever becomes of the machine's clock.

A clock that was wrong and is set right may leap by years. Were age measured on it, one leap forward would drop all that
a worker has. So a shard's time goes on from its newest point, and only as fast as time passes while the
worker runs. While it is down nothing grows older: nobody can tell a long pause from a leap.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArrivalClock:
    """Times of arrival, seconds since 1970 as far as the machine's clock was right when the first point came.

    >>> clock = ArrivalClock.after(newest=1000.0, wall=9e9, now=5.0)
    >>> clock.time(now=5.0), clock.time(now=7.0)
    (1000.0, 1002.0)
    """

    offset: float

    @classmethod
    def after(cls, newest: float | None, wall: float, now: float) -> ArrivalClock:
        """Return a clock that goes on from the newest point that there is.

        Parameters
        ----------
        newest : float or None
            Its time of arrival. None: there are no points, and the machine's clock has to do.
        wall : float
            The machine's clock, seconds since 1970.
        now : float
            A clock that does not jump, s; the same that `time` is given.
        """
        return cls((wall if newest is None else newest) - now)

    def time(self, now: float) -> float:
        """Return the time of what arrives now."""
        return self.offset + now
