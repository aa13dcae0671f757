"""What the coordinator shows to the outside: made by its I/O loop, read by HTTP threads.

The loop calls `Live.step`; about twice a second that takes the status, records what is new in it, and puts
bytes where readers find them. Everything that is shared is immutable and replaced as a whole, so nobody
sees a half-made answer and nobody waits for anybody.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from streammac.files.writes import Writes
from streammac.link.pulse import Pulse
from streammac.page.history import Recorder
from streammac.run_directory import RunDirectory, write_json
from streammac.wire.status import ClusterStatus, to_json

PERIOD_S = 0.5
"""Shortest time between two snapshots."""
MOST_OF_A_CORE = 0.02
"""Snapshots of a large cluster are expensive: they come so seldom that they take no more than this."""
FRAMES = 8
"""Snapshots that are kept for clients which have not read them yet."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the event stream: the status, and the lines that it added to the history."""

    number: int
    data: bytes


class Live:
    """Snapshots of the cluster.

    Parameters
    ----------
    directory : RunDirectory
        Where the history and the list of targets go.
    writes : Writes
        The process's.
    """

    def __init__(self, directory: RunDirectory, writes: Writes) -> None:
        self._writes = writes
        self.history: Path = directory.history
        self._targets = directory.targets
        self._recorder = Recorder(directory.history, directory.last_status)
        self._due = -math.inf
        self.status: bytes | None = None
        """The newest status, JSON; None before the first."""
        self.targets: bytes = b"[]"
        """What Prometheus is to scrape, JSON."""
        self.frames: tuple[Frame, ...] = ()
        """The newest frames, oldest first."""
        self.closed = False
        self.pulse = Pulse()
        """Whether the coordinator's loop turns, and there is a ring."""

    def step(
        self,
        now: float,
        status: Callable[[], ClusterStatus],
        targets: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """Take a snapshot if it is time for one; ``now`` is the monotonic clock, s."""
        if now < self._due:
            return
        began = time.thread_time()
        self._show(status(), targets())
        cost = time.thread_time() - began
        self._due = now + max(PERIOD_S, cost / MOST_OF_A_CORE)

    def close(self, status: ClusterStatus) -> None:
        """Keep the last status on disk, and let the event streams end."""
        self._show(status, [])
        self._recorder.close(status, time.time())
        self.closed = True

    def _show(self, status: ClusterStatus, targets: list[dict[str, Any]]) -> None:
        now = time.time()
        lines = self._recorder.observe(status, now)
        # pages get events as lines of the history: they need not hear the newest ones again and again
        parts = asdict(status)
        events = to_json(parts.pop("events")).encode()
        rest = to_json(parts).encode()
        number = self.frames[-1].number + 1 if self.frames else 1
        data = b'{"t":%.3f,"lines":%s,"status":%s}' % (now, to_json(lines).encode(), rest)
        self.frames = (*self.frames[1 - FRAMES :], Frame(number, data))
        listed = json.dumps(targets).encode()
        if listed != self.targets:
            self.targets = listed
            self._writes.do("targets.json", lambda: write_json(self._targets, targets))
        self.status = b'%s,"events":%s}' % (rest[:-1], events)
