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
SHORTEST_S = 3.0
"""Of what lasts: longer than it takes to notice, so that the others go on without those who hang."""
LONGEST_S = 5.0
COORDINATOR, INGEST = "coordinator", "i1"


class Fault(StrEnum):
    """Kinds of faults, as they are named on the command line."""

    KILL_WORKER = "kill-worker"
    HANG_WORKER = "hang-worker"
    KILL_COORDINATOR = "kill-coordinator"
    KILL_INGEST = "kill-ingest"
    KILL_TWO = "kill-two"
    HANG_SEVERAL = "hang-several"
    ROT = "rot"
    FULL_DISK = "full-disk"
    ADD = "add"
    REMOVE = "remove"
    MOVE = "remove-move"


KILLS = frozenset(
    {Fault.KILL_WORKER, Fault.KILL_COORDINATOR, Fault.KILL_INGEST, Fault.KILL_TWO, Fault.ROT}
)
"""Those by ``kill -9``."""
HANGS = frozenset({Fault.HANG_WORKER, Fault.HANG_SEVERAL})
LASTING = HANGS | {Fault.FULL_DISK}
"""Those that are taken back after a while."""
OF_THE_DISK = frozenset({Fault.ROT, Fault.FULL_DISK})
"""Those that cost points, or other people room: not for a cluster that is somebody's, unless named."""
TITLES: Mapping[Fault, str] = {
    Fault.KILL_WORKER: "worker killed",
    Fault.HANG_WORKER: "worker hangs, goes on",
    Fault.KILL_COORDINATOR: "coordinator killed",
    Fault.KILL_INGEST: "ingest node killed",
    Fault.KILL_TWO: "two killed at once",
    Fault.HANG_SEVERAL: "several hang, go on",
    Fault.ROT: "byte rots, killed",
    Fault.FULL_DISK: "disk full, one killed",
    Fault.ADD: "worker added",
    Fault.REMOVE: "worker removed",
    Fault.MOVE: "removed, points moved",
}
FAULT_WEIGHTS: Mapping[Fault, int] = {
    Fault.KILL_WORKER: 5,
    Fault.HANG_WORKER: 2,
    Fault.KILL_COORDINATOR: 2,
    Fault.KILL_INGEST: 2,
    Fault.KILL_TWO: 4,
    Fault.HANG_SEVERAL: 2,
    Fault.ROT: 2,
    Fault.FULL_DISK: 1,
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
    targets : tuple of str
        To which processes, all at once; for ``full-disk``: who is killed meanwhile.
    rest_s : float
        The cluster is left alone for so long before.
    lasts_s : float
        How long they hang, or the disk is full.
    byte : int
        For ``rot``: what chooses the byte.
    """

    number: int
    fault: Fault
    targets: tuple[str, ...]
    rest_s: float
    lasts_s: float = 0.0
    byte: int = 0

    @property
    def kills(self) -> int:
        """Processes that it kills."""
        return len(self.targets) if self.fault in KILLS | {Fault.FULL_DISK} else 0


class Plan:
    """All the injections there will be; the same for the same seed and the same answers to "who is there".

    Parameters
    ----------
    seed : int
        Of everything that is drawn.
    workers : int
        How many there are at the beginning: the plan stays near that number.
    weights : mapping of Fault to int
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
            raise ValueError("weights: expected at least one fault")
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
        return Injection(
            self._count,
            fault,
            self._targets(fault, sorted(workers)),
            round(self._random.uniform(SHORTEST_REST_S, LONGEST_REST_S), 3),
            round(self._random.uniform(SHORTEST_S, LONGEST_S), 3) if fault in LASTING else 0.0,
            self._random.getrandbits(32) if fault is Fault.ROT else 0,
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
            case Fault.KILL_COORDINATOR | Fault.KILL_INGEST | Fault.FULL_DISK:
                return True
        return workers > 1  # the survivors are what is measured

    def _targets(self, fault: Fault, workers: list[str]) -> tuple[str, ...]:
        match fault:
            case Fault.ADD:
                return ()
            case Fault.FULL_DISK:
                return tuple(self._random.sample([*workers[1:], COORDINATOR, INGEST], 1))
            case Fault.KILL_COORDINATOR:
                return (COORDINATOR,)
            case Fault.KILL_INGEST:
                return (INGEST,)
        first, *others = self._random.sample(workers, len(workers))
        others.pop()  # one worker is left in peace
        match fault:
            case Fault.KILL_TWO:
                return (first, self._random.choice([*others[:1], COORDINATOR, INGEST]))
            case Fault.HANG_SEVERAL:
                more = [*others, COORDINATOR, INGEST]
                return (first, *self._random.sample(more, self._random.randint(1, len(more))))
        return (first,)
