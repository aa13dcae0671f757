"""The ring's last resort: notice that nothing moves although everybody is well.

A token that is lost without anybody's death (a queue that overflowed, a connection that was cut and came
back) would stop its epoch for ever. Heartbeats tell who works and how far everybody has come; if nobody works and
nothing moves, a new view gathers the copies and the ring goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from streammac.coordinator.membership import Membership
from streammac.ring.view_change import ViewChange

STALL_S = 3.0
"""Standing still for so long is a stall. Tokens are on their way for milliseconds."""
BLINK_S = 1.0
"""If nobody has looked for so long, nothing is known."""


@dataclass(slots=True)
class StallWatch:
    """Remembers since when nothing has moved."""

    _since: float = 0.0
    _looked: float = 0.0
    _progress: tuple[float, ...] = ()

    def reset(self, now: float) -> None:
        """Begin anew."""
        self._since, self._progress = now, ()

    def stalled(self, change: ViewChange, membership: Membership, now: float) -> bool:
        """Return whether the ring stands still; asked regularly."""
        facts = [membership.peers[name].facts for name in change.names]
        progress = tuple(f.get("progress", 0.0) for f in facts)
        busy = any(f.get("working", 0) > 0 for f in facts)
        resting = all(f.get("resting", 0) > 0 for f in facts)
        blinked = now - self._looked > BLINK_S
        self._looked = now
        if busy or resting or blinked or progress != self._progress:
            self._since, self._progress = now, progress
        return now - self._since > STALL_S
