"""A cluster from the command to its end: looked after, shown, summed up.

``streammac up`` and ``streammac demo`` call `supervise` with a `streammac.supervisor.local_cluster.LocalCluster`;
`streammac.terminal.summary` tells what the `Run` came to.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streammac.errors import ExitCode, Failure
from streammac.link.interrupt import SIGNALS
from streammac.supervisor.local_cluster import LocalCluster
from streammac.supervisor.milestones import Milestones
from streammac.supervisor.verdict import verdict
from streammac.wire.status import ClusterStatus

START_S = 30.0
"""Longest time from start to a coordinator that answers."""
STATUS_S = 0.5
"""Time between two looks at the cluster."""
TURN_S = 0.05
"""Time between two looks at the processes: so long a death may go unnoticed."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of a cluster came to."""

    status: ClusterStatus | None
    """Final status, counts as they are after everybody's last words."""
    running: ClusterStatus | None
    """The last status while all were at work: busy shares mean something in it."""
    started: float
    """Unix time of the start."""
    seconds: float
    failure: Failure | None = None
    milestones: Milestones = field(default_factory=Milestones)


def supervise(
    cluster: LocalCluster,
    show: Callable[[ClusterStatus, float], None],
    duration_s: float | None = None,
    began: float | None = None,
) -> Run:
    """Run a cluster until the time is over, the user interrupts it, or a process dies.

    Parameters
    ----------
    cluster : LocalCluster
        Not started yet.
    show : callable
        Is given the status, without a coordinator before the first, and the seconds since the start, twice a second.
    duration_s : float, optional
        How long; without it, until Ctrl-C or SIGTERM.
    began : float, optional
        Unix time at which the user asked for the cluster, if that was before this call.

    Raises
    ------
    Failure
        If a cluster runs in that directory already. Later failures are in the result, so that
        there is one to be summed up.
    """
    started = began or time.time()
    first = time.monotonic() - (time.time() - started)
    failure: Failure | None = None
    running: ClusterStatus | None = None
    unsaved = ""
    milestones = Milestones()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    cluster.interrupt.catch()
    try:
        cluster.start()
        look_at = 0.0
        while not cluster.interrupt.requested:
            elapsed = time.monotonic() - first
            if duration_s is not None and elapsed >= duration_s:
                break
            left = TURN_S if duration_s is None else min(TURN_S, duration_s - elapsed)
            if elapsed < look_at:
                cluster.step(left)
                continue
            cluster.step()
            status = cluster.status()
            known = status or cluster.last_known()
            unsaved = known.supervisor.unsaved if known.supervisor else ""
            if elapsed > START_S and cluster.last is None and not unsaved:
                raise _unanswered(cluster)
            running = status or running
            milestones.see(status)
            with contextlib.suppress(OSError):  # a terminal that is gone ends no cluster
                show(known, elapsed)
            look_at = elapsed + (STATUS_S if status else TURN_S)
    except Failure as error:
        if not cluster.children:
            raise
        failure = error
    finally:
        final = cluster.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    milestones.see(final)
    seconds = time.monotonic() - first
    failure = failure or verdict(cluster.children, final, seconds, unsaved)
    return Run(final, running, started, seconds, failure, milestones)


def _unanswered(cluster: LocalCluster) -> Failure:
    return Failure(
        ExitCode.NOT_RUNNING,
        f"the coordinator does not answer after {START_S:.0f} s; see {cluster.directory.logs}",
    )
