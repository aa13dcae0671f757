"""The worker process: an I/O loop round the ring's state machine, the shards and a compute thread.

``streammac worker`` calls `run`. The loop (main thread) owns every socket: tokens from peers, points from
ingest nodes, the coordinator's orders; the compute thread trains. So heartbeats and ingest go on while
a submodel is in training.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Literal, TypeAlias

import zmq

from streammac.config import Settings, visit_budget
from streammac.coordinator_link import CoordinatorLink
from streammac.delivery.ledger import Ledger
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.exporter import WorkerMetrics
from streammac.models.local import VisitPlan
from streammac.ring.actions import Action, Answer, Report, Send, Trained
from streammac.ring.member import Member
from streammac.run_directory import RunDirectory
from streammac.security import SecureContext, open_context
from streammac.wire.codec import MAX_FRAME_BYTES
from streammac.wire.messages import (
    Drain,
    Drift,
    EpochReport,
    Leaving,
    Model,
    Move,
    Registered,
    Restart,
    Resume,
    Routes,
    Stop,
    StreamSchema,
    Token,
    View,
    Working,
)
from workers.compute import ComputeThread, Result
from workers.drift import DriftWatch
from workers.handover import Mover
from workers.intake import Intake
from workers.learner import Learner, PhaseTimes
from workers.transports.base import TransportError
from workers.transports.zeromq import ZeroMQTransport

log = logging.getLogger(__name__)

RingEvent: TypeAlias = View | Resume | Token | Model | Restart

TURN_S = 0.1
"""Longest wait of the I/O loop."""
RETENTION_S = 1.0
END_PATIENCE_S = 5.0
DRAIN_S = 10.0
"""Longest time that leaving the ring takes, unless somebody set another deadline."""
MAX_BLOCKS = 10_000
"""Blocks whose stay here is measured."""
RECEIVE_QUEUE = 1000
"""Messages that may wait on the data socket; credit keeps the real number far below."""


class Worker:
    """One worker process.

    Parameters
    ----------
    name : str
        Stable name, the same over restarts.
    directory : RunDirectory
        Where its shards are.
    coordinator : str
        Address of the coordinator's control socket.
    host : str
        Interface to listen on.
    http_host : str
        Interface of the metrics.
    insecure : bool
        Listen beyond loopback without keys, too.
    """

    def __init__(
        self,
        name: str,
        directory: RunDirectory,
        coordinator: str,
        host: str,
        http_host: str = "127.0.0.1",
        *,
        insecure: bool = False,
    ) -> None:
        self.name = name
        self.directory = directory
        self.context: SecureContext = open_context(directory.keys, insecure=insecure)
        self.link = CoordinatorLink(self.context, "worker", name, coordinator)
        self.context.watch(self.link.socket)
        self.data = self.context.socket(zmq.ROUTER)
        self.data.router_mandatory = True
        self.data.linger = 500
        self.data.rcvhwm = RECEIVE_QUEUE
        self.data.maxmsgsize = MAX_FRAME_BYTES
        port = self.data.bind_to_random_port(f"tcp://{host}")
        self.transport = ZeroMQTransport(self.context, host)
        self.metrics = WorkerMetrics(name)
        self.metrics_url, self._close_metrics = self.metrics.serve(http_host)
        self.link.addresses |= {
            "data": f"tcp://{host}:{port}",
            "ring": self.transport.address,
            "metrics": self.metrics_url,
        }
        self.poller = zmq.Poller()
        self.settings: Settings | None = None
        self.intake: Intake | None = None
        self.compute: ComputeThread | None = None
        self.late = False
        """The ring turned before this worker came."""
        self.learner: Learner | None = None
        self.member: Member | None = None
        self.schema: StreamSchema | None = None
        self.early: list[RingEvent] = []
        """Ring events that came before the model was built."""
        self.announced = 0
        """The newest view in which a visit was finished here."""
        self.asked_to_leave = 0
        self.leave_by: float | None = None
        """Draining: the loop ends when the ring lets go and its points are where they shall be, or at this time."""
        self.parting: Literal["keep", "move", "drop"] = "keep"
        """What becomes of its points when it leaves."""
        self.mover: Mover | None = None
        self.times = PhaseTimes()
        self.epoch_began = time.monotonic()
        self._communicate_s = 0.0
        """In this epoch: sending and receiving submodels while there was nothing to compute."""
        self._arrived: dict[str, float] = {}
        """When each block in training came here."""
        self._busy_s = 0.0  # of the compute thread, at the last heartbeat
        self._stored = 0.0  # points ever, then
        self.ending = False
        self.exit_code = 0

    # -- the loop -------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        poller = self.poller
        for socket in (self.link.socket, self.data, *self.transport.sockets):
            poller.register(socket, zmq.POLLIN)
        self.directory.announce(self.name, dict(self.link.addresses))
        retain_at = 0.0
        while not self.ending:
            ready = dict(poller.poll(int(TURN_S * 1000)))
            now = time.monotonic()
            if self.link.socket in ready:
                self._serve_control()
            self.link.keep_registered(now, answered=self.settings is not None)
            if self.settings is None or self.intake is None:
                self.ending = self.ending or self.asked_to_leave > 0
                continue
            if self.data in ready:
                self._take_points()
            if self.mover is not None:
                self.mover.turn(ready, now)
            self._receive()
            if self.compute is not None and self.compute.wake in ready:
                self._take_results()
            self._beat()
            if now - retain_at >= RETENTION_S:
                retain_at = now
                if self.mover is None or not self.mover.reads:
                    self.intake.enforce_retention()
            self._look_whether_to_leave(now)
        self._end()
        return self.exit_code

    def stop(self) -> None:
        """End the loop after this turn."""
        self.ending = True

    # -- leaving --------------------------------------------------------------------------

    def ask_to_leave(self) -> None:
        """Leave the ring in good order, then end; asked again, end at once. Signal handlers call it."""
        self.asked_to_leave += 1

    def _leave(self, deadline_s: float, points: Literal["keep", "move", "drop"] = "keep") -> None:
        by = time.monotonic() + deadline_s
        if self.leave_by is None:
            self.leave_by = by
            self.link.tell(Leaving(self.name, self.link.incarnation))
            log.info("leaving")
        if points == "keep":
            self.leave_by = min(self.leave_by, by)
        self.parting = points
        if self.mover is None:
            return
        match points:
            case "move":
                self.mover.give_all()
            case "drop":
                self.mover.wait_for_closing()
            case "keep":
                self.mover.stop()

    def _look_whether_to_leave(self, now: float) -> None:
        if self.asked_to_leave and (self.leave_by is None or self.parting != "keep"):
            self._leave(DRAIN_S)
        if self.leave_by is None:
            return
        if self.asked_to_leave > 1:
            self.stop()
        in_ring = self.member is not None and self.member.state != "joining"
        released = not in_ring or self.member is None or self.member.released
        if released and self._parted():
            log.info("left the ring")
            self.stop()
        elif now > self.leave_by:
            log.warning(
                "the time to leave is up: %s", "points are left" if released else "in the ring"
            )
            if not released:
                self.parting = "keep"  # points are dropped after a good end alone
            self.stop()

    def _parted(self) -> bool:
        """Return whether its points are where they shall be."""
        if self.mover is None or self.parting == "keep":
            return True
        return self.mover.done if self.parting == "move" else self.mover.closing.closed

    # -- coordinator ----------------------------------------------------------------------

    def _serve_control(self) -> None:
        for message in self.link.receive():
            match message:
                case Registered():
                    if self.settings is None:
                        settings = Settings.model_validate_json(message.settings)
                        self._configure(settings, late=message.turning)
                case StreamSchema():
                    self._open(message)
                case View() | Resume() | Restart():
                    self._ring(message)
                case Drain():
                    self._leave(message.deadline_s, message.points)
                case Routes():
                    if self.mover is not None:
                        self.mover.route(message)
                case Move():
                    if self.mover is not None and self.leave_by is None:
                        self.mover.give(message.points, message.to, time.monotonic())
                case Stop():
                    log.info("told to stop: %s", message.reason)
                    self.stop()
                case _:
                    log.warning("ignored a %s of the coordinator", type(message).__name__)

    def _configure(self, settings: Settings, *, late: bool) -> None:
        self.settings, self.late = settings, late
        self.intake = Intake(self.name, self.link.incarnation, self.directory, settings)
        self.compute = ComputeThread(self.context, self._build)
        self.poller.register(self.compute.wake, zmq.POLLIN)
        if self.schema is not None:
            self._open(self.schema)

    def _open(self, schema: StreamSchema) -> None:
        """Open the shards and start to compute: now it is known what a point looks like."""
        self.schema = schema
        if self.intake is None or self.compute is None or self.intake.train is not None:
            return
        self.intake.open(schema)
        assert self.settings is not None
        assert self.intake.shards is not None
        assert self.intake.reception is not None
        shards = self.intake.shards
        self.mover = Mover(
            self.name,
            self.link.incarnation,
            self.settings,
            {False: shards.train, True: shards.probe},
            self.intake.reception.sessions,
            Ledger(self.directory.handover(self.name)),
            WorkerSockets(self.context, self.poller),
        )
        remembered = self.intake.remembered_probe(self.settings.probe.points)
        if remembered is not None:
            self.link.tell(remembered)
        self._take_points()
        self.compute.start()

    def _take_points(self) -> None:
        assert self.intake is not None
        for held_out in self.intake.serve(self.data):
            self.link.tell(held_out)

    def _build(self, cancelled: Callable[[], bool]) -> Learner:
        """Build the learner, in the compute thread: what it imports is slow to import."""
        from streammac.models.registry import create

        assert self.settings is not None
        assert self.intake is not None
        assert self.intake.train is not None
        settings, training = self.settings, self.settings.training
        model = create(settings.model.family, bits=settings.model.bits, **settings.model.options)
        model = model.grouped_for(settings.cluster.workers)
        shape, dtype = model.coordinate_shape()
        self.intake.train.coordinates(shape, dtype)
        points, seconds = visit_budget(training.visit_budget)
        plan = VisitPlan(settings.cluster.seed, training.minibatch, points, training.recency)
        watch = settings.drift.enabled and not training.deterministic
        drift = DriftWatch(settings.drift.delta) if watch else None
        if self.late:
            # the others would wait for it; in a ring that is yet to begin, all load it at the same time
            model.prepare()
            if drift is not None:
                drift.prepare()
        return Learner(
            self.name,
            model,
            self.intake.train,
            plan,
            visit_s=None if training.deterministic else seconds,
            drift=drift,
            cancelled=cancelled,
        )

    def _beat(self) -> None:
        assert self.settings is not None
        self.link.beat(time.monotonic(), self.settings.cluster.heartbeat_s, self._pulse)

    def _pulse(self, elapsed_s: float) -> tuple[dict[str, float], tuple[str, ...]]:
        """Return what a heartbeat tells: facts, and the blocks that are here."""
        busy = self.compute.busy_s if self.compute is not None else 0.0
        share = min(1.0, (busy - self._busy_s) / max(1e-9, elapsed_s))
        self._busy_s = busy
        facts = self._facts() | self._ring_facts() | {"busy_share": share}
        stored = facts.get("appended", 0.0)
        facts["rate"] = max(0.0, stored - self._stored) / max(1e-9, elapsed_s)
        self._stored = stored
        holding = tuple(sorted(self.member.holding)) if self.member is not None else ()
        self.metrics.update(facts | self._local_facts() | {"holding": len(holding)})
        self.metrics.handshakes(self.context.handshake_failures())
        return facts, holding

    def _local_facts(self) -> dict[str, float]:
        """Return what only the metrics show."""
        facts = {}
        with contextlib.suppress(OSError):  # nothing to end for
            facts["disk_free"] = float(shutil.disk_usage(self.directory.root).free)
        drift = self.learner.drift if self.learner is not None else None
        if drift is not None and drift.newest is not None:
            facts["entering_error"] = drift.newest
        return facts

    def _ring_facts(self) -> dict[str, float]:
        """Return what the coordinator watches the ring by."""
        if self.member is None or self.compute is None:
            return {"ready": 0.0}
        return {
            "ready": 1.0,
            "frozen": float(self.member.frozen),
            "working": float(self.member.working or self.compute.busy),
            "resting": float(self.member.state == "resting"),
            "progress": float(self.member.progress),
        }

    def _facts(self) -> dict[str, float]:
        facts = self.intake.facts() if self.intake is not None else {}
        facts |= self.mover.facts() if self.mover is not None else {}
        facts |= {
            "leaving": float(self.leave_by is not None),
            "epoch": float(self.member.epoch if self.member is not None else 0),
            "view": float(self.member.view if self.member is not None else 0),
            "train_s": self.times.train,
            "z_step_s": self.times.z_step,
        }
        return facts

    # -- the ring -------------------------------------------------------------------------

    def _receive(self) -> None:
        """Take what peers have sent."""
        idle, begin = not self._computing, time.monotonic()
        messages = self.transport.receive()
        now = time.monotonic()
        if messages and idle:
            self._communicate_s += now - begin
        for message in messages:
            if isinstance(message, Token) and not message.final and len(self._arrived) < MAX_BLOCKS:
                self._arrived[message.block] = now
            self._ring(message)

    def _send(self, send: Send) -> None:
        idle, begin = not self._computing, time.monotonic()
        try:
            self.transport.send(send.to, send.message)
        except TransportError as error:
            # nobody's death: the coordinator will notice that nothing moves
            log.warning("a message to %s is lost: %s", send.to, error)
        now = time.monotonic()
        if idle:
            self._communicate_s += now - begin
        if isinstance(send.message, Token):
            arrived = self._arrived.pop(send.message.block, None)
            if arrived is not None:
                self.metrics.hopped(now - arrived)

    @property
    def _computing(self) -> bool:
        return self.compute is not None and self.compute.busy

    def _ring(self, event: RingEvent) -> None:
        if self.member is None:
            self.early.append(event)
            return
        if isinstance(event, View) and event.number > self.member.view:
            self._arrived.clear()
            self.transport.connect({m.name: m.address for m in event.members + event.leaving})
            log.info("view %d: %s", event.number, ", ".join(m.name for m in event.members))
        self._do(self.member.handle(event))

    def _do(self, actions: list[Action]) -> None:
        assert self.compute is not None
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case Answer():
                    self.link.tell(action.holdings)
                case Report():
                    self._report(action)
                case _:
                    self.compute.submit(action)

    def _report(self, report: Report) -> None:
        assert self.learner is not None
        now = time.monotonic()
        wall, self.epoch_began = now - self.epoch_began, now
        times, communicate = self.times, self._communicate_s
        self._communicate_s = 0.0
        seconds = {
            "train": times.train,
            "z_step": times.z_step + times.enter,
            "communicate": communicate,
            "wait": max(0.0, wall - times.busy - communicate),
        }
        self.metrics.epoch_done(seconds)
        self.link.tell(
            EpochReport(
                view=report.view,
                epoch=report.epoch,
                plan=report.plan,
                following=report.following,
                trainers=report.trainers,
                name=self.name,
                mu=self.learner.model.mu(report.plan.age),
                sums={name: float(value) for name, value in asdict(report.objective).items()},
                seconds=seconds,
                tensors=dict(report.params or {}),
            )
        )

    def _take_results(self) -> None:
        assert self.compute is not None
        self.compute.wake.recv()
        result = self.compute.results.get()
        if isinstance(result, Learner):
            self._begin(result)
            return
        if result.error:
            self.exit_code = 1
            self.stop()
            return
        self._heed(result)

    def _begin(self, learner: Learner) -> None:
        assert self.settings is not None
        assert self.schema is not None
        self.learner = learner
        self.member = Member(
            self.name,
            learner.model,
            self.schema.dim,
            self.settings.cluster.seed,
            self.settings.training.epochs,
        )
        early, self.early = self.early, []
        for event in early:
            self._ring(event)
        self.link.hurry = True  # the coordinator waits for us to be ready

    def _heed(self, result: Result) -> None:
        assert self.member is not None
        self.times = result.times
        if result.drift is not None:
            self.link.tell(Drift(self.name, self.member.epoch, result.drift))
        if result.done is not None:
            self._do(self.member.handle(result.done))
        if isinstance(result.done, Trained) and result.done.job.visits:
            self.metrics.visited(result.seconds)
        turns = isinstance(result.done, Trained) and not self.member.frozen
        if turns and self.announced < self.member.view:
            self.announced = self.member.view
            self.link.tell(Working(self.name, self.announced))

    # -- the end --------------------------------------------------------------------------

    def _end(self) -> None:
        compute = self.compute
        ended = compute.stop(END_PATIENCE_S, self._beat) if compute is not None else True
        facts = self._facts() | self._part(ended=ended)
        if self.exit_code == 0:  # who fails says no goodbye: it is to be taken for lost
            self.link.leave(facts)
        self.directory.retract(self.name)
        self._close_metrics()
        self.transport.close()
        self.data.close()
        self.link.socket.close()
        self.context.term()

    def _part(self, *, ended: bool) -> dict[str, float]:
        """Release the points; return the last facts about them."""
        facts: dict[str, float] = {}
        if self.mover is not None:
            self.mover.stop()
            facts |= self.mover.facts()
            self.mover.close()
        if self.intake is None or not ended:
            return facts
        if self.parting == "drop" and self.leave_by is not None:
            facts["given_up"] = self.intake.facts().get("points", 0.0)
            self.intake.drop()
            facts |= self.intake.facts()
        self.intake.close()
        return facts


def run(
    name: str,
    directory: RunDirectory,
    coordinator: str,
    host: str = "127.0.0.1",
    http_host: str = "127.0.0.1",
    *,
    insecure: bool = False,
) -> int:
    """Run a worker until it is told to stop; return the exit code."""
    worker = Worker(name, directory, coordinator, host, http_host, insecure=insecure)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.ask_to_leave())
    return worker.run()
