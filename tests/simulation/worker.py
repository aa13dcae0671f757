"""A process round the real `Member`: what `workers.worker` does with sockets and a compute thread.

Jobs are done one after the other, and take virtual time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import structs

from streammac.averaging import AveragingMember
from streammac.consensus.rules import rule_of
from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import Receiver
from streammac.delivery.scan import Shards
from streammac.link.interrupt import Interrupt
from streammac.models.base import Block
from streammac.models.signature import Signature
from streammac.ring.member import Event, Member
from streammac.ring.member_actions import (
    Action,
    Answer,
    Done,
    GradientStep,
    GradientStepDone,
    Job,
    NewPoints,
    OpenEpoch,
    Report,
    Send,
    Train,
    TrainDone,
    ZStepDone,
)
from streammac.settings.schema import Settings
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Ack,
    Credit,
    Drain,
    Goodbye,
    Heard,
    Heartbeat,
    Leaving,
    ModelState,
    Move,
    Offer,
    OpenSession,
    PleaseRegister,
    Points,
    Register,
    Registered,
    RestartContinuation,
    Resume,
    RingMoving,
    Routes,
    Stop,
    Token,
    View,
    Wake,
)
from streammac.wire.reports import RingProgress, WorkerReport
from tests.files.failing_disk import Died
from tests.simulation.coordinator import ADDRESS
from tests.simulation.kernel import Kernel, Process
from tests.simulation.moving import MoverSockets
from tests.simulation.network import Network
from tests.simulation.store import NoShard, OpenStore, WorkerDisk
from tests.simulation.visits import Visit, VisitedCopies, VisitedModel, Visits
from workers.handover import Mover
from workers.leaving import DRAIN_S, Departure

TURN_S = 0.1
REGISTER_S = 1.0
REMIND_S = 10.0
DIM = 2
RETENTION_S = 1.0
TOGETHER_S = 0.02
"""What arrives within that time is stored and answered together."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast workers are, seconds: the most that each thing takes."""

    load: float
    visit: float
    z_step: float


