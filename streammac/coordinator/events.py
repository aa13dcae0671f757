"""What an operator wants to hear of: who came, left or died, and what the ring made of it.

The coordinator keeps the newest events for status, live page and log; each has a running number, so
that who asks again can tell what is new.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streammac.wire.reports import IngestReport, MoveState, ShardCounts, WorkerReport
from streammac.wire.status import Event

KEPT = 200
"""Events that are remembered."""
KINDS = (
    "joined", "ingest_joined", "refused", "returned", "draining", "left", "ingest_left", "lost", "ingest_lost",
    "moving", "moved", "view", "turns", "recovered", "stall", "drift", "restart", "adopted", "disk_full",
    "disk_room", "damaged", "quarantined", "coordinator_restarted", "promoted", "kept_back", "pinned",
    "unpinned", "malformed",
    "step_failed", "outliers", "not_published", "unusable",
    "feed_failed", "feed_refused", "letters_lost",
)  # fmt: skip
"""What can happen (docs/status.md says what each means)."""
BY_ANYBODY = ("refused", "malformed")
"""Whoever reaches the coordinator can make them happen as often as they like."""
FREQUENT = ("promoted", "kept_back", "letters_lost", *BY_ANYBODY)
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


def troubles(was: WorkerReport, report: WorkerReport, set_aside: int = 0) -> list[tuple[str, str]]:
    """Return what is new of a worker's disk and numbers between two heartbeats: kind and text of each event.

    ``set_aside`` copies of damaged files were known before, perhaps to a former coordinator.
    """
    before, now = was.shard or ShardCounts(), report.shard or ShardCounts()
    news = []
    if report.failed_steps > was.failed_steps:
        news.append(("step_failed", report.failed_step))
    if now.refusing and not before.refusing:
        text = "takes no points, and goes on training: its disk is full or fails"
        news.append(("disk_full", text))
    if now.quarantined > max(before.quarantined, set_aside):
        news.append(("quarantined", f"copies of {now.quarantined} damaged files are set aside"))
    return news


def feed_troubles(before: IngestReport, now: IngestReport) -> list[tuple[str, str]]:
    """Return what is new of the troubles that an ingest node tells: kind and text of each event."""
    return [(one.kind, one.text) for one in now.troubles if one not in before.troubles]


def exit_message(report: WorkerReport) -> str:
    """Return what became of the points of a worker that has left."""
    moves = report.moves or MoveState()
    counts = {
        "points went to the others": moves.moved,
        "points are given up": report.given_up,
        "points wait in its directory": report.points,
        "of its batches may be with workers that are gone, too": moves.in_doubt,
    }
    parts = [f"{count:,} {what}" for what, count in counts.items() if count]
    return ", ".join(["drained", *parts])
