"""What a supervisor tells of itself: its processes, their restarts, and what it did.

`LocalCluster` publishes it in the run directory; ``status``, the views and the summary
show it beside what the coordinator tells. A supervisor that is gone tells nothing.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from streammac.run_directory import RunDirectory

log = logging.getLogger(__name__)

NAME = "supervisor"
KEPT_EVENTS = 50
SERIOUS = frozenset({"process_died", "process_down"})


class SupervisorStatus:
    """What is published by the supervisor of a run directory.

    Parameters
    ----------
    directory : RunDirectory
        Where it is published.
    restart : str
        The setting ``cluster.restart``.
    """

    def __init__(self, directory: RunDirectory, restart: str) -> None:
        self._directory = directory
        self._restart = restart
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._count = 0
        self._published: str | None = None
        self._started_s = time.time()

    def note(self, kind: str, name: str, text: str) -> None:
        """Remember what happened to a process, in the form of the status's events, and log it."""
        level = logging.WARNING if kind in SERIOUS else logging.INFO
        log.log(level, "%s %s: %s", kind, name, text, extra={"event": kind, "about": name})
        self._count += 1
        event = {"number": self._count, "time": round(time.time(), 3), "kind": kind}
        self._events.append(event | {"name": name, "text": text, "seconds": 0.0})

    def facts(self, processes: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return what is told (docs/status.md, ``supervisor``)."""
        return {
            "restart": self._restart,
            "started_s": self._started_s,
            "restarts": sum(process["restarts"] for process in processes),
            "processes": list(processes),
            "events": list(self._events),
        }

    def publish(self, address: str, processes: Sequence[dict[str, Any]]) -> None:
        """Write it into the run directory, if it has changed."""
        facts = {"control": address} | self.facts(processes)
        text = json.dumps(facts)
        if text != self._published:
            self._published = text
            self._directory.announce(NAME, facts)

    def close(self) -> None:
        """Take it back."""
        self._directory.retract(NAME)


def told(directory: RunDirectory) -> dict[str, Any] | None:
    """Return what the supervisor of a directory tells, None where none is running."""
    return directory.announced(NAME)