class WorkerProcess(Process):
    """One worker process.

    Parameters
    ----------
    kernel, network, visits
        The simulated machine room.
    name, incarnation
        Which worker it is.
    settings : Settings
        The cluster's.
    model : VisitedModel
        What is trained.
    pace : Pace
        How fast it is.
    disk : WorkerDisk
        Its disk.
    hears : callable
        Called with each event of the ring and what the member does upon it: the rules listen.
    dies : callable
        Called when it is killed in the middle of a write.
    moves : callable
        Called with its name and that of another worker when a batch goes there.
    """

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        visits: Visits,
        name: str,
        incarnation: int,
        settings: Settings,
        model: VisitedModel,
        pace: Pace,
        disk: WorkerDisk,
        hears: Callable[[WorkerProcess, Event, list[Action]], None],
        dies: Callable[[str], None],
        moves: Callable[[str, str], None],
    ) -> None:
        super().__init__(kernel, name, incarnation)
        self.network = network
        self.visits = visits
        self.settings = settings
        self.model = model
        self.pace = pace
        self.hears = hears
        self.dies = dies
        self.disk = disk
        self.store: OpenStore | None = None
        self.receiver: Receiver[str] | None = None
        self.mover: Mover | None = None
        self._ledger: Ledger | None = None
        self._sockets = MoverSockets(self, network, moves)
        self._arrived: list[tuple[str, OpenSession | Points]] = []
        self._retained_at = 0.0
        self.member: Member | None = None
        self.jobs: deque[Job] = deque()
        self.trained_on = 0
        """Points ever stored here when the newest epoch took its snapshot."""
        self.is_asked_to_leave = False
        self.departure = Departure(Interrupt())
        self.ended = False
        self._early: list[Event] = []
        self._configured = False
        self._registered_at = self._beat_at = float("-inf")
        self._announced = 0
        self._peers: dict[str, str] = {}
        network.attach(self)
        self.after(0.0, self._turn)

    # -- the loop -------------------------------------------------------------------------

    def receive(self, sender: str, message: Any) -> None:
        match message:
            case PleaseRegister():
                self._register()
            case Registered():
                if not self._configured:
                    self._configured = True
                    self._open()
                    self.after(self.pace.load * self.kernel.rng.random(), self._begin)
            case View() | Resume() | RestartContinuation():
                self.say("got", sender, message)
                self._ring(message)
            case Token() | ModelState() | Wake() | Offer() | Heard():
                self.say("got", sender, message)
                self._ring(message)
            case OpenSession() | Points():
                self.say("got", sender, message)
                if not self._arrived:
                    self.after(TOGETHER_S * self.kernel.rng.random(), self._take_points)
                self._arrived.append((sender, message))
            case Ack() | Credit():
                self.say("got", sender, message)
                self._sockets.arrive(sender, message)
                self._move()
            case Routes():
                if self.mover is not None:
                    self.say("got", sender, message)
                    self.mover.route(message)
                    self._move()
            case Move():
                self.say("got", sender, message)
                if self.mover is not None and not self.departure.under_way:
                    self.mover.give(message.points, message.to, self.kernel.now)
            case Drain():
                assert message.points != "drop"
                self.leave(message.deadline_s, message.points)
            case Stop():
                self._end("told to stop")
        self._check_departure()

    def _turn(self) -> None:
        now = self.kernel.now
        if now - self._registered_at >= (REMIND_S if self._configured else REGISTER_S):
            self._registered_at = now
            self._register()
        if self._configured and now - self._beat_at >= self.settings.cluster.heartbeat_s:
            self._beat()
        self._move()
        self._enforce_retention()
        self._check_departure()
        self.after(TURN_S, self._turn)

    def _tell(self, message: Message) -> None:
        self.network.send(self, ADDRESS, "control", message)

    def _register(self) -> None:
        addresses = {"ring": self.address, "data": self.address}
        self._tell(Register("worker", self.name, self.incarnation, 1, self.name, addresses))

    def _beat(self) -> None:
        self._beat_at = self.kernel.now
        self._tell(Heartbeat(self.name, self.incarnation, worker=self._worker_report()))

    def _worker_report(self) -> WorkerReport:
        shard = None
        if self.store is not None and self.receiver is not None:
            shard = structs.replace(self.store.counts(), duplicates=self.receiver.duplicates)
        member = self.member
        return WorkerReport(
            ring=member.ring_progress(busy=bool(self.jobs)) if member else RingProgress(),
            shard=shard,
            moves=self.mover.state if self.mover is not None else None,
            leaving=self.departure.under_way,
        )

    # -- leaving --------------------------------------------------------------------------

    def leave(self, deadline_s: float = DRAIN_S, points: Literal["keep", "move"] = "keep") -> None:
        """SIGTERM, or the coordinator's order."""
        self.is_asked_to_leave = True
        if self.departure.order(points, self.kernel.now + deadline_s, self.mover):
            self.say("leaving", points)
            self._tell(Leaving(self.name, self.incarnation))

    def _check_departure(self) -> None:
        if not self.alive:
            return
        end = self.departure.end(self.kernel.now, self.member, self.mover)
        if end is not None:
            self._end(end)

    def _end(self, why: str) -> None:
        self.say("ends", why)
        if self.mover is not None:
            self.mover.stop()
        self._tell(Goodbye(self.name, self.incarnation, worker=self._worker_report()))
        if self.mover is not None:
            self.mover.close()
        if self.store is not None:
            self.store.close()
        self.ended = True
        self.alive = False

    def die(self) -> None:
        if self.alive and self.store is not None:
            self.store.drop()
        if self.alive and self._ledger is not None:
            self._ledger.close()
        super().die()

    # -- points ---------------------------------------------------------------------------

    def _open(self) -> None:
        self.store = self.disk.open()
        self.receiver = Receiver(self.incarnation, self.settings.ingest.window_bytes, self.store)
        self._ledger = self.disk.open_ledger()
        self.mover = Mover(
            self.name,
            self.incarnation << 20,  # a life has room for sessions of its own
            self.settings,
            Shards(self.store, NoShard()),
            self.receiver.sessions,
            self._ledger,
            self._sockets,
        )

    def _take_points(self) -> None:
        if self.receiver is None or self.store is None:
            self._arrived.clear()
            return
        arrived, self._arrived = self._arrived, []
        self.store.now = self.kernel.now
        try:
            answers = self.receiver.take(arrived, self.kernel.now)
        except Died:
            self.dies(self.name)
            return
        if self.model.chance is not None:
            self._ring(NewPoints())
        for sender, answer in answers:
            self.say("answers", sender, answer)
            self.network.send(self, sender, "data", answer)

    def _move(self) -> None:
        if self.mover is None or self.store is None or not self.alive:
            return
        self.store.now = self.kernel.now
        try:
            self.mover.step({}, self.kernel.now)
        except Died:
            self.dies(self.name)

    def _enforce_retention(self) -> None:
        if not self.alive or self.store is None or self.mover is None or self.mover.reads:
            return
        if self.kernel.now - self._retained_at < RETENTION_S:
            return
        self._retained_at = self.store.now = self.kernel.now
        try:
            self.store.enforce_retention()
        except Died:
            self.dies(self.name)

    # -- the ring -------------------------------------------------------------------------

    @property
    def rests(self) -> bool:
        """Return whether it waits for something to do."""
        member = self.member
        return member is not None and member.epoch.state == "resting" and not member.view.frozen

    @property
    def has_new_points(self) -> bool:
        """Return whether points are here that came after the snapshot of the newest epoch."""
        return self.store is not None and self.store.shard.appended > self.trained_on

    def _begin(self) -> None:
        seed, epochs = self.settings.cluster.seed, self.settings.training.epochs
        rests = self.model.chance is not None
        self.member = self._new_member(seed, epochs, rests=rests)
        early, self._early = self._early, []
        for event in early:
            self._ring(event)
        self._beat()

    def _new_member(self, seed: int, epochs: int, *, rests: bool) -> Member:
        signature = Signature(DIM)
        if not isinstance(self.model, VisitedCopies):
            return Member(self.name, self.model, signature, seed, epochs, rests=rests)
        model: Any = copy(self.model)
        model.visit = self._visit
        rule = rule_of(self.settings.training.backups)
        return AveragingMember(self.name, model, signature, seed, epochs, rests=rests, rule=rule)

    def _visit(self, block: Block) -> int:
        """Return the number of the visit that trains the copy that is here."""
        assert self.member is not None
        return self.visits.add(self._visit_of(self.member.epoch.holding[block.name]))

    def _visit_of(self, job: Train) -> Visit:
        token = job.token
        return Visit(token.epoch, token.block, token.lap, self.name, self.incarnation, token.view)

    def _ring(self, event: Event) -> None:
        if self.member is None:
            self._early.append(event)
            return
        if isinstance(event, View) and event.number > self.member.view.number:
            self._connect({m.name: m.address for m in event.members + event.leaving})
        actions = self.member.handle(event)
        self.hears(self, event, actions)
        for action in actions:
            self._do(action)

    def _connect(self, peers: dict[str, str]) -> None:
        for name, address in self._peers.items():
            if peers.get(name) != address:
                self.network.close(self, address, "ring")
        self._peers = peers

    def _do(self, action: Action) -> None:
        match action:
            case Send():
                self.say("sends", action.to, action.message)
                if action.to in self._peers:
                    self.network.send(self, self._peers[action.to], "ring", action.message)
            case Answer():
                self._tell(action.holdings)
            case Report():
                self._report(action)
            case TrainDone():
                self._ring(action)
            case _:
                self.jobs.append(action)
                if len(self.jobs) == 1:
                    self.after(self._effort(action), self._done)

    def _report(self, report: Report) -> None:
        sums = {"points": float(report.objective.points)}
        self._tell(report.message(self.name, mu=1.0, sums=sums, seconds={"train": 1.0}))

    # -- the compute thread ---------------------------------------------------------------

    def _effort(self, job: Job) -> float:
        visit = self.pace.visit
        known = {OpenEpoch: 0.001, Train: visit, GradientStep: visit / 2}
        most = known.get(type(job), self.pace.z_step)
        return most * self.kernel.rng.random()

    def _done(self) -> None:
        job = self.jobs.popleft()
        if self.jobs:
            self.after(self._effort(self.jobs[0]), self._done)
        done = self._result(job)
        if done is not None:
            self._handle(done)

    def _result(self, job: Job) -> Done | None:
        if isinstance(job, OpenEpoch):
            self.trained_on = self.store.shard.appended if self.store is not None else 0
            return None
        if isinstance(job, Train):
            trained = self.model.train(job, self._visit_of(job), self.visits)
            return TrainDone(job, trained, self._points)
        if isinstance(job, GradientStep):
            return GradientStepDone(job, job.w + 1, self._points)
        points = self._points
        objective, settled = self.model.improve(points)
        return ZStepDone(job.view, job.epoch, objective, settled)

    @property
    def _points(self) -> int:
        return self.store.shard.points if self.store is not None else 0

    def _handle(self, done: Done) -> None:
        assert self.member is not None
        self._ring(done)
        turns = isinstance(done, TrainDone | GradientStepDone) and not self.member.view.frozen
        if turns and self._announced < self.member.view.number:
            self._announced = self.member.view.number
            self._tell(RingMoving(self.name, self._announced))
        self._check_departure()
