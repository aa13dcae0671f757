"""The ring's last resort: notice that nothing moves although everybody is well.

A token that is lost without anybody's death (a queue that overflowed, a connection that was cut and came
back) would stop its epoch for ever. Heartbeats tell who works and how far everybody has come; if nobody works and
nothing moves, a new view gathers the copies and the ring goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streammac.coordinator.membership import Membership
from streammac.coordinator.partitions import Partitions, broken
from streammac.ring.view_change import ViewChange
from streammac.wire.messages import Resume

STALL_S = 3.0
"""Standing still for so long is a stall. Tokens are on their way for milliseconds."""


@dataclass(slots=True)
class StallWatch:
    """Remembers since when nothing has moved, and what former stalls have shown."""

    seed: int
    """Of the ring order."""
    view: int = 0
    """The view that was made because of the newest stall."""
    _since: float = 0.0
    _hops: tuple[int, ...] = ()
    _partitions: Partitions = field(default_factory=Partitions)

    def reset(self, now: float) -> None:
        """Begin anew."""
        self._since, self._hops = now, ()

    def stalled(
        self, change: ViewChange, membership: Membership, now: float, *, rests: bool
    ) -> bool:
        """Return whether the ring stands still although it does not rest; asked regularly."""
        reports = [membership.peers[name].worker.ring for name in change.names]
        hops = tuple(report.hops for report in reports)
        busy = any(report.working for report in reports)
        if busy or rests or hops != self._hops:
            self._since, self._hops = now, hops
        return now - self._since > STALL_S

    def unreachable(self, change: ViewChange, resume: Resume, now: float) -> str | None:
        """Return who is not reached by the others, judging by how the ring resumes after a stall."""
        if change.view.number != self.view:
            return None
        return self._partitions.stalled(broken(resume, change.answers, self.seed), now)
