"""The ingest node's process: an I/O loop that gets stored what feeds, requests and clients bring.

``streammac ingest`` calls `run`. The loop (main thread) owns the sockets: one DEALER to each worker, one to the
coordinator, a ROUTER for clients. Threads that read feeds (`ingest.feed_readers`) and serve requests (`ingest.http`)
hand over through the `IngestQueue`, and wake it. What becomes of points is decided by `ingest.outbox`.
"""

from __future__ import annotations

import logging
import queue
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack

import zmq
from msgspec.structs import replace

from ingest import http
from ingest.clients import Clients
from ingest.dead_letters import DeadLetterFile
from ingest.feed_readers import FeedReaders
from ingest.ingest_queue import IngestQueue
from ingest.outbox import Outbox
from ingest.progress import IngestState
from ingest.pushes import Pushes
from ingest.sources import SourceError
from ingest.wake import Wake
from streammac.delivery.ledger import Ledger
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.errors import StreammacError
from streammac.link.coordinator import CoordinatorLink
from streammac.run_directory import RunDirectory
from streammac.security import SecureContext, open_context
from streammac.settings.schema import Settings
from streammac.telemetry.exporter import IngestMetrics
from streammac.wire.messages import (
    Ack,
    Credit,
    Goodbye,
    Heartbeat,
    Registered,
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
    """One ingest node.

    Parameters
    ----------
    name : str
        Stable name.
    directory : RunDirectory
        Where the dead letters and the ledger are.
    coordinator : str
        Address of the coordinator's control socket.
    host : str
        Interface to listen on.
    sources : sequence of str, optional
        URIs of feeds; None takes those of the settings.
    http_host : str
        Interface of the metrics, and beyond loopback the only one for feeds over HTTP.
    insecure : bool
        Listen beyond loopback without keys, too.
    """

    def __init__(
        self,
        name: str,
        directory: RunDirectory,
        coordinator: str,
        host: str,
        sources: Sequence[str] | None,
        http_host: str = "127.0.0.1",
        *,
        insecure: bool = False,
    ) -> None:
        self.name = name
        self.directory = directory
        self.http_host = http_host
        self.uris = sources
        self.context: SecureContext = open_context(directory.keys, insecure=insecure)
        self.link = CoordinatorLink(self.context, "ingest", name, coordinator)
        self.context.watch(self.link.socket)
        self.clients = Clients(self.context, host)
        self.wake = Wake(self.context)
        self.poller = zmq.Poller()
        for socket in (self.link.socket, self.clients.socket, self.wake.socket):
            self.poller.register(socket, zmq.POLLIN)
        self.workers = WorkerSockets(self.context, self.poller)
        self.routes: Routes | None = None
        self.metrics = IngestMetrics(name)
        metrics_url, self._close_metrics = self.metrics.serve(http_host)
        self.link.addresses |= {"client": self.clients.address, "metrics": metrics_url}
        self._listening = ExitStack()
        self.settings: Settings | None = None
        self.proposed: StreamSchema | None = None
        self.first_ack_s = 0.0
        self._began = time.monotonic()
        self.ending = False
        self.exit_code = 0
        self._rate = (0.0, 0)  # points per second, acknowledged at the last heartbeat

    # -- the loop -------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        self.directory.announce(self.name, dict(self.link.addresses))
        end_by: float | None = None
        while True:
            ready = dict(self.poller.poll(int(TURN_S * 1000)))
            now = time.monotonic()
            if self.wake.socket in ready:
                self.wake.drain()
            if self.link.socket in ready:
                self._serve_control()
            self.link.keep_registered(now, answered=self.settings is not None)
            if self.settings is None:
                if self.ending:
                    break
                continue
            self._serve_workers(ready, now)
            if self.clients.socket in ready:
                self._serve_clients()
            self._admit()
            self._flush(now)
            self.link.beat(now, self.settings.cluster.heartbeat_s, self._heartbeat)
            if self.ending:
                self.ingest_queue.stop()
                end_by = end_by or now + DRAIN_S
                if (self.outbox.idle and self.ingest_queue.empty) or now > end_by:
                    break
        self._end()
        return self.exit_code

    def stop(self) -> None:
        """Stop reading, wait for what is under way, end."""
        self.ending = True

    # -- coordinator ----------------------------------------------------------------------

    def _serve_control(self) -> None:
        for message in self.link.receive():
            match message:
                case Registered():
                    if self.settings is None:
                        self._configure(Settings.model_validate_json(message.settings))
                case StreamSchema():
                    self._agree(message)
                case Routes():
                    self.routes = message
                    self._connect()
                case Stop():
                    log.info("told to stop: %s", message.reason)
                    self.stop()
                case _:
                    log.warning("ignored a %s of the coordinator", type(message).__name__)

    def _configure(self, settings: Settings) -> None:
        ingest = settings.ingest
        self.settings = settings
        self.ingest_queue = IngestQueue(ingest.record_bytes, self.wake)
        self.pushes = Pushes(self.ingest_queue, self.clients.answer, settings)
        self.feeds = FeedReaders(self.name, self.ingest_queue, settings, self.wake)
        path = self.directory.dead_letters / f"{self.name}.ndjson"
        letters = DeadLetterFile(path, ingest.dead_letter_bytes)
        try:
            ledger = Ledger(self.directory.ledger(self.name), IngestState())
        except (StreammacError, OSError) as error:
            log.error("%s", error)
            self.settings, self.exit_code = None, 6
            self.stop()
            return
        self.outbox = Outbox(self.name, self.link.incarnation, settings, ledger, letters)
        try:
            self._open_sources(ingest.sources if self.uris is None else self.uris)
        except SourceError as error:
            log.error("%s", error)
            self.exit_code = 6
            self.stop()
        self._connect()

    def _open_sources(self, uris: Sequence[str]) -> None:
        for uri in uris:
            if uri.startswith("http:"):
                self._listen(uri)
        feeds = [uri for uri in uris if not uri.startswith("http:")]
        self.feeds.start(feeds, self.outbox.open_feed)

    def _listen(self, uri: str) -> None:
        assert self.settings is not None
        app = http.application(
            self.ingest_queue,
            lambda: self.outbox.sender.has_room,
            self.settings.ingest.request_bytes,
        )
        url, close = http.listen(uri, self.http_host, app)
        self._listening.callback(close)
        self.link.addresses["http"] = url
        self.directory.announce(self.name, dict(self.link.addresses))
        self.link.register()
        log.info("points are taken at %s/points", url)

    def _agree(self, schema: StreamSchema) -> None:
        if self.settings is None or self.ingest_queue.schema is not None:
            return
        self.ingest_queue.agree(schema)
        self.pushes.agreed()

    # -- feeds and requests ---------------------------------------------------------------

    def _serve_clients(self) -> None:
        for identity, push in self.clients.receive():
            room = self.outbox.sender.has_room and not self.ending
            self.pushes.take(identity, push, has_room=room)
            self._admit_requests()  # so that the next push sees how much room is left

    def _admit(self) -> None:
        """Take what threads have brought, as long as there is room."""
        while not self.ingest_queue.proposals.empty():
            self.proposed = self.ingest_queue.proposals.get()
            self.link.tell(self.proposed)
        self._admit_requests()
        while self.outbox.sender.has_room:
            try:
                self.outbox.take(self.ingest_queue.feeds.get_nowait())
            except queue.Empty:
                return

    def _admit_requests(self) -> None:
        while not self.ingest_queue.requests.empty():
            self.outbox.take(self.ingest_queue.requests.get())

    # -- workers --------------------------------------------------------------------------

    def _connect(self) -> None:
        if self.settings is not None and self.routes is not None:
            self.workers.connect(self.routes.workers)
            self.outbox.route(self.routes.workers)

    def _serve_workers(self, ready: dict[object, int], now: float) -> None:
        for name, message in self.workers.receive(ready):
            if not isinstance(message, Ack | Credit):
                continue
            batch = self.outbox.handle(name, message, now)
            if batch is not None:
                self.metrics.acknowledged(now - batch.first_sent_at)
                self.first_ack_s = self.first_ack_s or time.time()

    def _flush(self, now: float) -> None:
        self.outbox.sender.on_hold = not self._workers_are_there(now)
        for post in self.outbox.flush(now):
            self.workers.post(post.worker, post.message)

    def _workers_are_there(self, now: float) -> bool:
        """Return whether points may go out: all workers grant credit, or they have had time to.

        A fast feed would otherwise be stored whole by the worker that is up first.
        """
        assert self.settings is not None
        granted = sum(s.window_bytes > 0 for s in self.outbox.sender.sessions.values())
        if granted >= self.settings.cluster.workers or now - self._began > START_PATIENCE_S:
            self._began = float("-inf")  # from now on, whoever is there will do
            return True
        return False

    # -- reports and the end --------------------------------------------------------------

    def _report(self) -> IngestReport:
        if self.settings is None:
            return IngestReport()
        # first of all whether they have ended: what they brought to the last has then been handed over
        finished = self.feeds.ended and self.outbox.idle and self.ingest_queue.feeds.empty()
        return replace(
            self.outbox.report(),
            malformed=self.clients.malformed + self.workers.malformed,
            finished=finished,
            first_ack_s=self.first_ack_s,
            rate=self._rate[0],
        )

    def _heartbeat(self, elapsed_s: float) -> Heartbeat:
        acknowledged = self.outbox.sender.acknowledged
        self._rate = ((acknowledged - self._rate[1]) / max(elapsed_s, 1e-9), acknowledged)
        report = self._report()
        self.metrics.update(report)
        sender = self.outbox.sender
        self.metrics.sessions(sender.sessions, sender.waiting.bytes)
        self.metrics.handshakes(self.context.handshake_failures())
        if self.proposed is not None and self.ingest_queue.schema is None:
            self.link.tell(self.proposed)  # the coordinator may have been replaced before it agreed
        return Heartbeat(self.name, self.link.incarnation, ingest=report)

    def _end(self) -> None:
        report = self._report()
        if report.unacknowledged:
            log.warning("%d points end without an answer", report.unacknowledged)
        self.link.tell(Goodbye(self.name, self.link.incarnation, ingest=report))
        self._listening.close()
        self.directory.retract(self.name)
        self._close_metrics()
        if self.settings is not None:
            self.feeds.join(READERS_END_S)  # their sockets are of this context
        self.context.destroy(linger=1000)
        if self.settings is not None:
            self.outbox.close()


def run(
    name: str,
    directory: RunDirectory,
    coordinator: str,
    host: str = "127.0.0.1",
    sources: Sequence[str] | None = None,
    http_host: str = "127.0.0.1",
    *,
    insecure: bool = False,
) -> int:
    """Run an ingest node until it is told to stop; return the exit code."""
    node = IngestNode(name, directory, coordinator, host, sources, http_host, insecure=insecure)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.stop())
    return node.run()
