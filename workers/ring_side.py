"""A worker's side of the ring: its state machine, between the transport that brings tokens and the compute thread.

The I/O loop (`workers.worker`) passes on the coordinator's word, what the transport has, and what the compute thread
has done; what follows is done here. It begins when the model is built.
"""

from __future__ import annotations

import logging
import time
from typing import TypeAlias

from streammac.link.coordinator import CoordinatorLink
from streammac.ring.epoch import part_of
from streammac.ring.member import Member
from streammac.ring.member_actions import (
    Action,
    Answer,
    GradientStepDone,
    NewPoints,
    OpenEpoch,
    Report,
    Send,
    TrainDone,
)
from streammac.telemetry.exporter import WorkerMetrics
from streammac.wire.messages import Drift, RestartContinuation, Resume, RingMoving, Token, View
from streammac.wire.reports import RingProgress
from workers.compute import ComputeThread, Result
from workers.learner import Learner, PhaseTimes
from workers.timing import EpochTimes, Stays, Untrained
from workers.transports.base import RingMessage, Transport, TransportError

log = logging.getLogger(__name__)

RingEvent: TypeAlias = View | Resume | RestartContinuation | RingMessage


class RingSide:
    """One worker's part in the ring.

    Parameters
    ----------
    link : CoordinatorLink
        The way to the coordinator.
    transport : Transport
        The way to the other members.
    metrics : WorkerMetrics
        Shows visits, hops and epochs.
    member : Member
        The state machine.
    learner : Learner
        Who trains, in the compute thread.
    compute : ComputeThread
        Does the jobs.
    """

    def __init__(
        self,
        link: CoordinatorLink,
        transport: Transport,
        metrics: WorkerMetrics,
        member: Member,
        learner: Learner,
        compute: ComputeThread,
    ) -> None:
        self.link = link
        self.transport = transport
        self.metrics = metrics
        self.member = member
        self.learner = learner
        self._compute = compute
        self._announced = 0
        """The newest view in which a visit was finished here."""
        self._stored = 0
        """Points ever stored here that the member knows of."""
        self._times = EpochTimes(time.monotonic())
        self._stays = Stays()
        self._untrained = Untrained()

    # -- what happens ---------------------------------------------------------------------

    def receive(self) -> None:
        """Take what peers have sent."""
        idle, begin = not self._compute.busy, time.monotonic()
        messages = self.transport.receive()
        now = time.monotonic()
        if messages and idle:
            self._times.communicated(now - begin)
        for message in messages:
            if isinstance(message, Token) and not message.final:
                self._stays.arrived(message.block, now)
            self.handle(message)

    def stored(self, points: int) -> None:
        """Take notice of how many points were ever stored here to train on; call it often."""
        if points > self._stored:
            self._stored = points
            self._untrained.stored(time.monotonic())
            self._do(self.member.handle(NewPoints()))

    def handle(self, event: RingEvent) -> None:
        """Take an event of the ring, from a peer or the coordinator."""
        if isinstance(event, View) and event.number > self.member.view.number:
            self._stays.clear()
            members = event.members + event.leaving
            lines = [member.line for member in members]
            self.transport.connect({m.name: m.address for m in members}, lines)
            log.info("view %d: %s", event.number, ", ".join(m.name for m in event.members))
        self._do(self.member.handle(event))

    def handle_result(self, result: Result) -> None:
        """Take what the compute thread has done."""
        self._times.work = result.times
        if result.drift is not None:
            watched = self.learner.model.watched
            epoch = self.member.epoch.number
            self.link.tell(Drift(self.link.name, epoch, result.drift, watched))
        if result.done is not None:
            self._do(self.member.handle(result.done))
        if isinstance(result.done, TrainDone) and result.done.job.visits:
            self.metrics.visited(result.seconds)
        trains = isinstance(result.done, TrainDone | GradientStepDone)
        turns = trains and not self.member.view.frozen
        if turns and self._announced < self.member.view.number:
            self._announced = self.member.view.number
            self.link.tell(RingMoving(self.link.name, self._announced))

    # -- what is done ---------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case Answer():
                    self.link.tell(action.holdings)
                case Report():
                    self._report(action)
                case TrainDone():
                    self._do(self.member.handle(action))
                case OpenEpoch():
                    self._times.begin(time.monotonic())
                    self._untrained.begin()
                    self._compute.submit(action)
                case _:
                    self._compute.submit(action)

    def _send(self, send: Send) -> None:
        idle, begin = not self._compute.busy, time.monotonic()
        try:
            self.transport.send(send.to, send.message)
        except TransportError as error:
            # nobody's death: the coordinator will notice that nothing moves
            log.warning("a message to %s is lost: %s", send.to, error)
        now = time.monotonic()
        if idle:
            self._times.communicated(now - begin)
        if isinstance(send.message, Token):
            stayed = self._stays.left(send.message.block, now)
            if stayed is not None:
                self.metrics.hopped(stayed)

    def _report(self, report: Report) -> None:
        now = time.monotonic()
        seconds, waited_s = self._times.close(now), self._untrained.done(now)
        self.metrics.epoch_done(seconds)
        mu = self.learner.model.mu(part_of(report.plan).progress)
        sums = report.objective.sums()
        self.link.tell(report.message(self.link.name, mu, sums, seconds, waited_s))

    # -- reports --------------------------------------------------------------------------

    @property
    def progress(self) -> RingProgress:
        """How far it is, for heartbeats and the goodbye."""
        return self.member.ring_progress(busy=self._compute.busy)

    @property
    def untrained_s(self) -> float:
        """Age of the oldest point here that no finished epoch had, 0: there is none."""
        return self._untrained.age_s(time.monotonic())

    @property
    def work(self) -> PhaseTimes:
        """Seconds of work in this epoch."""
        return self._times.work
