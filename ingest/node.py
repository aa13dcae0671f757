"""The ingest node's process: an I/O loop that gets stored what feeds, requests and clients bring.

``streammac ingest`` calls `run`. The loop (main thread) owns the sockets: one DEALER to each worker, one to the
coordinator, a ROUTER for clients. Threads that read feeds (`ingest.feed_readers`) and serve requests (`ingest.http`)
hand over through the `IngestQueue`, and wake it. What becomes of points is decided by `ingest.outbox`.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Sequence

import zmq
from msgspec.structs import replace

from ingest.dead_letters import DeadLetterFile
from ingest.feed_readers import FeedReaders
from ingest.http import HttpEndpoint
from ingest.ingest_queue import IngestQueue
from ingest.listeners import Listeners
from ingest.outbox import Outbox
from ingest.progress import IngestState
from ingest.pushes import Pushes
from ingest.sources import SourceError
from ingest.waiting_room import WaitingRoom
from ingest.wake import Wake
from streammac.allocator import keep_freed_memory, spare_what_is_loaded
from streammac.delivery.ledger import Ledger
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.errors import ExitCode, StreammacError
from streammac.link.claim import Claim
from streammac.link.coordinator import CoordinatorLink
from streammac.link.interrupt import Interrupt
from streammac.link.registration import Registration, refused, register
from streammac.link.whereabouts import Whereabouts
from streammac.run_directory import RunDirectory
from streammac.security import open_context
from streammac.settings.schema import Network
from streammac.threads import take_short_turns
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Ack,
    Credit,
    Goodbye,
    Heartbeat,
    Registered,
    RegistrationRefused,
    Routes,
    Stop,
    StreamSchema,
)
from streammac.wire.reports import IngestReport

log = logging.getLogger(__name__)

TURN_S = 0.05
START_PATIENCE_S = 2.0
"""At the start, so long is waited for the workers that the settings count on."""
DRAIN_S = 10.0
"""At the end, so long is waited for acknowledgements."""
READERS_END_S = 0.5
"""At the end, so long is waited for the threads that read feeds."""


class IngestNode:
    """One ingest node that is registered.

    Parameters
    ----------
    link : CoordinatorLink
        The way to the coordinator.
    listeners : Listeners
        What others reach it by.
    directory : RunDirectory
        Where the dead letters are.
    registration : Registration
        What the coordinator said of the cluster.
    ledger : Ledger
        Its own, open.
    interrupt : Interrupt
        Asks it to end.
    room : Ledger, optional
        What is on disk of points that wait for their targets, open.
    """

    def __init__(
        self,
        link: CoordinatorLink,
        listeners: Listeners,
        directory: RunDirectory,
        registration: Registration,
        ledger: Ledger[IngestState],
        interrupt: Interrupt,
        room: Ledger[WaitingRoom] | None = None,
    ) -> None:
        settings = registration.settings
        self.link = link
        self.listeners = listeners
        self.directory = directory
        self.registration = registration
        self.interrupt = interrupt
        self.wake = Wake(listeners.context)
        self.poller = zmq.Poller()
        for socket in (link.socket, listeners.clients.socket, self.wake.socket):
            self.poller.register(socket, zmq.POLLIN)
        self.workers = WorkerSockets(listeners.context, self.poller)
        late = settings.stream.late_targets is not None
        self.ingest_queue = IngestQueue(settings.ingest.record_bytes, self.wake, late=late)
        self.feeds = FeedReaders(link.name, self.ingest_queue, settings, self.wake)
        path = directory.dead_letters / f"{link.name}.ndjson"
        letters = DeadLetterFile(path, settings.ingest.dead_letter_bytes)
        self.outbox = Outbox(link.name, link.incarnation, settings, ledger, letters, room)
        self.pushes = Pushes(
            self.ingest_queue, self.outbox.take, listeners.clients.answer, settings
        )
        self.first_ack_s = 0.0
        self._began = time.monotonic()
        self._rate = (0.0, 0)  # points per second, acknowledged at the last heartbeat

    # -- the loop -------------------------------------------------------------------------

    def run(self, sources: Sequence[str] | None) -> ExitCode:
        """Take points until told to stop, and wait for what is under way.

        Parameters
        ----------
        sources : sequence of str, optional
            URIs of feeds; None takes those of the settings.
        """
        settings, code = self.registration.settings, ExitCode.OK
        try:
            self._open_sources(settings.ingest.sources if sources is None else sources)
        except SourceError as error:
            log.error("%s", error)
            code = ExitCode.BAD_INPUT
            self.stop()
        for message in self.registration.others:
            self._handle(message)
        end_by: float | None = None
        while True:
            ready = dict(self.poller.poll(int(TURN_S * 1000)))
            now = time.monotonic()
            if self.wake.socket in ready:
                self.wake.drain()
            if self.link.socket in ready:
                for message in self.link.receive():
                    if isinstance(message, RegistrationRefused):
                        code = refused(message)
                        self.stop()
                    self._handle(message)
            self.link.keep_registered(now, answered=True)
            self._serve_workers(ready, now)
            if self.listeners.clients.socket in ready:
                self._serve_clients()
            self._admit()
            self._flush(now)
            self.link.beat(now, settings.cluster.heartbeat_s, self._heartbeat)
            if not self.ingest_queue.stopping and self.link.moved:
                code = ExitCode.NOT_RUNNING
                self.stop()
            if self.interrupt.requested:
                self.stop()
            if self.ingest_queue.stopping:
                end_by = end_by or now + DRAIN_S
                if (self.outbox.idle and self.ingest_queue.empty) or now > end_by:
                    break
        self._end()
        return ExitCode.BAD_INPUT if self.feeds.failures else code

    def stop(self) -> None:
        """Read no more; the loop ends when nothing is under way."""
        self.ingest_queue.stop()

    # -- coordinator ----------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        match message:
            case Registered() | RegistrationRefused():
                pass  # the answer to a reminder; the loop ends with the refusal
            case StreamSchema():
                if self.ingest_queue.schema is None:
                    self.ingest_queue.agree(message)
                    self.pushes.agreed()
            case Routes():
                self.workers.connect(message.workers)
                self.outbox.route(message.workers)
            case Stop():
                log.info("told to stop: %s", message.reason)
                self.stop()
            case _:
                log.warning("ignored a %s of the coordinator", type(message).__name__)

    # -- feeds and requests ---------------------------------------------------------------

    def _open_sources(self, uris: Sequence[str]) -> None:
        for uri in uris:
            if uri.startswith("http:"):
                self._listen(uri)
        feeds = [uri for uri in uris if not uri.startswith("http:")]
        self.feeds.start(feeds, self.outbox.open_feed)

    def _listen(self, uri: str) -> None:
        endpoint = HttpEndpoint(
            self.ingest_queue,
            lambda: self.outbox.has_room,
            self.registration.settings.ingest.request_bytes,
            self.link.pulse,
        )
        url = self.listeners.listen(uri, endpoint.application())
        self.link.addresses["http"] = url
        self.directory.try_to_announce(self.link.name, dict(self.link.addresses))
        self.link.register()
        log.info("points are taken at %s/points", url)

    def _serve_clients(self) -> None:
        for identity, push in self.listeners.clients.receive():
            room = self.outbox.has_room and not self.ingest_queue.stopping
            self.pushes.take(identity, push, has_room=room)

    def _admit(self) -> None:
        """Take what threads have brought, as long as there is room."""
        for proposal in self.ingest_queue.take_proposals():
            self.link.tell(proposal)
        while not self.ingest_queue.requests.empty():
            self.outbox.take(self.ingest_queue.requests.get())
        while self.outbox.has_room:
            try:
                self.outbox.take(self.ingest_queue.feeds.get_nowait())
            except queue.Empty:
                return

    # -- workers --------------------------------------------------------------------------

    def _serve_workers(self, ready: dict[object, int], now: float) -> None:
        for name, message in self.workers.receive(ready):
            if not isinstance(message, Ack | Credit):
                continue
            batch = self.outbox.handle(name, message, now)
            if batch is not None:
                self.listeners.metrics.acknowledged(now - batch.first_sent_at)
                self.first_ack_s = self.first_ack_s or time.time()

    def _flush(self, now: float) -> None:
        self.outbox.sender.on_hold = not self._workers_are_there(now)
        self.workers.post(self.outbox.flush(now))

    def _workers_are_there(self, now: float) -> bool:
        """Return whether points may go out: all workers grant credit, or they have had time to.

        A fast feed would otherwise be stored whole by the worker that is up first.
        """
        granted = sum(s.window_bytes > 0 for s in self.outbox.sender.sessions.values())
        if (
            granted >= self.registration.settings.cluster.workers
            or now - self._began > START_PATIENCE_S
        ):
            self._began = float("-inf")  # from now on, whoever is there will do
            return True
        return False

    # -- reports and the end --------------------------------------------------------------

    def _report(self) -> IngestReport:
        # first of all whether they have ended: what they brought to the last has then been handed over
        finished = self.feeds.ended and self.outbox.idle and self.ingest_queue.feeds.empty()
        report = self.outbox.report()
        return replace(
            report,
            malformed=self.listeners.clients.malformed
            + self.workers.malformed
            + self.link.malformed,
            finished=finished and not report.late.waiting,
            first_ack_s=self.first_ack_s,
            rate=self._rate[0],
            troubles=(*self.feeds.troubles(), *self.outbox.letters.troubles()),
        )

    def _heartbeat(self, elapsed_s: float) -> Heartbeat:
        sender, metrics = self.outbox.sender, self.listeners.metrics
        self._rate = (
            (sender.acknowledged - self._rate[1]) / max(elapsed_s, 1e-9),
            sender.acknowledged,
        )
        report = self._report()
        self.link.pulse.unready = self.link.unheard or self._unready
        metrics.update(report)
        metrics.letters_lost(self.outbox.letters.lost)
        metrics.sessions(sender.sessions, sender.waiting.bytes)
        metrics.handshakes(self.listeners.context.handshake_failures())
        proposal = self.ingest_queue.proposal
        if proposal is not None and self.ingest_queue.schema is None:
            self.link.tell(proposal)  # the coordinator may have been replaced before it agreed
        return Heartbeat(self.link.name, self.link.incarnation, ingest=report)

    @property
    def _unready(self) -> str:
        """Why no point can be delivered; empty if one can."""
        if self.ingest_queue.stopping:
            return "it ends"
        takes = any(session.window_bytes for session in self.outbox.sender.sessions.values())
        return "" if takes else "no worker takes points"

    def _end(self) -> None:
        report = self._report()
        for text in report.failed:  # at the end of the log, where it is looked for
            log.error("a feed failed: %s", text)
        if report.unacknowledged:
            log.warning("%d points end without an answer", report.unacknowledged)
        self.link.tell(Goodbye(self.link.name, self.link.incarnation, ingest=report))
        self.feeds.join(READERS_END_S)  # their sockets are of the context
        self.outbox.close()


def run(
    name: str,
    directory: RunDirectory,
    coordinator: Whereabouts,
    network: Network,
    sources: Sequence[str] | None = None,
    timeout_s: float | None = None,
) -> ExitCode:
    """Run an ingest node until it is told to stop.

    Parameters
    ----------
    name : str
        Stable name.
    directory : RunDirectory
        Where the dead letters and the ledger are.
    coordinator : Whereabouts
        Where the coordinator is.
    network : Network
        Interfaces to listen on.
    sources : sequence of str, optional
        URIs of feeds; None takes those of the settings.
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
    link = CoordinatorLink(context, "ingest", claim, coordinator)
    listeners = Listeners(context, name, network, link.pulse)
    link.addresses |= listeners.addresses
    directory.try_to_announce(name, dict(link.addresses))
    code = _serve(link, listeners, directory, interrupt, sources, timeout_s)
    directory.retract(name)
    listeners.close()
    context.destroy(linger=1000)
    return code


def _serve(
    link: CoordinatorLink,
    listeners: Listeners,
    directory: RunDirectory,
    interrupt: Interrupt,
    sources: Sequence[str] | None,
    timeout_s: float | None,
) -> ExitCode:
    registration = register(link, interrupt, timeout_s)
    if registration is ExitCode.REFUSED:
        return registration  # its name is another's
    if isinstance(registration, ExitCode):
        link.tell(Goodbye(link.name, link.incarnation))
        return registration
    try:
        with link.pulse.long("it reads its ledger"):
            ledger = Ledger(directory.ledger(link.name), IngestState())
            path = directory.waiting_room(link.name)
            late = registration.settings.stream.late_targets is not None or path.exists()
            room = Ledger(path, WaitingRoom()) if late else None
    except (StreammacError, OSError) as error:
        log.error("%s", error)
        link.tell(Goodbye(link.name, link.incarnation))
        # a disk may have room later
        return ExitCode.UNEXPECTED if isinstance(error, OSError) else ExitCode.BAD_INPUT
    node = IngestNode(link, listeners, directory, registration, ledger, interrupt, room)
    spare_what_is_loaded()
    return node.run(sources)
