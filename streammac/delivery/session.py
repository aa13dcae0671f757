"""Which worker gets the next batch: in proportion to weights, among those with credit left.

A pure decision, so that it can be read, tested and simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Lane:
    """The way to one worker.

    Attributes
    ----------
    weight : float
        Share of the feed it is to get, relative to the others (its measured speed); 0: it drains.
    incarnation : int
        Which process of the worker's name is at its other end.
    session : int
        The session that was begun last: nothing of another one counts.
    is_open : bool
        The worker has agreed to the session.
    greeted_at : float
        When the session was last proposed.
    window_bytes : int
        Bytes that may be under way without an acknowledgement; 0: no credit.
    outstanding_bytes : int
        Bytes that are under way.
    assigned : float
        Bytes given to it so far, divided by its weight: the lane that is behind is next.
    blocked_until : float
        After a refusal the worker is left alone for a while.
    """

    weight: float = 1.0
    incarnation: int = 0
    session: int = 0
    is_open: bool = False
    greeted_at: float = float("-inf")
    window_bytes: int = 0
    outstanding_bytes: int = 0
    assigned: float = 0.0
    blocked_until: float = 0.0

    def begin(self, session: int) -> None:
        """Begin a new session: the lane is closed until the worker agrees."""
        self.session = session
        self.is_open = False
        self.greeted_at = float("-inf")

    def takes(self, size: int, now: float) -> bool:
        """Return whether it has credit for so many bytes.

        A batch larger than the whole window goes when nothing else is under way, or it would never go.
        """
        if not self.is_open or self.weight <= 0 or self.window_bytes == 0:
            return False
        if now < self.blocked_until:
            return False
        return self.outstanding_bytes == 0 or self.outstanding_bytes + size <= self.window_bytes


def choose(lanes: Mapping[str, Lane], size: int, now: float) -> str | None:
    """Return the worker for a batch of so many bytes, None where nobody has credit.

    >>> lanes = {"w1": Lane(is_open=True, window_bytes=10, assigned=5)}
    >>> lanes["w2"] = Lane(is_open=True, window_bytes=10, assigned=3)
    >>> choose(lanes, 4, now=0.0)
    'w2'
    """
    able = [(lane.assigned, name) for name, lane in lanes.items() if lane.takes(size, now)]
    return min(able)[1] if able else None


def joining(lanes: Mapping[str, Lane]) -> float:
    """Return what a new lane counts as assigned: as much as the one that is furthest behind.

    It then gets its share from now on, and not everything until it has caught up.
    """
    return min((lane.assigned for lane in lanes.values()), default=0.0)
