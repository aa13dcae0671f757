"""Injects faults into a running cluster, and measures what each injection cost the others.

`streammac.chaos.faults` says what to do; only processes that the cluster's supervisor started are touched. Times come
from the coordinator's events, by this machine's clock, and where the ring has no reason to change from the survivors'
own counts of visits.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from streammac.chaos.faults import KILLS, Fault, Injection, Plan
from streammac.chaos.verdict import Outcome
from streammac.errors import Failure, StreammacError
from streammac.link.attached import Attached
from streammac.telemetry.metrics import VISIT_SECONDS
from streammac.wire.messages import (
    AddWorkers,
    DrainReply,
    DrainRequest,
    ForgetWorker,
    WorkerForgotten,
    WorkersAdded,
)
from streammac.wire.status import ClusterStatus, Event

Found = TypeVar("Found")

POLL_S = 0.05
PATIENCE_S = 60.0
"""So long a cluster may take to be whole again."""
SCRAPE_S = 0.01
"""Time between two looks at a survivor's count of visits."""
ASK_S = 1.0
DRAIN_S = 20.0
"""Deadline of a worker that is removed."""


class NotInjected(StreammacError):
    """A fault did not come about; the message says why."""


@dataclass(slots=True)
class Attack:
    """Injects faults into one cluster.

    Parameters
    ----------
    cluster : Attached
        A running cluster with a supervisor on this machine.
    plan : Plan
        What to do.
    show : callable
        Is told each outcome.

    Attributes
    ----------
    outcomes : list of Outcome
        Of all injections so far.
    injected : Counter
        Our kills of each process: so often it has to be restarted.
    hangs : int
        How often we stopped a worker: so often it is taken for lost, and comes back.
    """

    cluster: Attached
    plan: Plan
    show: Callable[[Outcome], None]
    outcomes: list[Outcome] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    hangs: int = 0

    def run(self, ended: Callable[[], bool]) -> None:
        """Inject faults until it is time to end, or the cluster does not recover."""
        while not ended():
            injection = self.plan.next(self._targets())
            if injection is None:
                return
            time.sleep(injection.rest_s)
            outcome = self.injection(injection)
            self.outcomes.append(outcome)
            self.show(outcome)
            if outcome.whole_s is None and not outcome.trouble:
                return  # what follows would be blamed for it

    @property
    def kills(self) -> int:
        """Processes that were killed so far."""
        return sum(self.injected.values())

    def _targets(self) -> list[str]:
        """Return the workers that can be injected: their supervisor is here, and they take part."""
        status = self.cluster.status(ASK_S) or ClusterStatus()
        running = {child.name for child in status.children if child.state == "running"}
        return [name for name in _alive(status) if name in running]

    # -- one injection -----------------------------------------------------------------------

    def injection(self, injection: Injection) -> Outcome:
        """Do it, and wait until the cluster is whole again."""
        before = self.wait_whole(lambda _: True)
        if before is None:
            return Outcome(injection, None, None, "the cluster was not whole before")
        try:
            with self._injected(injection, before) as began:
                visit = self._next_visit(injection, before, began)
        except (NotInjected, Failure, ProcessLookupError) as error:
            return Outcome(injection, None, None, str(error) or type(error).__name__)
        again = self.wait_whole(lambda status: is_over(injection, before, status))
        if again is None:
            return Outcome(injection, visit, None)
        whole_s = round(time.time() - began, 3)
        if injection.fault is Fault.MOVE:
            self._forget(injection.target, again)
        return Outcome(injection, visit, whole_s)

    @contextmanager
    def _injected(self, injection: Injection, before: ClusterStatus) -> Iterator[float]:
        """Do it; the time at which it was done. What hangs goes on in the end."""
        if injection.fault is Fault.HANG_WORKER:
            pid = self._pid(before, injection.target)
            began, stopped = time.time(), time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            self.hangs += 1
            try:
                yield began
                time.sleep(max(0.0, stopped + injection.hang_s - time.monotonic()))
            finally:
                os.kill(pid, signal.SIGCONT)
            return
        began = time.time()
        if injection.fault in KILLS:
            os.kill(self._pid(before, injection.target), signal.SIGKILL)
            self.injected[injection.target] += 1
        elif injection.fault is Fault.ADD:
            added = self.cluster.ask_supervisor(AddWorkers(1), WorkersAdded)
            if added is None or not added.names:
                raise NotInjected(added.reason if added else "the supervisor does not answer")
        else:
            self._remove(injection)
        yield began

    def _remove(self, injection: Injection) -> None:
        points: Literal["move", "keep"] = "move" if injection.fault is Fault.MOVE else "keep"
        request = DrainRequest(injection.target, DRAIN_S, points)
        reply = self.cluster.ask(request, DrainReply)
        if not reply.accepted:
            raise NotInjected(reply.reason)

    @staticmethod
    def _pid(status: ClusterStatus, name: str) -> int:
        for child in status.children:
            if child.name == name and child.pid is not None:
                return child.pid
        raise NotInjected(f"{name} is not running here")

    # -- measuring ------------------------------------------------------------------------

    def _next_visit(
        self, injection: Injection, before: ClusterStatus, began: float
    ) -> float | None:
        if injection.fault in (Fault.KILL_COORDINATOR, Fault.KILL_INGEST):
            return self._next_count(before, began)
        event = self._wait(lambda status: first_turn(status, began))
        if event is None:
            return None
        died = injection.fault in (Fault.KILL_WORKER, Fault.HANG_WORKER)
        return round(event.time - began if died else event.seconds, 4)

    def _next_count(self, before: ClusterStatus, began: float) -> float | None:
        """Return when any worker's count of visits had grown."""
        urls = [worker.metrics_url for worker in before.workers if worker.state == "alive"]
        counts = {url: visits(url) for url in urls if url is not None}
        asked = time.monotonic()
        while time.monotonic() - asked < PATIENCE_S:
            for url, count in counts.items():
                now = visits(url)
                if count is not None and now is not None and now > count:
                    return round(time.time() - began, 4)
            time.sleep(SCRAPE_S)
        return None

    def _forget(self, name: str, status: ClusterStatus) -> None:
        """Tell the supervisor not to start a worker again whose points are all elsewhere."""
        if not sum(worker.points for worker in status.workers if worker.name == name):
            self.cluster.ask_supervisor(ForgetWorker(name), WorkerForgotten)

    def wait_whole(self, also: Callable[[ClusterStatus], bool]) -> ClusterStatus | None:
        """Return the first status in which everybody is there; None if that takes too long."""
        return self._wait(lambda s: s if whole(s) and also(s) else None)

    def _wait(self, until: Callable[[ClusterStatus], Found | None]) -> Found | None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status = self.cluster.status(ASK_S)
            if status is not None and (found := until(status)):
                return found
            time.sleep(POLL_S)
        return None


