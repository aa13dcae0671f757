"""The ingest node's process: threads that read feeds, and an I/O loop that gets their points stored.

``streammac ingest`` calls `run`. The loop (main thread) owns the sockets: one DEALER to each worker, one to the
coordinator, a ROUTER for clients. What becomes of points is decided by `ingest.outbox`.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import zmq

from ingest import http
from ingest.cutting import Origin
from ingest.dead_letters import DeadLetterFile
from ingest.intake import Delivery, Intake, Stopping
from ingest.outbox import Outbox
from ingest.positions import Place, Position
from ingest.pushes import Pushes
from ingest.records import Chunk, pieces
from ingest.sources import Source, SourceError, open_source
from ingest.sources.base import seekable
from streammac.config import Settings
from streammac.coordinator_link import CoordinatorLink
from streammac.delivery.ledger import Ledger, LedgerError
from streammac.delivery.worker_sockets import WorkerSockets
from streammac.exporter import IngestMetrics
from streammac.http_server import serve
from streammac.run_directory import RunDirectory
from streammac.security import SecureContext, is_loopback, open_context
from streammac.wire.codec import MAX_FRAME_BYTES, WireError, decode, encode
from streammac.wire.messages import (
    Ack,
    Credit,
    Push,
    Pushed,
    Registered,
    Routes,
    Stop,
    StreamSchema,
)

log = logging.getLogger(__name__)

TURN_S = 0.05
START_PATIENCE_S = 2.0
"""At the start, so long is waited for the workers that the settings count on."""
DRAIN_S = 10.0
"""At the end, so long is waited for acknowledgements."""
READERS_END_S = 0.5
"""At the end, so long is waited for the threads that read feeds."""
MESSAGES_PER_TURN = 200
WAKE = "inproc://wake"


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
        self.clients = self.context.socket(zmq.ROUTER)
        self.clients.router_mandatory = True
        self.clients.router_handover = True
        self.clients.linger = 500
        self.clients.maxmsgsize = MAX_FRAME_BYTES
        port = self.clients.bind_to_random_port(f"tcp://{host}")
        self._wake_in = self.context.socket(zmq.PULL)
        self._wake_in.bind(WAKE)
        self._wake_out = threading.local()
        self.poller = zmq.Poller()
        for socket in (self.link.socket, self.clients, self._wake_in):
            self.poller.register(socket, zmq.POLLIN)
        self.workers = WorkerSockets(self.context, self.poller)
        self.routes: Routes | None = None
        self.metrics = IngestMetrics(name)
        metrics_url, self._close_metrics = self.metrics.serve(http_host)
        self.link.addresses |= {"client": f"tcp://{host}:{port}", "metrics": metrics_url}
        self._close_http: Callable[[], None] = lambda: None
        self.settings: Settings | None = None
        self.proposed: StreamSchema | None = None
        self.readers: list[threading.Thread] = []
        self.feeds: list[Source] = []
        self.first_ack_s = 0.0
        self.malformed = 0
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
            if self._wake_in in ready:
                self._drain_wakes()
            if self.link.socket in ready:
                self._serve_control()
            self.link.keep_registered(now, answered=self.settings is not None)
            if self.settings is None:
                if self.ending:
                    break
                continue
            self._serve_workers(ready, now)
            if self.clients in ready:
                self._serve_clients()
            self._admit()
            self._flush(now)
            self.link.beat(now, self.settings.cluster.heartbeat_s, self._pulse)
            if self.ending:
                self.intake.stop()
                end_by = end_by or now + DRAIN_S
                if (self.outbox.idle and self.intake.empty) or now > end_by:
                    break
        self._end()
        return self.exit_code

    def stop(self) -> None:
        """Stop reading, wait for what is under way, end."""
        self.ending = True

    def _wake(self) -> None:
        """Wake the loop, from any thread (sockets are not shared between threads)."""
        # if the loop has not taken the last one yet, it will look anyway; if it has ended, nobody has to
        with contextlib.suppress(zmq.ZMQError):
            socket = getattr(self._wake_out, "socket", None)
            if socket is None:
                socket = self.context.socket(zmq.PUSH)
                socket.linger = 0
                socket.sndhwm = 1
                socket.connect(WAKE)
                self._wake_out.socket = socket
            socket.send(b"", zmq.NOBLOCK)

    def _drain_wakes(self) -> None:
        try:
            while True:
                self._wake_in.recv(zmq.NOBLOCK)
        except zmq.Again:
            return

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
        self.intake = Intake(ingest.record_bytes, self._wake)
        self.pushes = Pushes(self.intake, self._answer, settings)
        path = self.directory.dead_letters / f"{self.name}.ndjson"
        letters = DeadLetterFile(path, ingest.dead_letter_bytes)
        try:
            ledger = Ledger(self.directory.ledger(self.name))
        except (LedgerError, OSError) as error:
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
        assert self.settings is not None
        feeds: list[tuple[str, Source]] = []
        for uri in uris:
            if uri.startswith("http:"):
                self._open_http(uri)
            else:
                feeds.append((uri, open_source(uri, self.settings.ingest.linger_s)))
        self.feeds = [source for _, source in feeds]
        for uri, source in feeds:
            found = seekable(source)
            if found is None:
                args = (self._stream(source),)
            else:
                # by its name alone: another rate or limit does not make it another feed
                try:
                    position = self.outbox.open_feed(uri.partition("?")[0], found)
                except (OSError, EOFError, zlib.error) as error:
                    raise SourceError(f"{uri}: cannot be read: {error}") from None
                args = (self._from_place(position),)
            reader = threading.Thread(target=self._read, args=args, name=source.name, daemon=True)
            self.readers.append(reader)
            reader.start()

    def _open_http(self, uri: str) -> None:
        assert self.settings is not None
        parts = urlsplit(uri)
        if not parts.hostname or parts.path not in ("", "/"):
            raise SourceError(f"{uri}: expected http://HOST:PORT")
        if not is_loopback(parts.hostname) and parts.hostname != self.http_host:
            raise SourceError(
                f"{uri}: HTTP takes points of anybody who can reach it - if that is wanted, say so "
                f"with network.http_host or --http-host {parts.hostname}"
            )
        app = http.application(
            self.intake, lambda: self.outbox.courier.has_room, self.settings.ingest.request_bytes
        )
        try:
            url, self._close_http = serve(app, parts.hostname, parts.port or 0)
        except (OSError, ValueError) as error:
            raise SourceError(f"{uri}: cannot listen there: {error}") from None
        self.link.addresses["http"] = url
        self.directory.announce(self.name, dict(self.link.addresses))
        self.link.register()
        log.info("points are taken at %s/points", url)

    def _agree(self, schema: StreamSchema) -> None:
        if self.settings is None or self.intake.schema is not None:
            return
        self.intake.agree(schema)
        self.pushes.agreed()

    # -- feeds and requests ---------------------------------------------------------------

    def _read(self, deliveries: Iterator[Delivery]) -> None:
        """Read a feed to its end (in a thread of its own)."""
        try:
            for delivery in deliveries:
                self.intake.feed(delivery)
                if self.intake.stopping:
                    return
        except Stopping:
            return
        except Exception:  # whatever a feed's library raises: the others go on
            log.exception("the feed %s ends here", threading.current_thread().name)
        finally:
            self._wake()

    def _stream(self, source: Source) -> Iterator[Delivery]:
        """Yield what a feed brings that can be read only once."""
        assert self.settings is not None
        for chunk in source.chunks(self.settings.ingest.batch_points):
            for piece in pieces(chunk):
                yield self._delivery(source, piece)

    def _from_place(self, position: Position) -> Iterator[Delivery]:
        """Yield what a seekable feed brings from its position on."""
        begun, source, records = position.begun, position.source, position.at.records
        for chunk, offset in source.places(begun.batch_points, position.at.offset, records):
            end = Place(records + len(chunk), offset)
            for piece in pieces(chunk):
                origin = Origin(
                    self.name,
                    begun.incarnation,
                    records,
                    begun.batch_points,
                    begun.share,
                    durable=True,
                )
                records += len(piece)
                yield replace(
                    self._delivery(source, piece),
                    origin=origin,
                    feed=begun.feed,
                    end=end if records == end.records else None,
                )

    def _delivery(self, source: Source, piece: Chunk) -> Delivery:
        prepared = self.intake.prepare(piece)
        assert prepared is not None
        points, refused = prepared
        return Delivery(source.name, source.format, points, refused)

    def _serve_clients(self) -> None:
        assert self.settings is not None
        for _ in range(MESSAGES_PER_TURN):
            try:
                identity, *frames = self.clients.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(frames)
            except WireError as error:
                self.malformed += 1
                log.warning("a message of a client did not decode: %s", error)
                continue
            if isinstance(message, Push):
                room = self.outbox.courier.has_room and not self.ending
                self.pushes.take(identity, message, has_room=room)
                self._admit_requests()  # so that the next push sees how much room is left
            else:
                self.malformed += 1

    def _answer(self, identity: bytes, pushed: Pushed) -> None:
        try:
            self.clients.send_multipart([identity, *encode(pushed)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("a client is gone before its answer: %s", error)

    def _admit(self) -> None:
        """Take what threads have brought, as long as there is room."""
        while not self.intake.proposals.empty():
            self.proposed = self.intake.proposals.get()
            self.link.tell(self.proposed)
        self._admit_requests()
        while self.outbox.courier.has_room:
            try:
                self.outbox.take(self.intake.feeds.get_nowait())
            except queue.Empty:
                return

    def _admit_requests(self) -> None:
        while not self.intake.requests.empty():
            self.outbox.take(self.intake.requests.get())

    # -- workers --------------------------------------------------------------------------

    def _connect(self) -> None:
        if self.settings is not None and self.routes is not None:
            self.workers.connect(self.routes.workers)
            self.outbox.route(self.routes.workers)

    def _serve_workers(self, ready: dict[object, int], now: float) -> None:
        for name, message in self.workers.receive(ready):
            if not isinstance(message, Ack | Credit):
                continue
            batch = self.outbox.heed(name, message, now)
            if batch is not None:
                self.metrics.acknowledged(now - batch.first_sent_at)
                self.first_ack_s = self.first_ack_s or time.time()

    def _flush(self, now: float) -> None:
        self.outbox.courier.on_hold = not self._workers_are_there(now)
        for post in self.outbox.flush(now):
            self.workers.post(post.worker, post.message)

    def _workers_are_there(self, now: float) -> bool:
        """Return whether points may go out: all workers grant credit, or they have had time to.

        A fast feed would otherwise be stored whole by the worker that is up first.
        """
        assert self.settings is not None
        granted = sum(lane.window_bytes > 0 for lane in self.outbox.courier.lanes.values())
        if granted >= self.settings.cluster.workers or now - self._began > START_PATIENCE_S:
            self._began = float("-inf")  # from now on, whoever is there will do
            return True
        return False

    # -- facts and the end ----------------------------------------------------------------

    def _facts(self) -> dict[str, float]:
        if self.settings is None:
            return {}
        reading = any(reader.is_alive() for reader in self.readers)
        everything_safe = self.outbox.idle and self.intake.feeds.empty()
        finished = bool(self.feeds) and not reading and everything_safe
        facts = self.outbox.facts() | {
            "malformed": float(self.malformed + self.workers.malformed),
            "finished": float(finished),
            "first_ack_s": self.first_ack_s,
            "rate": self._rate[0],
        }
        lengths = [source.length for source in self.feeds]
        if lengths and None not in lengths and self._rate[0] > 0:
            left = sum(n for n in lengths if n is not None) - self.outbox.sent
            facts["sources_remaining_s"] = max(0.0, left / self._rate[0])
        return facts

    def _pulse(self, elapsed_s: float) -> tuple[dict[str, float], tuple[str, ...]]:
        """Return what a heartbeat tells."""
        acknowledged = self.outbox.courier.acknowledged
        self._rate = ((acknowledged - self._rate[1]) / max(elapsed_s, 1e-9), acknowledged)
        facts = self._facts()
        self.metrics.update(facts)
        self.metrics.lanes(self.outbox.courier.lanes, self.outbox.courier.waiting_bytes)
        self.metrics.handshakes(self.context.handshake_failures())
        if self.proposed is not None and self.intake.schema is None:
            self.link.tell(self.proposed)  # the coordinator may have been replaced before it agreed
        return facts, ()

    def _end(self) -> None:
        facts = self._facts()
        if facts.get("unacknowledged"):
            log.warning("%d points end without an answer", facts["unacknowledged"])
        self.link.leave(facts)
        self._close_http()
        self.directory.retract(self.name)
        self._close_metrics()
        end = time.monotonic() + READERS_END_S
        for reader in self.readers:  # their sockets are of this context
            reader.join(max(0.0, end - time.monotonic()))
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
