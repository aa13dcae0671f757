"""One process that the supervisor keeps running: what it is at, and what its death means.

`LocalCluster` has one per coordinator, worker and ingest node, and looks at all of them many times a second. How to
start the process is given; when, `restart_policy` knows.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from streammac.errors import ExitCode
from streammac.supervisor.processes import Child, Process
from streammac.supervisor.restart_policy import RestartPolicy
from streammac.wire.status import ChildState, ChildStatus, Role

NON_RETRYABLE = frozenset({ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.BAD_INPUT})
"""Who ends with these would end with them again."""


@dataclass(slots=True)
class SupervisedProcess:
    """A process and its restarts.

    Parameters
    ----------
    name : str
        Its name in the cluster.
    role : {"coordinator", "worker", "ingest"}
        What it is.
    spawn : callable
        Starts it.
    policy : RestartPolicy
        When it is started again.
    """

    name: str
    role: Role
    spawn: Callable[[], Child]
    policy: RestartPolicy
    child: Child
    state: ChildState = "running"
    reason: str = ""
    """How it ended last."""
    next_attempt: float | None = None
    """While it waits: when it is started again, monotonic clock, s."""
    next_attempt_s: float | None = None
    """The same in Unix time, for people."""
    killed: bool = False
    """Its last death was a ``kill -9``, which no process does to itself."""

    @classmethod
    def start(
        cls, name: str, role: Role, spawn: Callable[[], Child], policy: RestartPolicy, now: float
    ) -> SupervisedProcess:
        """Start a process for the first time."""
        policy.began(now)
        return cls(name, role, spawn, policy, spawn())

    @property
    def process(self) -> Process:
        """The process as the operating system knows it."""
        return self.child.process

    @property
    def exit_code(self) -> int | None:
        """Exit status of the newest process, negative for a signal; None while it runs."""
        return self.child.exit_code

    @property
    def just_ended(self) -> bool:
        """It was running when we looked last, and is not any more."""
        return self.state == "running" and self.exit_code is not None

    def due(self, now: float) -> bool:
        """Return whether it is time to start it again."""
        return self.next_attempt is not None and now >= self.next_attempt

    def ended(self, now: float) -> None:
        """Decide what its end means: it was asked to, it comes back later, or it stays down."""
        self.reason = self.child.how_it_ended()
        if self.exit_code == ExitCode.OK:
            self.state = "left"
        elif self.is_non_retryable:
            self.state = "down"
        else:
            self.killed = self.exit_code == -signal.SIGKILL
            self._wait(now)

    @property
    def is_non_retryable(self) -> bool:
        """It would end in the same way again; one that ran with its settings before may do so again."""
        if self.exit_code == ExitCode.CONFIGURATION and self.policy.restarts:
            return False  # say, keys that are being replaced
        return self.exit_code in NON_RETRYABLE

    def _wait(self, now: float) -> None:
        at = self.next_attempt = self.policy.died(now)
        self.state = "down" if at is None else "waiting"
        self.next_attempt_s = None if at is None else round(time.time() + at - now, 3)

    def restart(self, now: float) -> None:
        """Start it again; if not even that is possible, it waits once more."""
        self.policy.restarted(now)
        self.next_attempt = self.next_attempt_s = None
        try:
            self.child = self.spawn()
        except OSError as error:  # no memory, no more processes: perhaps later
            self.reason = f"it could not be started: {error}"
            self._wait(now)
        else:
            self.state = "running"

    def status(self, now: float) -> ChildStatus:
        """Return what the cluster's status says of it."""
        return ChildStatus(
            self.name,
            self.role,
            self.process.pid if self.exit_code is None else None,
            self.state,
            self.policy.restarts,
            self.policy.left(now),
            self.next_attempt_s,
            self.reason,
        )
