"""Injects fault after fault into a running cluster, and measures what each cost the others.

`streammac.chaos.faults` says what to do, `streammac.chaos.inject` does it. Times come from the coordinator's events, by
this machine's clock, and where the ring has no reason to change, or nobody to change it, from the survivors' own counts
of visits.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from streammac.chaos.faults import (
    COORDINATOR,
    HANGS,
    INGEST,
    Fault,
    Injection,
    Plan,
)
from streammac.chaos.inject import NotInjected, injected
from streammac.chaos.verdict import Outcome
from streammac.errors import Failure
from streammac.link.attached import Attached
from streammac.telemetry.metrics import ITERATIONS, VISIT_SECONDS
from streammac.wire.messages import ForgetWorker, WorkerForgotten
from streammac.wire.status import ClusterStatus, Event

Found = TypeVar("Found")

POLL_S = 0.05
PATIENCE_S = 60.0
"""So long a cluster may take to be whole again."""
SCRAPE_S = 0.01
"""Time between two looks at a survivor's count of visits."""
ASK_S = 1.0


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
        How often we stopped a worker or an ingest node: so often one is taken for lost, and comes back.
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
        status = self.wait_whole(lambda _: True) or ClusterStatus()
        running = {child.name for child in status.children if child.state == "running"}
        return [name for name in _alive(status) if name in running]

    # -- one injection -----------------------------------------------------------------------

    def injection(self, injection: Injection) -> Outcome:
        """Do it, and wait until the cluster is whole again."""
        before = self.wait_whole(lambda _: True)
        if before is None:
            return Outcome(injection, None, None, "the cluster was not whole before")
        try:
            with injected(self.cluster, injection, before) as began:
                if injection.kills:
                    self.injected.update(injection.targets)
                if injection.fault in HANGS:
                    self.hangs += sum(name != COORDINATOR for name in injection.targets)
                visit = self._next_visit(injection, before, began)
        except (NotInjected, Failure) as error:
            return Outcome(injection, None, None, str(error))
        again = self.wait_whole(lambda status: is_over(injection, before, status))
        if again is None:
            return Outcome(injection, visit, None)
        whole_s = round(time.time() - began, 3)
        if injection.fault is Fault.MOVE:
            self._forget(injection.targets[0], again)
        return Outcome(injection, visit, whole_s)

    # -- measuring ------------------------------------------------------------------------

    def _next_visit(
        self, injection: Injection, before: ClusterStatus, began: float
    ) -> float | None:
        hit = set(injection.targets)
        if COORDINATOR in hit or hit == {INGEST}:
            survivors = [w for w in before.workers if w.state == "alive" and w.name not in hit]
            return self._next_count([worker.metrics_url for worker in survivors], began)
        event = self._wait(lambda status: first_turn(status, began))
        if event is None:
            return None
        died = injection.kills or injection.fault in HANGS
        return round(event.time - began if died else event.seconds, 4)

    def _next_count(self, urls: Sequence[str | None], began: float) -> float | None:
        """Return when the count of visits of any of these workers had grown."""
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
    """Return whether what an injection did is undone, or done, and an epoch has passed, if there was one to come."""
    if now.epoch <= before.epoch and now.resting is None:
        return False
    if injection.fault in HANGS:
        return True
    if injection.kills:
        return all(restarts(now, name) > restarts(before, name) for name in injection.targets)
    if injection.fault is Fault.ADD:
        return len(_alive(now)) > len(_alive(before))
    left = {child.name for child in now.children if child.state == "left"}
    return left.issuperset(injection.targets)


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
    """Return how many visits a worker has finished, or steps of its copy; None if it does not answer."""
    names = (f"{VISIT_SECONDS.name}_count", ITERATIONS.name)
    try:  # all of them: the library picks out histograms alone by ``name[]``
        with urllib.request.urlopen(metrics_url, timeout=ASK_S) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    values = [line.split()[-1] for line in text.splitlines() if line.startswith(names)]
    return sum(map(float, values)) if values else None
