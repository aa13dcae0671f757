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

import zmq
from msgspec.structs import replace

from streammac.delivery.ledger import Ledger
from streammac.delivery.records import State
from streammac.delivery.scan import Shards
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.link.coordinator import CoordinatorLink
from streammac.ring.member import Member
from streammac.run_directory import RunDirectory
from streammac.security import SecureContext, open_context
from streammac.settings.schema import Settings
from streammac.telemetry import metrics
from streammac.telemetry.exporter import WorkerMetrics
from streammac.wire.codec import MAX_FRAME_BYTES
from streammac.wire.messages import (
    Drain,
    Goodbye,
    Heartbeat,
    Leaving,
    Move,
    Registered,
    RestartContinuation,
    Resume,
    Routes,
    Stop,
    StreamSchema,
    View,
)
from streammac.wire.reports import WorkerReport
from workers.compute import ComputeThread
from workers.handover import Mover
from workers.learner import Learner, learner_for
from workers.leaving import DRAIN_S, Departure, Points
from workers.point_endpoint import PointEndpoint
from workers.ring_side import RingSide
from workers.timing import Rate
from workers.transports.zeromq import ZeroMQTransport

log = logging.getLogger(__name__)

TURN_S = 0.1
"""Longest wait of the I/O loop."""
RETENTION_S = 1.0
END_PATIENCE_S = 5.0
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
        self.ring = RingSide(name, self.link, self.transport, self.metrics)
        self.departure = Departure()
        self.settings: Settings | None = None
        self.late = False
        """The ring turned before this worker came."""
        self.schema: StreamSchema | None = None
        self.endpoint: PointEndpoint | None = None
        self.mover: Mover | None = None
        self.compute: ComputeThread | None = None
        self._busy_s, self._appended = Rate(), Rate()
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
            if self.settings is None or self.endpoint is None:
                self.ending = self.ending or self.departure.asked > 0
                continue
            if self.data in ready:
                self._take_points()
            if self.mover is not None:
                self.mover.step(ready, now)
            self.ring.receive()
            if self.compute is not None and self.compute.wake in ready:
                self._take_results()
            self._beat()
            if now - retain_at >= RETENTION_S:
                retain_at = now
                if self.mover is None or not self.mover.reads:
                    self.endpoint.enforce_retention()
            self._check_departure(now)
        self._end()
        return self.exit_code

    def stop(self) -> None:
        """End the loop after this turn."""
        self.ending = True

    # -- leaving --------------------------------------------------------------------------

    def ask_to_leave(self) -> None:
        """Leave the ring in good order, then end; asked again, end at once. Signal handlers call it."""
        self.departure.asked += 1

    def _leave(self, deadline_s: float, points: Points = "keep") -> None:
        if self.departure.order(points, time.monotonic() + deadline_s, self.mover):
            self.link.tell(Leaving(self.name, self.link.incarnation))
            log.info("leaving")

    def _check_departure(self, now: float) -> None:
        if self.departure.unheeded:
            self._leave(DRAIN_S)
        end = self.departure.end(now, self.ring.member, self.mover)
        if end == "left":
            log.info("left the ring")
        elif end is not None:
            log.warning("the time to leave is up: %s", end)
        if end is not None or self.departure.asked > 1:
            self.stop()

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
                case View() | Resume() | RestartContinuation():
                    self.ring.handle(message)
                case Drain():
                    self._leave(message.deadline_s, message.points)
                case Routes():
                    if self.mover is not None:
                        self.mover.route(message)
                case Move():
                    if self.mover is not None and not self.departure.under_way:
                        self.mover.give(message.points, message.to, time.monotonic())
                case Stop():
                    log.info("told to stop: %s", message.reason)
                    self.stop()
                case _:
                    log.warning("ignored a %s of the coordinator", type(message).__name__)

    def _configure(self, settings: Settings, *, late: bool) -> None:
        self.settings, self.late = settings, late
        self.endpoint = PointEndpoint(self.name, self.link.incarnation, self.directory, settings)
        self.compute = ComputeThread(self.context, self._build)
        self.poller.register(self.compute.wake, zmq.POLLIN)
        if self.schema is not None:
            self._open(self.schema)

    def _open(self, schema: StreamSchema) -> None:
        """Open the shards and start to compute: now it is known what a point looks like."""
        self.schema = schema
        if self.endpoint is None or self.compute is None or self.endpoint.train is not None:
            return
        self.endpoint.open(schema)
        assert self.settings is not None
        assert self.endpoint.shards is not None
        assert self.endpoint.receiver is not None
        shards = self.endpoint.shards
        self.mover = Mover(
            self.name,
            self.link.incarnation,
            self.settings,
            Shards(shards.train, shards.held_out),
            self.endpoint.receiver.sessions,
            Ledger(self.directory.handover(self.name), State()),
            WorkerSockets(self.context, self.poller),
        )
        remembered = self.endpoint.remembered_held_out(self.settings.held_out.points)
        if remembered is not None:
            self.link.tell(remembered)
        self._take_points()
        self.compute.start()

    def _take_points(self) -> None:
        assert self.endpoint is not None
        for held_out in self.endpoint.serve(self.data):
            self.link.tell(held_out)

    def _build(self, cancelled: Callable[[], bool]) -> Learner:
        """Build the learner, in the compute thread: what it imports is slow to import."""
        assert self.settings is not None
        assert self.endpoint is not None
        assert self.endpoint.train is not None
        learner = learner_for(self.name, self.settings, self.endpoint.train, cancelled)
        if self.late:
            # the others would wait for it; in a ring that is yet to begin, all load it at the same time
            learner.prepare()
        return learner

    def _beat(self) -> None:
        assert self.settings is not None
        self.link.beat(time.monotonic(), self.settings.cluster.heartbeat_s, self._heartbeat)

    def _heartbeat(self, elapsed_s: float) -> Heartbeat:
        report = self._report()
        appended = report.shard.appended if report.shard is not None else 0
        busy_s = self.compute.busy_s if self.compute is not None else 0.0
        report = replace(
            report,
            rate=self._appended.per_second(appended, elapsed_s),
            busy_share=min(1.0, self._busy_s.per_second(busy_s, elapsed_s)),
        )
        self.metrics.update(report)
        self._update_local_metrics()
        return Heartbeat(self.name, self.link.incarnation, worker=report)

    def _update_local_metrics(self) -> None:
        """Take what nobody but the metrics shows."""
        with contextlib.suppress(OSError):  # nothing to end for
            self.metrics.set(metrics.DISK_FREE, shutil.disk_usage(self.directory.root).free)
        drift = self.ring.learner.drift if self.ring.learner is not None else None
        if drift is not None and drift.newest is not None:
            self.metrics.set(metrics.ENTERING_ERROR, drift.newest)
        self.metrics.handshakes(self.context.handshake_failures())

    def _report(self) -> WorkerReport:
        return WorkerReport(
            ring=self.ring.progress,
            shard=self.endpoint.counts() if self.endpoint is not None else None,
            moves=self.mover.state if self.mover is not None else None,
            leaving=self.departure.under_way,
            malformed=self.endpoint.malformed if self.endpoint is not None else 0,
            train_s=self.ring.work.train,
            z_step_s=self.ring.work.z_step,
        )

    # -- compute --------------------------------------------------------------------------

    def _take_results(self) -> None:
        assert self.compute is not None
        self.compute.wake.recv()
        result = self.compute.results.get()
        if isinstance(result, Learner):
            self._begin(result)
        elif result.error:
            self.exit_code = 1
            self.stop()
        else:
            self.ring.handle_result(result)

    def _begin(self, learner: Learner) -> None:
        assert self.settings is not None
        assert self.schema is not None
        assert self.compute is not None
        seed, epochs = self.settings.cluster.seed, self.settings.training.epochs
        member = Member(self.name, learner.model, self.schema.dim, seed, epochs)
        self.ring.begin(member, learner, self.compute)
        self.link.hurry = True  # the coordinator waits for us to be ready

    # -- the end --------------------------------------------------------------------------

    def _end(self) -> None:
        compute = self.compute
        ended = compute.stop(END_PATIENCE_S, self._beat) if compute is not None else True
        report = self._release_points(ended=ended)
        if self.exit_code == 0:  # who fails says no goodbye: it is to be taken for lost
            self.link.tell(Goodbye(self.name, self.link.incarnation, worker=report))
        self.directory.retract(self.name)
        self._close_metrics()
        self.transport.close()
        self.data.close()
        self.link.socket.close()
        self.context.term()

    def _release_points(self, *, ended: bool) -> WorkerReport:
        """Close the shards and the ledger; return the last report."""
        if self.mover is not None:
            self.mover.stop()
        given_up = 0
        if self.endpoint is not None and ended and self.departure.drops:
            given_up = self.endpoint.drop()
        report = replace(self._report(), given_up=given_up)
        if self.mover is not None:
            self.mover.close()
        if self.endpoint is not None and ended:
            self.endpoint.close()
        return report


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
