"""Carries one fault out: signals to processes, requests to coordinator and supervisor, the disk.

Only processes that the cluster's supervisor started are touched. `streammac.chaos.attack` measures what it did.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from streammac.chaos.disk import fill, make_room, rot
from streammac.chaos.faults import HANGS, Fault, Injection
from streammac.errors import StreammacError
from streammac.link.attached import Attached
from streammac.wire.messages import AddWorkers, DrainReply, DrainRequest, WorkersAdded
from streammac.wire.status import ClusterStatus

DRAIN_S = 20.0
"""Deadline of a worker that is removed."""


class NotInjected(StreammacError):
    """A fault did not come about; the message says why."""


@contextmanager
def injected(cluster: Attached, injection: Injection, status: ClusterStatus) -> Iterator[float]:
    """Do it; the time at which it was done. What lasts is taken back when its time is over, before this ends.

    Raises
    ------
    NotInjected
        If a process is not there, or somebody refuses.
    """
    fault, began = injection.fault, time.time()
    pids = _pids(status, injection.targets) if injection.kills or fault in HANGS else []
    if fault in HANGS:
        with _until(injection.lasts_s, lambda: _signal(pids, signal.SIGCONT)):
            _signal(pids, signal.SIGSTOP)
            yield began
    elif fault is Fault.FULL_DISK:
        with _until(injection.lasts_s, lambda: make_room(cluster.directory)):
            fill(cluster.directory)
            _signal(pids, signal.SIGKILL)
            yield began
    else:
        match fault:
            case Fault.ADD:
                _add(cluster)
            case Fault.REMOVE | Fault.MOVE:
                _remove(cluster, injection)
            case Fault.ROT:
                _rot(cluster, injection, pids)
            case _:
                _signal(pids, signal.SIGKILL)
        yield began


@contextmanager
def _until(seconds: float, undo: Callable[[], None]) -> Iterator[None]:
    """Take back what is done here when the time is over, or at once where this is cut short."""
    timer = threading.Timer(seconds, undo)
    timer.start()
    try:
        yield
        timer.join()
    finally:
        timer.cancel()
        undo()


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it is seen when nobody comes back
            os.kill(pid, number)


def _rot(cluster: Attached, injection: Injection, pids: Sequence[int]) -> None:
    (name,) = injection.targets
    _signal(pids, signal.SIGSTOP)  # what is wrong is found by the next process, not by this one
    try:
        rot([cluster.directory.shard(name), cluster.directory.held_out(name)], injection.byte)
    finally:
        _signal(pids, signal.SIGKILL)


def _add(cluster: Attached) -> None:
    added = cluster.ask_supervisor(AddWorkers(1), WorkersAdded)
    if added is None or not added.names:
        raise NotInjected(added.reason if added else "the supervisor does not answer")


def _remove(cluster: Attached, injection: Injection) -> None:
    points: Literal["move", "keep"] = "move" if injection.fault is Fault.MOVE else "keep"
    (name,) = injection.targets
    reply = cluster.ask(DrainRequest(name, DRAIN_S, points), DrainReply)
    if not reply.accepted:
        raise NotInjected(reply.reason)


def _pids(status: ClusterStatus, names: Sequence[str]) -> list[int]:
    running = {child.name: child.pid for child in status.children if child.pid is not None}
    for name in names:
        if name not in running:
            raise NotInjected(f"{name} is not running here")
    return [running[name] for name in names]
