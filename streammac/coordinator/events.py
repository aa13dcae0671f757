"""What an operator wants to hear of: who came, left or died, and what the ring made of it.

The coordinator keeps the newest events for status, live page and log; each has a running number, so
that who asks again can tell what is new.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streammac.wire.status import Event

KEPT = 200
"""Events that are remembered."""
KINDS = (
    "joined", "ingest_joined", "returned", "draining", "left", "ingest_left", "lost", "ingest_lost",
    "moving", "moved", "view", "turns", "recovered", "stall", "drift", "restart", "disk_full",
    "quarantined", "coordinator_restarted", "promoted", "kept_back", "malformed",
)  # fmt: skip
"""What can happen (docs/status.md says what each means)."""
FREQUENT = ("promoted", "kept_back")
"""Of these in a row only the newest is kept, or they would push out everything else."""


@dataclass(slots=True)
class EventLog:
    """The newest events, oldest first."""

    clock: Callable[[], float] = time.time
    count: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    """How often each kind of event has happened."""
    _kept: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, kind: str, name: str, text: str, seconds: float = 0.0) -> Event:
        """Remember an event and return it."""
        self.count += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind in FREQUENT and self._kept and self._kept[-1].kind == kind:
            self._kept.pop()
        event = Event(self.count, self.clock(), kind, name, text, round(seconds, 4))
        self._kept.append(event)
        return event

    @property
    def newest(self) -> tuple[Event, ...]:
        """Return the events that are remembered, oldest first."""
        return tuple(self._kept)


def troubles(before: Mapping[str, float], now: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return what is new of a worker's disk between two heartbeats: kind and text of each event."""
    news = []
    if now.get("refusing", 0) > before.get("refusing", 0):
        text = "takes no points, and goes on training: its disk is full or fails"
        news.append(("disk_full", text))
    if now.get("quarantined", 0) > before.get("quarantined", 0):
        text = f"{now['quarantined']:.0f} damaged segments are set aside"
        news.append(("quarantined", text))
    return news


def exit_message(facts: Mapping[str, float]) -> str:
    """Return what became of the points of a worker that has left."""
    parts = [
        f"{facts[count]:,.0f} {what}"
        for count, what in {
            "moved": "points went to the others",
            "given_up": "points are given up",
            "points": "points wait in its directory",
            "in_doubt": "of its batches may be with workers that are gone, too",
        }.items()
        if facts.get(count)
    ]
    return ", ".join(["drained", *parts])
