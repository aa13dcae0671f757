"""The whole cluster in one place, and what can happen to it: the verbs of which a story is made."""

from __future__ import annotations

from dataclasses import dataclass

from streammac.config import Settings
from tests.simulation.coordinator import ADDRESS, CoordinatorProcess, Files
from tests.simulation.kernel import Kernel, Violation
from tests.simulation.network import Network
from tests.simulation.ring_rules import RingRules
from tests.simulation.visits import VisitedModel, Visits
from tests.simulation.worker import Pace, WorkerProcess

POINTS = 100
"""Points of a new shard."""
EPOCHS_AFTERWARDS = 2
"""So many epochs must end once the faults have stopped."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large and how fast a cluster is."""

    workers: int
    blocks: int
    laps: int
    epochs: int
    pace: Pace
    slowest_s: float
    jitter: float


class Cluster:
    """A cluster that has just been started.

    Parameters
    ----------
    kernel : Kernel
        Time and chance.
    size : Size
        How large and how fast it is.
    """

    def __init__(self, kernel: Kernel, size: Size) -> None:
        self.kernel = kernel
        self.size = size
        self.settings = Settings.model_validate(
            {
                "cluster": {"workers": size.workers, "seed": 7},
                "training": {"epochs": size.epochs, "start_points": 1},
                "stream": {"dim": 2, "dtype": "float32"},
            }
        )
        self.network = Network(kernel, size.slowest_s, size.jitter)
        self.model = VisitedModel(size.blocks, size.laps)
        self.visits = Visits()
        self.processes: dict[str, WorkerProcess] = {}
        self.workers: dict[str, WorkerProcess] = {}
        """The newest process of each name, dead or alive."""
        self.rules = RingRules(self.model, self.visits, self.processes)
        self.files = Files()
        self.points: dict[str, int] = {}
        self._incarnations = 0
        self._heal_epoch: int | None = None
        self.coordinator = self._new_coordinator()
        for number in range(size.workers):
            kernel.after(0.2 * kernel.rng.random(), self.start, f"w{number}")

    def note(self, what: str, *details: object) -> None:
        """Put a line about what happens to the cluster into the trace."""
        self.kernel.trace.add(self.kernel.now, "***", what, details)

    # -- who is there ---------------------------------------------------------------------

    @property
    def alive(self) -> list[WorkerProcess]:
        """Workers that run, or hang."""
        return [worker for worker in self.workers.values() if worker.alive]

    @property
    def dead(self) -> list[str]:
        """Workers that were killed and have not come back."""
        return [w.name for w in self.workers.values() if not w.alive and not w.ended]

    def _new_coordinator(self) -> CoordinatorProcess:
        return CoordinatorProcess(
            self.kernel, self.network, self.settings, self.files, self.rules, self._is_connected
        )

    def _is_connected(self, address: str) -> bool:
        """Return whether the coordinator's connection to a process seems to hold."""
        process = self.processes[address]
        # nobody hears of a death through a partition
        return process.alive or self.network.is_blocked(process.name, "coordinator")

    # -- what can happen ------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a worker, with the shard that it had, if it is not running."""
        if name in self.workers and self.workers[name].alive:
            return
        self._incarnations += 1
        self.points.setdefault(name, POINTS)
        worker = WorkerProcess(
            self.kernel,
            self.network,
            self.visits,
            name,
            self._incarnations,
            self.settings,
            self.model,
            self.size.pace,
            self.points[name],
            self.rules.heard,
        )
        self.note("start", worker.address)
        self.workers[name] = self.processes[worker.address] = worker

    def kill(self, name: str) -> None:
        """``kill -9`` of a worker."""
        worker = self.workers[name]
        if worker.alive:
            self.note("kill", worker.address)
            worker.die()
            self.network.died(worker)

    def stop(self, name: str) -> None:
        """A worker hangs."""
        self.note("hang", name)
        self.workers[name].stop()

    def go_on(self, name: str) -> None:
        """It hangs no more."""
        worker = self.workers[name]
        if worker.hangs:
            self.note("go on", name)
            worker.go_on()

    def drain(self, name: str) -> None:
        """A worker is asked to end in good order."""
        worker = self.workers[name]
        if worker.alive:
            self.note("drain", name)
            worker.is_asked_to_leave = True
            worker.after(0.0, worker.leave)

    def grow(self, name: str) -> None:
        """A worker's shard has become twice as large."""
        worker = self.workers[name]
        worker.points *= 2
        self.points[name] = worker.points

    def kill_coordinator(self) -> None:
        """``kill -9`` of the coordinator."""
        if self.coordinator.alive:
            self.note("kill", ADDRESS)
            self.coordinator.die()
            self.network.died(self.coordinator)

    def start_coordinator(self) -> None:
        """Start it again, from what it has on disk."""
        if not self.coordinator.alive:
            self.note("start", ADDRESS)
            self.coordinator = self._new_coordinator()

    def heal(self) -> None:
        """From now on nothing fails any more; who was killed comes back."""
        self.note("heal")
        self.network.heal()
        self.start_coordinator()
        for worker in self.workers.values():
            if worker.hangs:
                worker.go_on()
        for name in self.dead:
            self.start(name)
        staying = [worker for worker in self.alive if not worker.is_asked_to_leave]
        for number in range(self.size.workers - len(staying)):
            self.start(f"late{number}")
        self._heal_epoch = self.coordinator.core.epoch

    # -- the end --------------------------------------------------------------------------

    @property
    def troubles(self) -> list[str]:
        """What is not as it should be long after the faults; nothing, if all is well."""
        core = self.coordinator.core
        change = core.change
        if change is None or change.resume is None:
            return [f"view {core.views} does not resume"]
        staying = [w for w in self.alive if not w.is_asked_to_leave]
        found = []
        if sorted(w.name for w in staying) != sorted(change.names):
            found.append(
                f"in the ring are {change.names}, alive are {[w.address for w in staying]}"
            )
        for worker in staying:
            member = worker.member
            if member is None or member.view != core.views or member.frozen:
                found.append(f"{worker.name} is not in view {core.views}")
            elif member.state != "resting" and worker.name not in member.trainers:
                found.append(f"{worker.name} has no part in epoch {member.epoch}")
        resting = all(w.member is not None and w.member.state == "resting" for w in staying)
        assert self._heal_epoch is not None
        if not resting and core.epoch < self._heal_epoch + EPOCHS_AFTERWARDS:
            found.append(f"no more than {core.epoch - self._heal_epoch} epochs end")
        return found

    def check_the_end(self) -> None:
        """Look whether everything has come to a good end."""
        troubles = self.troubles
        if troubles:
            raise Violation("stuck: " + "; ".join(troubles))
