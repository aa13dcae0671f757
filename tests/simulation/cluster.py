"""The whole cluster in one place, and what can happen to it: the verbs of which a story is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from streammac.coordinator.rebalance import Transfer
from streammac.coordinator.status import points
from streammac.points.batch_id import BatchId
from streammac.settings.schema import Settings
from streammac.wire.messages import DrainRequest
from tests.simulation.coordinator import ADDRESS, CoordinatorProcess, Files
from tests.simulation.ingest import Client, IngestProcess
from tests.simulation.kernel import Kernel, Process, Violation
from tests.simulation.network import Network
from tests.simulation.point_rules import PointRules
from tests.simulation.ring_rules import RingRules
from tests.simulation.store import WorkerDisk
from tests.simulation.visits import VisitedCopies, VisitedModel, Visits
from tests.simulation.worker import Pace, WorkerProcess

MANY_POINTS = 200
EPOCHS_AFTERWARDS = 2
"""So many epochs must end once the faults have stopped."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large and how fast a cluster is."""

    workers: int
    submodels: int
    laps: int
    epochs: int
    pace: Pace
    slowest_s: float
    jitter: float
    nodes: int
    push_every_s: float
    ack: Literal["file", "fsync"]
    keep: int | None
    alone: bool
    backups: int | Literal["dynamic"] | None = None
    """Of training by consensus; None: it is not that."""


class Operator(Process):
    """Has workers removed; where nothing comes of it, nobody minds."""

    def receive(self, sender: str, message: Any) -> None:
        self.say("got", sender, message)


