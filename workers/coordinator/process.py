"""The coordinator process: sockets, clock and files round the coordinator's state machine.

``streammac coordinator`` calls `run`. It registers members, issues views, gathers reports, answers status
questions, and hands finished epochs to the publisher thread. Points never pass through it, except
for the few that are held out as the held-out sample.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
import uuid
from typing import Any

import zmq

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.coordinator_actions import Action, Finished, Note, Tell
from streammac.coordinator.events import Event
from streammac.coordinator.status import status
from streammac.link.http_server import serve
from streammac.publishing.publisher import Publisher
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory, write_json
from streammac.security import SecureContext, open_context
from streammac.settings.schema import Settings
from streammac.telemetry.exporter import CoordinatorMetrics
from streammac.wire.codec import Message
from streammac.wire.messages import (
    HeldOutPoints,
    ModelReply,
    ModelRequest,
    StatusReply,
    StatusRequest,
    Stop,
)
from streammac.wire.sockets import MessageSocket
from workers.coordinator.http import application
from workers.coordinator.live import Live
from workers.coordinator.targets import targets
from workers.coordinator.watch import Watch

log = logging.getLogger(__name__)

TURN_S = 0.1
DOUBT_S = 0.02
"""Longest wait while a connection is broken, and may come back."""
WATCHED = {"worker": "ring", "ingest": "client"}
"""The socket of each kind of process that the coordinator keeps a connection to."""
SERIOUS = (
    "lost",
    "ingest_lost",
    "returned",
    "recovered",
    "stall",
    "disk_full",
    "quarantined",
    "malformed",
)
"""Events that are warnings in the log, so that ``--quiet`` has them: who is excluded or back, and why."""
SAVE_S = 1.0
"""Longest time for which the durable state on disk lags behind."""
MESSAGES_PER_TURN = 1000


class CoordinatorProcess:
    """One coordinator process.

    Parameters
    ----------
    directory : RunDirectory
        Durable state, versions.
    settings : Settings
        Shared settings.
    """

    def __init__(self, directory: RunDirectory, settings: Settings) -> None:
        self.directory = directory
        self.started = time.time()
        self.versions = VersionStore(directory.models, settings.publish.keep)
        state = self._load()
        newest = self.versions.newest
        params = self.versions.load(newest).tensors if newest else {}
        self.core = Coordinator(settings, state.get("cluster", uuid.uuid4().hex), state, params)
        self.core.progress.version = newest
        network = settings.network
        self.context: SecureContext = open_context(directory.keys, insecure=network.insecure)
        control = self.context.socket(zmq.ROUTER)
        control.router_mandatory = True
        control.router_handover = True
        control.linger = 1000
        control.bind(f"tcp://{network.host}:{network.coordinator_port or '*'}")
        self.address = control.get_string(zmq.LAST_ENDPOINT)
        self.control = MessageSocket(control, "a member or client", Message, most=MESSAGES_PER_TURN)
        self.poller = zmq.Poller()
        self.poller.register(control, zmq.POLLIN)
        self.watch = Watch(self.context, self.poller)
        self.metrics = CoordinatorMetrics()
        self.metrics_url, self._close_metrics = self.metrics.serve(network.http_host)
        self.live = Live(directory)
        self.http_url, self._close_http = serve(
            application(self.live), network.http_host, network.http_port
        )
        self.publisher = Publisher(settings, self.versions)
        self.ending = False
        self._saved = self.core.fences

    def _load(self) -> dict[str, Any]:
        path = self.directory.coordinator_state
        if not path.exists():
            return {}
        state: dict[str, Any] = json.loads(path.read_text())
        log.info("resuming: epoch %d, view %d", state["epoch"], state["view"])
        return state

    # -- the loop -------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        self.publisher.start()
        self.directory.announce(
            "coordinator",
            {
                "control": self.address,
                "metrics_url": self.metrics_url,
                "http_url": self.http_url,
            },
        )
        saved = 0.0
        while not self.ending:
            self.poller.poll(int((DOUBT_S if self.watch.doubtful else TURN_S) * 1000))
            now = time.monotonic()
            self._serve(now)
            for (name, incarnation), since in self.watch.broken(now):
                self._do(self.core.disconnected(name, incarnation, since, now))
            self._do(self.core.tick(now))
            self._watch_all()
            publisher = self.publisher
            self._do(self.core.published(publisher.version, publisher.current, publisher.reason))
            self.live.step(now, self.status, lambda: targets(self.core, self.metrics_url))
            if now - saved >= SAVE_S:
                saved = now
                self._save()
                self.metrics.update(self.status() | {"malformed": self.control.malformed})
                self.metrics.events(self.core.events.counts)
                self.metrics.handshakes(self.context.handshake_failures())
        self._end()
        return 0

    def stop(self) -> None:
        """End the loop after this turn."""
        self.ending = True

    def _serve(self, now: float) -> None:
        for identity, message in self.control.receive():
            match message:
                case StatusRequest():
                    self.control.send(StatusReply(json.dumps(self.status())), identity)
                case ModelRequest():
                    self.control.send(self._model(message.version), identity)
                case HeldOutPoints():
                    self.publisher.observe(message.tensors)
                case _:
                    self._do(self.core.handle(identity, message, now))

    def _watch_all(self) -> None:
        peers = [p for p in self.core.membership.peers.values() if p.here]
        self.watch.keep(
            (
                (peer.name, peer.incarnation),
                peer.registration.addresses.get(WATCHED[peer.registration.role], ""),
            )
            for peer in peers
        )

    def _do(self, orders: list[Action]) -> None:
        if orders and self.core.fences != self._saved:
            self._save()
            self._saved = self.core.fences
        for order in orders:
            match order:
                case Tell():
                    self.control.send(order.message, order.identity)
                case Note():
                    if order.event.kind == "recovered":
                        self.metrics.recovered(order.event.seconds)
                    _log_event(order.event)
                case Finished():
                    points = status(self.core)["points"]["stored"]
                    self.metrics.epoch_done(order.result)
                    self.publisher.offer(order.result, points)

    # -- answers --------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return the cluster's status (docs/status.md)."""
        publisher = self.publisher
        return status(self.core) | {
            "coordinator": {
                "pid": os.getpid(),
                "address": self.address,
                "metrics_url": self.metrics_url,
                "http_url": self.http_url,
            },
            "model_version": publisher.version,
            "promoted": publisher.current,
            "quality": publisher.quality,
            "promotion": publisher.reason,
            "started_s": self.started,
            "first_model_s": publisher.first_model_s,
        }

    def _model(self, version: int) -> ModelReply:
        wanted = version or self.publisher.current
        if wanted not in self.versions.list():
            return ModelReply(0, "", {})
        found = self.versions.load(wanted)
        return ModelReply(wanted, json.dumps(found.metadata), found.tensors)

    # -- the end --------------------------------------------------------------------------

    def _save(self) -> None:
        # epoch and plan belong to the newest version on disk: a restart goes on from there
        state = self.core.durable()
        if self.publisher.resume is not None:
            state |= self.publisher.resume
        write_json(self.directory.coordinator_state, state)

    def _end(self) -> None:
        for peer in self.core.membership.peers.values():
            if peer.here:
                self.control.send(Stop("the coordinator ends"), peer.identity)
        self.core.views.ring = {}  # who comes next begins from the newest version
        self.publisher.stop()
        self._save()
        self.directory.retract("coordinator")
        self.live.close(self.status())
        self._close_http()
        self._close_metrics()
        self.watch.close()
        self.control.socket.close()
        self.context.term()


def _log_event(event: Event) -> None:
    """Write an event to the log, in JSON with its fields; who is excluded, and why, is a warning."""
    words = " ".join(filter(None, (event.kind, event.name, event.text)))
    fields: dict[str, object] = {"event": event.kind, "about": event.name, "reason": event.text}
    fields |= {"seconds": event.seconds} if event.seconds else {}
    log.log(logging.WARNING if event.kind in SERIOUS else logging.INFO, "%s", words, extra=fields)


def run(directory: RunDirectory, settings: Settings) -> int:
    """Run the coordinator until it is told to stop; return the exit code."""
    process = CoordinatorProcess(directory, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    return process.run()
