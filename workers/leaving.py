"""How a worker leaves: what was asked of it, what becomes of its points, and when it is through with it.

Pure state for the I/O loop, which tells it of signals and of the coordinator's orders, and looks in every turn whether
it is time to end. The ring is left by `Member` and the points by `Mover`; here both are waited for, but not for ever.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from streammac.link.interrupt import Interrupt
from streammac.ring.member import Member
from workers.handover import Mover

DRAIN_S = 10.0
"""Longest time that leaving the ring takes, unless somebody set another deadline."""

Points: TypeAlias = Literal["keep", "move", "drop"]
End: TypeAlias = Literal["left", "points are left", "in the ring"]
"""In good order, or because the time was up: with points that were to be elsewhere, or still in the ring."""


class Departure:
    """The leaving of one worker.

    Parameters
    ----------
    interrupt : Interrupt
        How often the process was asked to end, by a signal.

    Attributes
    ----------
    by : float or None
        Leaving: the worker ends when the ring lets go and its points are where they shall be, or at this time.
    points : {"keep", "move", "drop"}
        What becomes of its points when it leaves.
    """

    def __init__(self, interrupt: Interrupt) -> None:
        self.interrupt = interrupt
        self.by: float | None = None
        self.points: Points = "keep"

    @property
    def under_way(self) -> bool:
        """Return whether the worker is leaving."""
        return self.by is not None

    @property
    def unheeded(self) -> bool:
        """Return whether a signal asks for something that is not under way: to leave, with the points kept."""
        return self.interrupt.requested and (not self.under_way or self.points != "keep")

    @property
    def drops(self) -> bool:
        """Return whether the points are to be given up at the end."""
        return self.under_way and self.points == "drop"

    def order(self, points: Points, by: float, mover: Mover | None) -> bool:
        """Take an order to leave; return whether it is the first.

        Parameters
        ----------
        points : {"keep", "move", "drop"}
            The newest order counts.
        by : float
            Latest time of the end. The first order sets it; one to keep the points can only bring it forward.
        mover : Mover or None
            Who hands over points; None before there are any.
        """
        first = self.by is None
        if self.by is None:
            self.by = by
        elif points == "keep":
            self.by = min(self.by, by)
        self.points = points
        if mover is not None:
            match points:
                case "move":
                    mover.give_all()
                case "drop":
                    mover.wait_for_closing()
                case "keep":
                    mover.stop()
        return first

    def end(self, now: float, member: Member | None, mover: Mover | None) -> End | None:
        """Return how the leaving has ended, None if it has not; asked in every turn."""
        if self.by is None:
            return None
        released = member is None or member.epoch.state == "joining" or member.released
        if released and self._has_parted(mover):
            return "left"
        if now <= self.by:
            return None
        if not released:
            self.points = "keep"  # points are dropped after a good end alone
        return "points are left" if released else "in the ring"

    def _has_parted(self, mover: Mover | None) -> bool:
        """Return whether the points are where they shall be."""
        if mover is None or self.points == "keep":
            return True
        return mover.done if self.points == "move" else mover.closing.closed
