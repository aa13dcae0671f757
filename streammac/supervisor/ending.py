"""How a cluster ends in good order: from the front, ingest first, the coordinator last.

So what was sent is acknowledged while there are workers, and everybody's last words are heard. Each kind of process has
its own patience; `LocalCluster.stop` ends with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from streammac.link.request import Asker
from streammac.supervisor import processes
from streammac.supervisor.processes import Child
from streammac.supervisor.supervised_process import SupervisedProcess
from streammac.wire.messages import Shutdown
from streammac.wire.status import ClusterStatus

INGEST_PATIENCE_S = 20.0
WORKER_PATIENCE_S = 15.0
COORDINATOR_PATIENCE_S = 20.0
SETTLE_S = 2.0
"""Longest wait for the last words of processes that have ended."""
INSIST_S = 0.5
"""Without a coordinator workers cannot leave the ring in good order: they are asked twice, so far apart."""


def end(
    ingest: Sequence[SupervisedProcess],
    workers: Sequence[SupervisedProcess],
    coordinator: Sequence[SupervisedProcess],
    asker: Asker,
    address: str | None,
    hurry: Callable[[], bool],
) -> ClusterStatus | None:
    """End all processes of a cluster; those that do not end in time are killed.

    Parameters
    ----------
    ingest, workers, coordinator : sequence of SupervisedProcess
        Those that have ended already are passed over.
    asker : Asker
        Asks the coordinator.
    address : str, optional
        Where the coordinator is; None if it never said so.
    hurry : callable
        Is asked while waiting: True ends all patience.

    Returns
    -------
    ClusterStatus or None
        The final status, with everybody's last words; None if the coordinator does not tell it.
    """
    processes.end(_running(ingest), INGEST_PATIENCE_S, hurry)
    told = address is not None and bool(_running(coordinator)) and _told_the_end(address, asker)
    insist_s = None if told else INSIST_S
    processes.end(_running(workers), WORKER_PATIENCE_S, hurry, insist_s)
    last = _running(coordinator)
    final = _last_words(address, asker, hurry) if last and address else None
    processes.end(last, COORDINATOR_PATIENCE_S, hurry)
    return final


def _running(kept: Sequence[SupervisedProcess]) -> list[Child]:
    return [one.child for one in kept if one.exit_code is None]


def _told_the_end(address: str, asker: Asker) -> bool:
    """Tell the coordinator, so that workers need not leave the ring one by one; return whether it heard."""
    return asker.ask(address, Shutdown(), Shutdown, SETTLE_S) is not None


def _last_words(address: str, asker: Asker, hurry: Callable[[], bool]) -> ClusterStatus | None:
    """Return the status once the coordinator has read the farewells of all others."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        status = asker.status(address, SETTLE_S)
        members = (*status.workers, *status.ingest) if status else ()
        talking = any(member.state == "alive" for member in members)
        if not talking or time.monotonic() > deadline or hurry():
            return status
        time.sleep(processes.POLL_S)
