"""The worker process: an I/O loop round the ring's state machine, the shards and a compute thread.

``streammac worker`` calls `run`. The loop (main thread) owns every socket: tokens from peers, points from
ingest nodes, the coordinator's orders; the compute thread trains. So heartbeats and ingest go on while
a submodel is in training.

A worker grows in three steps: `register` brings the settings, then there is a `Worker`; the stream's schema opens its
shards (`OpenWorker`); and when the model is built it takes its part in the ring (`RingSide`).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time

import zmq
from msgspec.structs import replace

from streammac.allocator import keep_freed_memory
from streammac.errors import ExitCode, StreammacError
from streammac.link.claim import Claim
from streammac.link.coordinator import CoordinatorLink
from streammac.link.interrupt import Interrupt
from streammac.link.registration import Registration, refused, register
from streammac.link.whereabouts import Whereabouts
from streammac.run_directory import RunDirectory
from streammac.security import open_context, share_seal
from streammac.settings.schema import Network
from streammac.telemetry import metrics
from streammac.threads import take_short_turns
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Drain,
    Goodbye,
    Heartbeat,
    Leaving,
    Move,
    OpenProbe,
    ProbeQuestion,
    Registered,
    RegistrationRefused,
    RestartContinuation,
    Resume,
    Routes,
    Stop,
    StreamSchema,
    View,
)
from streammac.wire.reports import WorkerReport
from workers.leaving import DRAIN_S, Departure, Points
from workers.listeners import Listeners
from workers.open_worker import OpenWorker
from workers.ring_side import RingEvent, RingSide
from workers.shards import known_stream
from workers.timing import Rate

log = logging.getLogger(__name__)

TURN_S = 0.1
"""Longest wait of the I/O loop."""
TRANSIT_S = 0.001
"""The same while a token moves on only if it is looked at."""
END_PATIENCE_S = 5.0


class Worker:
    """One worker that is registered.

    Parameters
    ----------
    link : CoordinatorLink
        The way to the coordinator.
    listeners : Listeners
        What others reach it by.
    directory : RunDirectory
        Where its shards are.
    registration : Registration
        What the coordinator said of the cluster.
    interrupt : Interrupt
        Asks it to leave the ring in good order and end; a second time, to end at once.

    Attributes
    ----------
    opened : OpenWorker or None
        What stores points and trains; None before the stream's schema is agreed.
    """

    def __init__(
        self,
        link: CoordinatorLink,
        listeners: Listeners,
        directory: RunDirectory,
        registration: Registration,
        interrupt: Interrupt,
    ) -> None:
        self.link = link
        self.listeners = listeners
        self.directory = directory
        self.registration = registration
        self.departure = Departure(interrupt)
        self.poller = zmq.Poller()
        for socket in (link.socket, listeners.points.socket):
            self.poller.register(socket, zmq.POLLIN)
        self.opened: OpenWorker | None = None
        self.ending = False
        self.code = ExitCode.OK
        self._early: list[RingEvent] = []
        self._busy_s, self._appended = Rate(), Rate()

    # -- the loop -------------------------------------------------------------------------

    def run(self) -> ExitCode:
        """Serve until told to stop."""
        for message in self.registration.others:
            self._handle(message)
        if self.opened is None:
            stream = known_stream(self.link.name, self.directory, self.registration.cluster)
            if stream is not None:  # no news, unless the coordinator has lost its state
                self.link.tell(stream)
        while not self.ending:
            turn_s = TRANSIT_S if self.listeners.transport.in_transit else TURN_S
            ready = dict(self.poller.poll(int(turn_s * 1000)))
            now = time.monotonic()
            if self.link.socket in ready:
                for message in self.link.receive():
                    self._handle(message)
            self.link.keep_registered(now, answered=True)
            if self.opened is not None:
                self.opened.step(ready, now)
            elif self.listeners.points.socket in ready:
                self.listeners.points.keep_openings()
            self._beat()
            self._check_departure(now)
        return self._end()

    @property
    def _ring(self) -> RingSide | None:
        return self.opened.ring if self.opened is not None else None

    # -- leaving --------------------------------------------------------------------------

    def _leave(self, deadline_s: float, points: Points = "keep") -> None:
        mover = self.opened.mover if self.opened is not None else None
        if self.departure.order(points, time.monotonic() + deadline_s, mover):
            self.link.tell(Leaving(self.link.name, self.link.incarnation))
            log.info("leaving")

    def _check_departure(self, now: float) -> None:
        if self.departure.unheeded:
            self._leave(DRAIN_S)
        ring, opened = self._ring, self.opened
        member = ring.member if ring is not None else None
        end = self.departure.end(now, member, opened.mover if opened is not None else None)
        if end == "left":
            log.info("left the ring")
        elif end is not None:
            log.warning("the time to leave is up: %s", end)
        if end is not None or self.departure.interrupt.insisted:
            self.ending = True

    # -- coordinator ----------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        match message:
            case Registered():
                pass  # the answer to a reminder
            case StreamSchema():
                if self.opened is None:
                    self._open(message)
            case View() | Resume() | RestartContinuation():
                if self.opened is not None:
                    self.opened.handle(message)
                else:
                    self._early.append(message)
            case OpenProbe() | ProbeQuestion():
                if self.opened is not None:
                    self.opened.probe_thread.handle(message)
            case Drain():
                self._leave(message.deadline_s, message.points)
            case Routes():
                if self.opened is not None:
                    self.opened.mover.route(message)
            case Move():
                if self.opened is not None and not self.departure.under_way:
                    self.opened.mover.give(message.points, message.to, time.monotonic())
            case RegistrationRefused():
                self.code, self.ending = refused(message), True
            case Stop():
                log.info("told to stop: %s", message.reason)
                self.ending = True
            case _:
                log.warning("ignored a %s of the coordinator", type(message).__name__)

    def _open(self, schema: StreamSchema) -> None:
        """Open the shards and start to compute: now it is known what a point looks like."""
        try:
            with self.link.pulse.long("it opens its shards"):
                self.opened = OpenWorker(
                    self.link,
                    self.listeners,
                    self.poller,
                    self.directory,
                    self.registration,
                    schema,
                )
        except (StreammacError, OSError) as error:
            log.error("%s", error)
            # a disk may have room later; a file that is damaged, or another's, waits for somebody
            later = isinstance(error, OSError)
            self.code = ExitCode.UNEXPECTED if later else ExitCode.BAD_INPUT
            self.ending = True
            return
        for event in self._early:
            self.opened.handle(event)
        self._early.clear()
        self.opened.start()

    # -- reports --------------------------------------------------------------------------

    def _beat(self) -> None:
        every_s = self.registration.settings.cluster.heartbeat_s
        self.link.beat(time.monotonic(), every_s, self._heartbeat)
        if self.link.moved:
            self.code, self.ending = ExitCode.NOT_RUNNING, True

    def _heartbeat(self, elapsed_s: float) -> Heartbeat:
        report = self._report()
        appended = report.shard.appended if report.shard is not None else 0
        busy_s = self.opened.compute.busy_s if self.opened is not None else 0.0
        report = replace(
            report,
            rate=self._appended.per_second(appended, elapsed_s),
            busy_share=min(1.0, self._busy_s.per_second(busy_s, elapsed_s)),
        )
        self.link.pulse.unready = self.link.unheard or unready(report)
        self.listeners.metrics.update(report)
        self._update_local_metrics()
        return Heartbeat(self.link.name, self.link.incarnation, worker=report)

    def _update_local_metrics(self) -> None:
        """Take what nobody but the metrics shows."""
        shown = self.listeners.metrics
        with contextlib.suppress(OSError):  # nothing to end for
            shown.set(metrics.DISK_FREE, shutil.disk_usage(self.directory.root).free)
        drift = self._ring.learner.drift if self._ring is not None else None
        if drift is not None and drift.newest is not None:
            shown.set(metrics.ENTERING_ERROR, drift.newest)
        shown.handshakes(self.listeners.context.handshake_failures())

    def _report(self) -> WorkerReport:
        if self.opened is None:
            report = WorkerReport(malformed=self.listeners.points.malformed + self.link.malformed)
        else:
            report = self.opened.report()
        return replace(report, leaving=self.departure.under_way)

    # -- the end --------------------------------------------------------------------------

    def _end(self) -> ExitCode:
        report = self._report()
        if self.opened is not None:
            ended = self.opened.compute.stop(END_PATIENCE_S, self._beat)
            self.opened.mover.stop()
            given_up = self.opened.give_up() if ended and self.departure.drops else 0
            report = replace(self._report(), given_up=given_up)
            self.opened.close(ended=ended)
        self.link.tell(Goodbye(self.link.name, self.link.incarnation, worker=report))
        return self.code


def unready(report: WorkerReport) -> str:
    """Return why a worker that is registered cannot do its work; empty if it can."""
    if report.leaving:
        return "it leaves"
    if report.shard is not None and report.shard.refusing:
        return "its shard takes no points: the log says why"
    return ""


def run(
    name: str,
    directory: RunDirectory,
    coordinator: Whereabouts,
    network: Network,
    timeout_s: float | None = None,
) -> ExitCode:
    """Run a worker until it is told to stop.

    Parameters
    ----------
    name : str
        Stable name, the same over restarts.
    directory : RunDirectory
        Where its shards are.
    coordinator : Whereabouts
        Where the coordinator is.
    network : Network
        Interfaces to listen on.
    timeout_s : float, optional
        Give up if the coordinator does not answer within so long; else never.

    Returns
    -------
    ExitCode
        Of the process.
    """
    keep_freed_memory()
    take_short_turns()
    interrupt = Interrupt()
    interrupt.catch()
    claim = Claim.take(directory, name)
    context = open_context(directory.keys, insecure=network.insecure)
    share_seal(context.keys)
    link = CoordinatorLink(context, "worker", claim, coordinator)
    listeners = Listeners(context, name, link.line, network, link.pulse)
    link.addresses |= listeners.addresses
    directory.try_to_announce(name, dict(link.addresses))
    registration = register(link, interrupt, timeout_s)
    if isinstance(registration, Registration):
        code = Worker(link, listeners, directory, registration, interrupt).run()
    else:
        code = registration
        if code is not ExitCode.REFUSED:  # nobody is expected whose name is another's
            link.tell(Goodbye(name, link.incarnation))
    directory.retract(name)
    listeners.close()
    link.socket.close()
    context.term()
    return code