def _alive(status: ClusterStatus) -> list[str]:
    return [worker.name for worker in status.workers if worker.state == "alive"]


def restarts(status: ClusterStatus, name: str) -> int:
    """Return how often the supervisor has started a process again."""
    return sum(child.restarts for child in status.children if child.name == name)


def whole(status: ClusterStatus) -> bool:
    """Return whether all processes that should be there are, and the workers in the same ring."""
    kept = [child for child in status.children if child.state != "left"]
    members = {
        (one.name, one.pid) for one in (*status.workers, *status.ingest) if one.state == "alive"
    }
    views = {worker.name: worker.view for worker in status.workers}
    return all(
        child.state == "running"
        and (child.role == "coordinator" or (child.name, child.pid) in members)
        and (child.role != "worker" or 0 < views[child.name] == status.view)
        for child in kept
    )


def is_over(injection: Injection, before: ClusterStatus, now: ClusterStatus) -> bool:
    """Return whether what a injection did is undone, or done, and an epoch has passed."""
    if now.epoch <= before.epoch:
        return False
    if injection.fault in KILLS:
        return restarts(now, injection.target) > restarts(before, injection.target)
    if injection.fault is Fault.ADD:
        return len(_alive(now)) > len(_alive(before))
    if injection.fault is Fault.HANG_WORKER:
        return True
    return any(child.name == injection.target and child.state == "left" for child in now.children)


def first_turn(status: ClusterStatus, since: float) -> Event | None:
    """Return the event of the first visit in a view that was made since some time; None before it."""
    changed = False
    for event in status.events:
        if event.time < since:
            continue
        changed = changed or event.kind == "view"
        if changed and event.kind == "turns":
            return event
    return None


def visits(metrics_url: str) -> float | None:
    """Return how many visits a worker has finished, None if it does not answer."""
    name = f"{VISIT_SECONDS.name}_count"
    try:
        with urllib.request.urlopen(f"{metrics_url}?name[]={name}", timeout=ASK_S) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    values = [line.split()[-1] for line in text.splitlines() if line.startswith(name)]
    return sum(map(float, values)) if values else None
