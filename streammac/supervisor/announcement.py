"""What a supervisor announces in the run directory: its processes, their restarts, and what it did.

`streammac.link.attached` reads it and joins it to what the coordinator tells. A supervisor that is gone tells nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable

from msgspec import to_builtins
from msgspec.structs import replace

from streammac.files.writes import Writes
from streammac.run_directory import RunDirectory
from streammac.wire.status import ChildStatus, Event, SupervisorStatus

log = logging.getLogger(__name__)

NAME = "supervisor"
KEPT_EVENTS = 50
SERIOUS = frozenset({"process_died", "process_down", "damaged", "disk_full", "keys_unreadable"})


class Announcement:
    """What is announced by the supervisor of a run directory.

    Parameters
    ----------
    directory : RunDirectory
        Where.
    restart : str
        The setting ``cluster.restart``.
    control : str
        Where the supervisor takes requests.
    """

    def __init__(self, directory: RunDirectory, restart: str, control: str) -> None:
        self._directory = directory
        self._status = SupervisorStatus(NAME, os.getpid(), control, restart, time.time())
        self._announced: SupervisorStatus | None = None
        self._count = 0
        self.writes = Writes(lambda kind, text: self.note(kind, "", text))
        """Of all files that the supervisor writes while the cluster runs."""

    def note(self, kind: str, name: str, text: str) -> None:
        """Remember what happened to a process, and log it."""
        level = logging.WARNING if kind in SERIOUS else logging.INFO
        log.log(level, "%s %s: %s", kind, name, text, extra={"event": kind, "about": name})
        self._count += 1
        event = Event(self._count, round(time.time(), 3), kind, name, text)
        events = (*self._status.events, event)[-KEPT_EVENTS:]
        self._status = replace(self._status, events=events)

    def update(self, processes: Iterable[ChildStatus]) -> SupervisorStatus:
        """Take the processes as they are now; return all there is to tell, announced if it has changed."""
        self.writes.retry()
        children = tuple(processes)
        restarts = sum(child.restarts for child in children)
        unsaved = self.writes.trouble
        self._status = replace(self._status, processes=children, restarts=restarts, unsaved=unsaved)
        if self._status != self._announced:
            self._announced = status = self._status
            self.writes.do(
                f"processes/{NAME}.json",
                lambda: self._directory.announce(NAME, to_builtins(status)),
            )
        return self._status

    def close(self) -> None:
        """Take it back."""
        self._directory.retract(NAME)
