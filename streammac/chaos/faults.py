"""What is done to a cluster, to whom and when: a function of the seed and of who is there.

Pure. `Plan` draws from a list of faults that is shuffled again whenever it is empty, so that every kind comes up in
every dozen or so; `streammac.chaos.attack` carries the injections out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

SHORTEST_REST_S = 0.2
LONGEST_REST_S = 2.0
SHORTEST_HANG_S = 3.0
"""Longer than it takes to notice, so that the others go on without the one that hangs."""
LONGEST_HANG_S = 5.0


class Fault(StrEnum):
    """Kinds of faults, as they are named on the command line."""

    KILL_WORKER = "kill-worker"
    HANG_WORKER = "hang-worker"
    KILL_COORDINATOR = "kill-coordinator"
    KILL_INGEST = "kill-ingest"
    ADD = "add"
    REMOVE = "remove"
    MOVE = "remove-move"


KILLS = frozenset({Fault.KILL_WORKER, Fault.KILL_COORDINATOR, Fault.KILL_INGEST})
"""Those by ``kill -9``."""
TITLES: Mapping[Fault, str] = {
    Fault.KILL_WORKER: "worker killed",
    Fault.HANG_WORKER: "worker hangs, goes on",
    Fault.KILL_COORDINATOR: "coordinator killed",
    Fault.KILL_INGEST: "ingest node killed",
    Fault.ADD: "worker added",
    Fault.REMOVE: "worker removed",
    Fault.MOVE: "removed, points moved",
}
FAULT_WEIGHTS: Mapping[Fault, int] = {
    Fault.KILL_WORKER: 5,
    Fault.HANG_WORKER: 2,
    Fault.KILL_COORDINATOR: 2,
    Fault.KILL_INGEST: 2,
    Fault.ADD: 2,
    Fault.REMOVE: 1,
    Fault.MOVE: 1,
}
"""How often each comes up, relative to the others."""


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault.

    Attributes
    ----------
    number : int
        Running number, from 1.
    fault : Fault
        What is done.
    target : str
        To which process; empty for ``add``.
    rest_s : float
        The cluster is left alone for so long before.
    hang_s : float
        For ``hang-worker``: how long it hangs.
    """

    number: int
    fault: Fault
    target: str
    rest_s: float
    hang_s: float = 0.0


class Plan:
    """All the injections there will be; the same for the same seed and the same answers to "who is there".

    Parameters
    ----------
    seed : int
        Of everything that is drawn.
    workers : int
        How many there are at the beginning: the plan stays near that number.
    list of faults : mapping of Fault to int
        Which faults, and how often each relative to the others.
    """

    def __init__(
        self, seed: int, workers: int, weights: Mapping[Fault, int] = FAULT_WEIGHTS
    ) -> None:
        self._random = random.Random(seed)
        self._fewest = max(2, workers - 1)
        self._most = workers + 2
        self._weights = [fault for fault, times in weights.items() for _ in range(times)]
        if not self._weights:
            raise ValueError("deck: expected at least one fault")
        self._left: list[Fault] = []
        self._count = 0

    def next(self, workers: Sequence[str]) -> Injection | None:
        """Return the next injection, None if no fault of the list of faults is possible.

        Parameters
        ----------
        workers : sequence of str
            Who can be injected now.
        """
        for _ in range(2 * len(self._weights)):
            fault = self._draw()
            if self._possible(fault, len(workers)):
                break
        else:
            return None
        self._count += 1
        target = {Fault.KILL_COORDINATOR: "coordinator", Fault.KILL_INGEST: "i1", Fault.ADD: ""}
        return Injection(
            self._count,
            fault,
            target[fault] if fault in target else self._random.choice(sorted(workers)),
            round(self._random.uniform(SHORTEST_REST_S, LONGEST_REST_S), 3),
            round(self._random.uniform(SHORTEST_HANG_S, LONGEST_HANG_S), 3)
            if fault is Fault.HANG_WORKER
            else 0.0,
        )

    def _draw(self) -> Fault:
        if not self._left:
            self._left = list(self._weights)
            self._random.shuffle(self._left)
        return self._left.pop()

    def _possible(self, fault: Fault, workers: int) -> bool:
        match fault:
            case Fault.ADD:
                return workers < self._most
            case Fault.REMOVE | Fault.MOVE:
                return workers > self._fewest
            case Fault.KILL_WORKER | Fault.HANG_WORKER:
                return workers > 1  # the survivors are what is measured
        return True
