"""What a worker has once it is known what a point looks like: shards, the ways in and out of them, a compute thread.

`workers.worker` makes it when the stream's schema is agreed, calls it in its I/O loop, and passes on the
coordinator's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import zmq
from msgspec.structs import replace

from streammac.delivery.ledger import Ledger
from streammac.delivery.records import State
from streammac.delivery.scan import Shards
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.link.coordinator import CoordinatorLink
from streammac.link.registration import Registration
from streammac.models.signature import Signature
from streammac.run_directory import RunDirectory
from streammac.wire.messages import StreamSchema
from streammac.wire.reports import WorkerReport
from workers.compute import ComputeThread
from workers.handover import Mover
from workers.learner import Learner, check_strategy, learner_for
from workers.listeners import Listeners
from workers.point_endpoint import PointEndpoint
from workers.probe_thread import ProbeThread
from workers.ring_side import RingEvent, RingSide
from workers.shards import WorkerShards
from workers.strategy import member_of

RETENTION_S = 1.0


class OpenWorker:
    """The part of a worker that stores points and trains on them.

    Parameters
    ----------
    link : CoordinatorLink
        The way to the coordinator.
    listeners : Listeners
        Where points and tokens arrive.
    poller : zmq.Poller
        The I/O loop's.
    directory : RunDirectory
        Where the shards are.
    registration : Registration
        What the coordinator said of the cluster.
    schema : StreamSchema
        What a point looks like.

    Attributes
    ----------
    ring : RingSide or None
        Its part in the ring; None while the compute thread builds the model.

    Raises
    ------
    StreammacError, OSError
        If the shards, or what it has under way to other workers, cannot be opened.
    """

    def __init__(
        self,
        link: CoordinatorLink,
        listeners: Listeners,
        poller: zmq.Poller,
        directory: RunDirectory,
        registration: Registration,
        schema: StreamSchema,
    ) -> None:
        settings = registration.settings
        self.link = link
        self.listeners = listeners
        self.poller = poller
        self.registration = registration
        self.signature = Signature(schema.dim, schema.targets)
        if settings.training.strategy != "ring":  # which may not be for points of this length
            check_strategy(settings, self.signature)
        self.shards = WorkerShards(link.name, directory, settings, schema, registration.cluster)
        window_bytes = settings.ingest.window_bytes
        self.endpoint = PointEndpoint(
            link.name, link.incarnation, window_bytes, listeners.points, self.shards
        )
        self.mover = Mover(
            link.name,
            link.incarnation,
            settings,
            Shards(self.shards.train, self.shards.held_out),
            self.endpoint.receiver.sessions,
            Ledger(directory.handover(link.name), State()),
            WorkerSockets(listeners.context, poller),
        )
        seed = settings.cluster.seed
        self.probe_thread = ProbeThread(link.name, self.signature, seed, self.shards.train)
        self.compute = ComputeThread(listeners.context, self._build)
        self.ring: RingSide | None = None
        self._early: list[RingEvent] = []
        self._retain_at = 0.0

    def start(self) -> None:
        """Tell the coordinator of the held-out points that are here, and begin to compute."""
        remembered = self.endpoint.remembered_held_out(self.registration.settings.held_out.points)
        if remembered is not None:
            self.link.tell(remembered)
        self._take_points()
        self.poller.register(self.compute.wake, zmq.POLLIN)
        self.compute.start()

    # -- the loop -------------------------------------------------------------------------

    def step(self, ready: Mapping[object, int], now: float) -> None:
        """Take what has arrived, and what the compute thread has done."""
        if self.listeners.points.socket in ready:
            self._take_points()
        self.mover.step(ready, now)
        if self.ring is not None:
            self.ring.stored(self.shards.train.appended)
            self.ring.receive()
        if self.compute.wake in ready:
            self._take_result()
        for answer in self.probe_thread.take():
            self.link.tell(answer)
        if now - self._retain_at >= RETENTION_S:
            self._retain_at = now
            if not self.mover.reads:
                self.shards.enforce_retention()
            self.shards.scrub()

    def handle(self, event: RingEvent) -> None:
        """Take an event of the ring from the coordinator; it waits until the model is built."""
        if self.ring is None:
            self._early.append(event)
        else:
            self.ring.handle(event)

    def _take_points(self) -> None:
        for held_out in self.endpoint.serve():
            self.link.tell(held_out)

    # -- compute --------------------------------------------------------------------------

    def _build(self, cancelled: Callable[[], bool]) -> Learner:
        """Build the learner, in the compute thread: what it imports is slow to import."""
        settings = self.registration.settings
        shard, new_rows = self.shards.train, self.shards.new_rows
        learner = learner_for(self.link.name, settings, shard, cancelled, new_rows)
        if self.registration.late:
            learner.model.prepare()  # the others would wait for it
        return learner

    def _take_result(self) -> None:
        self.compute.wake.recv()
        result = self.compute.results.get()
        if isinstance(result, Learner):
            self._join(result)
        elif self.ring is not None:
            self.ring.handle_result(result)

    def _join(self, learner: Learner) -> None:
        """Take part in the ring from now on: the model is built."""
        settings, transport = self.registration.settings, self.listeners.transport
        seed, epochs = settings.cluster.seed, settings.training.epochs
        rests = not settings.training.deterministic
        name, model = self.link.name, learner.model
        backups = settings.training.backups
        member = member_of(name, model, self.signature, seed, epochs, rests=rests, backups=backups)
        metrics = self.listeners.metrics
        self.ring = RingSide(self.link, transport, metrics, member, learner, self.compute)
        for event in self._early:
            self.ring.handle(event)
        self._early.clear()
        self.probe_thread.start(learner.model)
        for socket in transport.sockets:
            self.poller.register(socket, zmq.POLLIN)
        self.link.hurry = True  # the coordinator waits for us to be ready

    # -- report and the end ---------------------------------------------------------------

    def report(self) -> WorkerReport:
        """Return how it fares, for heartbeats and the goodbye."""
        report = WorkerReport(
            shard=self.endpoint.counts(),
            moves=self.mover.state,
            malformed=self.malformed,
        )
        if self.ring is None:
            return report
        work, learner = self.ring.work, self.ring.learner
        return replace(
            report,
            ring=self.ring.progress,
            train_s=work.train,
            z_step_s=work.z_step,
            untrained_s=self.ring.untrained_s,
            failed_steps=learner.failed_steps,
            failed_step=learner.failed_step,
            predicted=learner.prequential.predicted,
        )

    @property
    def malformed(self) -> int:
        """What came on any of its sockets and was no message, or made no sense."""
        sockets = (self.endpoint, self.listeners.transport, self.mover, self.link)
        return sum(one.malformed for one in sockets)

    def give_up(self) -> int:
        """Drop all points; return how many there were."""
        points = self.shards.counts().points
        self.shards.drop()
        return points

    def close(self, *, ended: bool) -> None:
        """Release what is open; the shards only if the compute thread has ``ended``, else it may still read them."""
        self.mover.close()
        self.probe_thread.stop()
        if ended:
            self.shards.close()