class Cluster:
    """A cluster that has just been started.

    Parameters
    ----------
    kernel : Kernel
        Time and chance.
    size : Size
        How large and how fast it is.
    folder : Path
        Where its disks are.
    """

    def __init__(self, kernel: Kernel, size: Size, folder: Path) -> None:
        self.kernel = kernel
        self.size = size
        self.settings = Settings.model_validate(
            {
                "cluster": {"workers": size.workers, "seed": 7},
                "training": {
                    "epochs": size.epochs,
                    "start_points": 1,
                    "backups": size.backups or 0,
                },
                "stream": {"dim": 2, "dtype": "float32"},
                "ingest": {"window_bytes": 4096, "resend_s": 2.0},
            }
        )
        self.network = Network(kernel, size.slowest_s, size.jitter)
        model = VisitedModel if size.backups is None else VisitedCopies
        self.model = model(size.submodels, size.laps, alone=size.alone)
        self.visits = Visits()
        self.processes: dict[str, WorkerProcess] = {}
        self.workers: dict[str, WorkerProcess] = {}
        """The newest process of each name, dead or alive."""
        self.rules = RingRules(self.model, self.visits, self.processes)
        self.rules.lost_messages = lambda: self.network.lost
        self.points = PointRules()
        self.points.revokes = self._revokes
        self.points.handed = lambda worker, batch_id: self.disks[worker].handed.handed.get(batch_id)
        self.files = Files()
        self.disks: dict[str, WorkerDisk] = {}
        self.nodes: dict[str, IngestProcess] = {}
        """The newest ingest process of each client's name."""
        self.on_batch: Callable[[str, str], None] = lambda giver, taker: None
        """Called when a batch goes from one worker to another."""
        self.clients = [Client(f"c{number}", size.push_every_s) for number in range(size.nodes)]
        self._folder = folder
        self._peers: dict[str, Process] = {}
        self._incarnations = 0
        self._heal_epoch: int | None = None
        self.coordinator = self._new_coordinator()
        self._operator = Operator(kernel, "operator", 0)
        self.network.attach(self._operator)
        for number in range(size.workers):
            kernel.after(0.2 * kernel.rng.random(), self.start, f"w{number}")
        for client in self.clients:
            self.start_node(client)

    def note(self, what: str, *details: object) -> None:
        """Put a line about what happens to the cluster into the trace."""
        self.kernel.trace.add(self.kernel.now, "***", what, details)

    # -- who is there ---------------------------------------------------------------------

    @property
    def alive(self) -> list[WorkerProcess]:
        """Workers that run, or hang."""
        return [worker for worker in self.workers.values() if worker.alive]

    def _new_coordinator(self) -> CoordinatorProcess:
        return CoordinatorProcess(
            self.kernel, self.network, self.settings, self.files, self.rules, self._is_connected
        )

    def _is_connected(self, address: str) -> bool:
        """Return whether the coordinator's connection to a process seems to hold."""
        process = self._peers[address]
        # nobody hears of a death through a partition
        return process.alive or self.network.is_blocked(process.name, "coordinator")

    def _revokes(self, worker: str, batch_id: BatchId, bringer: str) -> bool:
        """Return whether who brought a batch to a worker has revoked the copy there."""
        if bringer in self.disks:
            return batch_id in self.disks[bringer].handed.revoked.get(worker, ())
        return self.nodes[batch_id.source].revokes(worker, batch_id)

    # -- what can happen ------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a worker, with the shard that it had, if it is not running."""
        if name in self.workers and self.workers[name].alive:
            return
        self._incarnations += 1
        if name not in self.disks:
            size = self.size
            self.disks[name] = WorkerDisk(name, self._folder, size.ack, size.keep, self.points)
        worker = WorkerProcess(
            self.kernel,
            self.network,
            self.visits,
            name,
            self._incarnations,
            self.settings,
            self.model,
            self.size.pace,
            self.disks[name],
            self.rules.heard,
            self.kill,
            lambda giver, taker: self.on_batch(giver, taker),
        )
        self.note("start", worker.address)
        self.workers[name] = self.processes[worker.address] = worker
        self._peers[worker.address] = worker

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
        self.wake(worker)

    def wake(self, process: Process) -> None:
        """SIGCONT."""
        if process.hangs:
            self.note("go on", process.address)
            process.go_on()
            self.network.wake(process)

    def drain(self, name: str) -> None:
        """A worker is asked to end in good order."""
        worker = self.workers[name]
        if worker.alive:
            self.note("drain", name)
            worker.is_asked_to_leave = True
            worker.after(0.0, worker.leave)

    def move_all(self, name: str, deadline_s: float) -> None:
        """The operator has a worker removed whose points are to go to the others first."""
        self.note("move all", name, deadline_s)
        request = DrainRequest(name, deadline_s, "move")
        self.network.send(self._operator, ADDRESS, "control", request)

    def move_some(self, name: str, points: int, to: tuple[str, ...]) -> None:
        """The coordinator finds that a worker has more points than these others, unless some are moved already."""
        core = self.coordinator.core
        workers = {peer.name: peer for peer in core.membership.of("worker")}
        busy = any(core.moves.moves(peer) for peer in workers.values())
        if self.coordinator.alive and not busy and workers.keys() >= {name, *to}:
            self.note("move some", name, points, to)
            self.coordinator.give_order(core._transfer(Transfer(name, points, to), self.kernel.now))

    def kill_in_a_write(self, name: str, steps: int) -> None:
        """``kill -9`` of a worker after so many more changes of its files, in the middle of the last one."""
        self.note("fuse", name, steps)
        self.disks[name].disk.steps = steps

    def lose_power(self, name: str) -> None:
        """The host of a worker loses power."""
        disk = self.disks[name]
        self.note("no power", name)
        self.kill(name)
        if disk.survives_power_loss:
            disk.lose_power(self.kernel.rng)

    def rot(self, name: str, rng: Random) -> None:
        """A worker is killed, and a byte of what it has stored rots."""
        self.kill(name)
        self.note("rot", name, self.disks[name].rot(rng))

    def fill_disk(self, name: str, room: int | None) -> None:
        """The disk of a worker has room for so many bytes more (None: for everything)."""
        self.note("room", name, "enough" if room is None else room)
        self.disks[name].disk.room = room

    def start_node(self, client: Client) -> None:
        """Start the ingest node of a client, with the ledger that it had, if it is not running."""
        if client.name in self.nodes and self.nodes[client.name].alive:
            return
        self._incarnations += 1
        node = IngestProcess(
            self.kernel,
            self.network,
            f"i-{client.name}",
            self._incarnations << 20,
            self.settings,
            self._folder,
            client,
            self.points,
        )
        self.note("start", node.address)
        self.nodes[client.name] = node
        self._peers[node.address] = node

    def kill_node(self, client: Client) -> None:
        """``kill -9`` of the ingest node of a client."""
        node = self.nodes[client.name]
        if node.alive:
            self.note("kill", node.address)
            node.die()
            self.network.died(node)

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
        """From now on nothing fails any more; who was killed or has left comes back."""
        self.note("heal")
        self.network.heal()
        self.start_coordinator()
        for worker in self.workers.values():
            self.wake(worker)
        for client in self.clients:
            self.start_node(client)
            client.ends = True
        for node in self.nodes.values():
            self.wake(node)
        for disk in self.disks.values():
            disk.disk.steps = disk.disk.room = None
        for worker in self.alive:
            if worker.store is not None and not worker.store.is_usable:
                self.kill(worker.name)  # as the operator is told to: it has to open its shard again
        self._bring_back()
        self._heal_epoch = self.coordinator.core.progress.epoch

    def _bring_back(self) -> None:
        for name in list(self.workers):
            self.start(name)
        self.kernel.after(1.0, self._bring_back)  # who is told to leave only now comes back, too

    # -- the end --------------------------------------------------------------------------

    @property
    def troubles(self) -> list[str]:
        """What is not as it should be long after the faults; nothing, if all is well."""
        core = self.coordinator.core
        change = core.views.change
        if change is None or change.resume is None:
            return [f"view {core.views.number} does not resume"]
        staying = [w for w in self.alive if not w.is_asked_to_leave]
        found = []
        if sorted(w.name for w in staying) != sorted(change.names):
            found.append(
                f"in the ring are {change.names}, alive are {[w.address for w in staying]}"
            )
        for worker in staying:
            member = worker.member
            if member is None or member.view.number != core.views.number or member.view.frozen:
                found.append(f"{worker.name} is not in view {core.views.number}")
            elif member.epoch.state != "resting" and worker.name not in member.epoch.trainers:
                found.append(f"{worker.name} has no part in epoch {member.epoch.number}")
        resting = all(w.member is not None and w.member.epoch.state == "resting" for w in staying)
        assert self._heal_epoch is not None
        if not resting and core.progress.epoch < self._heal_epoch + EPOCHS_AFTERWARDS:
            found.append(f"no more than {core.progress.epoch - self._heal_epoch} epochs end")
        return found + self._unrest + self._moves + self._open_books

    @property
    def _unrest(self) -> list[str]:
        """Why the ring does not rest, or should not, in a story in which it has to: nothing comes any more."""
        core, staying = self.coordinator.core, [w for w in self.alive if not w.is_asked_to_leave]
        if self.model.chance is None:
            return []
        found = [f"{worker.name} does not rest" for worker in staying if not worker.rests]
        progress = core.progress
        if core.resting is None:
            found.append(
                f"the coordinator does not know that the ring rests before {progress.epoch}"
            )
        rule, books = progress.continuation.rule, core.accounts
        order = progress.continuation.missed(progress.plan)
        due = rule.due(core.membership.points_to_train_on, books.accepted)
        if not self.size.epochs and (order is not None or due is not None):
            found.append(f"order {order} is not carried out, or a {due} beginning is due")
        return found

    def bring_points(self) -> None:
        """Points come at once to a ring that rests, so many that a beginning is due as soon as it rests again."""
        self.note("many points")
        self.nodes[self.clients[0].name].push_once(MANY_POINTS)

    @property
    def _moves(self) -> list[str]:
        """What is still on its way from worker to worker."""
        found = [f"{w.name} is still leaving" for w in self.alive if w.is_asked_to_leave]
        for worker in self.alive:
            state = worker.mover.state if worker.mover is not None else None
            if state is not None and (state.giving or state.handing):
                found.append(f"{worker.name} still moves points: {state}")
        core = self.coordinator.core
        for peer in core.membership.of("worker"):
            if core.moves.gives(peer):
                found.append(f"{peer.name} gets no points")
        return found

    @property
    def _open_books(self) -> list[str]:
        """What is not settled, or does not add up."""
        found = []
        for client in self.clients:
            if client.open:
                found.append(f"{len(client.open)} pushes of {client.name} are not settled")
        for node in self.nodes.values():
            if node.outbox.sender.revoked:
                found.append(f"{node.name} has not told everybody what it has revoked")
        books = points(self.coordinator.core)
        again, rules = self.points.again, self.points
        stored = sum(w.store.shard.points for w in self.alive if w.store is not None)
        # of what is damaged a sender may send some once more; what a coordinator had not heard of it cannot miss
        least, most = -rules.cut_off, rules.damaged + rules.cut_off
        if (
            not least <= books.accepted + books.dead_lettered - books.sent - again <= most
            or books.accepted != books.stored + books.expired + books.away + books.damaged
            or books.stored != stored
        ):
            found.append(
                f"the books do not add up, {stored} points are stored, {again} again: {books}"
            )
        return found

    def check_the_end(self) -> None:
        """Look whether everything has come to a good end."""
        troubles = self.troubles
        if troubles:
            raise Violation("stuck: " + "; ".join(troubles))
        self.points.check_the_end()

    def close(self) -> None:
        """End all processes."""
        for process in self._peers.values():
            process.die()
