"""When a process that died is started again: after a pause that grows, and not for ever.

Pure: the supervisor (`streammac.supervisor.supervised_process`) tells what happens and when, and does as it is told.
The first restart comes almost at once, since most deaths are accidents; each further one waits twice as
long, until the process has been well for a while. A budget ends a loop that no restart can mend.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 30.0
HEALTHY_S = 10.0
"""A process that ran for so long was well: what went before is forgiven."""


@dataclass(slots=True)
class RestartPolicy:
    """The restarts of one process.

    Parameters
    ----------
    budget : int
        At most so many restarts in any ``window_s``.
    window_s : float
        Seconds for which a restart counts.

    Attributes
    ----------
    restarts : int
        How often it was restarted, ever.
    deaths : int
        How often it died without a healthy while between.
    """

    budget: int
    window_s: float
    restarts: int = 0
    deaths: int = 0
    _recent: deque[float] = field(default_factory=deque)
    _began: float = 0.0

    def began(self, now: float) -> None:
        """Take notice that the process was started for the first time."""
        self._began = now

    def died(self, now: float) -> float | None:
        """Take notice of a death; return when to start the process again, None for never.

        >>> policy = RestartPolicy(budget=2, window_s=600)
        >>> policy.began(0.0)
        >>> policy.died(1.0)
        1.2
        >>> policy.restarted(1.2)
        >>> policy.died(2.0)
        2.4
        >>> policy.restarted(2.4)
        >>> policy.died(3.0) is None
        True
        """
        self.look(now)
        self.deaths += 1
        if not self.left(now):
            return None
        # the exponent is bounded only so that no budget makes it overflow
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * float(1 << min(self.deaths - 1, 20)))
        return now + delay

    def look(self, now: float) -> None:
        """Take notice that the process runs, or did until now: after a while its deaths are forgiven."""
        if now - self._began >= HEALTHY_S:
            self.deaths = 0

    def restarted(self, now: float) -> None:
        """Take notice that the process was started again."""
        self.restarts += 1
        self._recent.append(now)
        self._began = now

    def left(self, now: float) -> int:
        """Return how many restarts the budget still allows."""
        while self._recent and now - self._recent[0] >= self.window_s:
            self._recent.popleft()
        return max(0, self.budget - len(self._recent))
