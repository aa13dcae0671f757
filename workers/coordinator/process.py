"""The coordinator process: sockets, clock and files round the coordinator's state machine.

``streammac coordinator`` calls `run`. It registers members, issues views, gathers reports, answers status
questions, and hands finished epochs to the publisher thread. Points never pass through it, except
for the few that are held out as the held-out sample.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
import uuid
from typing import Any, Literal

import zmq
from msgspec.structs import replace

from streammac.allocator import spare_what_is_loaded
from streammac.coordinator.awake_clock import AwakeClock
from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.coordinator_actions import Action, Finished, Note, Tell
from streammac.coordinator.events import BY_ANYBODY
from streammac.coordinator.health import Health
from streammac.coordinator.progress import resumed
from streammac.coordinator.status import points, status
from streammac.files import document
from streammac.files.writes import Writes
from streammac.link.claim import Claim
from streammac.link.http_server import serve_process
from streammac.link.interrupt import Interrupt
from streammac.publishing.inquiry import Stored
from streammac.publishing.publisher import Publisher
from streammac.publishing.versions import VersionError, VersionStore
from streammac.run_directory import RunDirectory
from streammac.security import open_context, share_seal
from streammac.settings.schema import Settings
from streammac.telemetry.exporter import CoordinatorMetrics
from streammac.wire.messages import (
    HeldOutPoints,
    ModelReply,
    ModelRequest,
    PinReply,
    PinVersion,
    ProbeAnswer,
    StatusReply,
    StatusRequest,
    Stop,
)
from streammac.wire.sockets import worth_saying
from streammac.wire.status import ClusterStatus, CoordinatorStatus, Event, to_json
from workers.coordinator.control_socket import ControlSocket
from workers.coordinator.durable_state import DurableState
from workers.coordinator.http import routes
from workers.coordinator.live import Live
from workers.coordinator.targets import targets
from workers.coordinator.watch import Watch

log = logging.getLogger(__name__)

WATCHED: dict[str, Literal["ring", "client"]] = {"worker": "ring", "ingest": "client"}
"""The socket of each kind of process that the coordinator keeps a connection to."""
SERIOUS = (
    "lost",
    "ingest_lost",
    "refused",
    "returned",
    "recovered",
    "stall",
    "disk_full",
    "damaged",
    "quarantined",
    "malformed",
    "step_failed",
    "outliers",
    "not_published",
    "unusable",
    "feed_failed",
    "feed_refused",
    "letters_lost",
)
"""Events that are warnings in the log, so that ``--quiet`` has them: who is excluded or back, and why."""
FAREWELL_S = 18.0
"""At the end, so long is waited for the last words of all others."""
SAVE_S = 1.0
"""Longest time for which the durable state on disk lags behind, unless the disk takes nothing."""


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
        versions = VersionStore(directory.models, settings.publish.keep)
        state, damage = self._load()
        found, unusable = versions.resumption()
        params = found.tensors if found else {}
        if found is not None:
            state = resumed(state, found.metadata.get("next", {}))
        cluster = state.get("cluster") or directory.cluster or uuid.uuid4().hex
        self.core = Coordinator(settings, cluster, state, params)
        network = settings.network
        self.context = open_context(directory.keys, insecure=network.insecure)
        share_seal(self.context.keys)
        self.control = ControlSocket(self.context, network)
        poller = zmq.Poller()
        poller.register(self.control.socket, zmq.POLLIN)
        self.watch = Watch(self.context, poller)
        self.metrics = CoordinatorMetrics()
        self.writes = Writes(lambda kind, text: _log_event(self.core.note(kind, "", text).event))
        self.live = Live(directory, self.writes)
        url, self._close_http = serve_process(
            self.metrics, self.live.pulse, network, *routes(self.live)
        )
        self.own = CoordinatorStatus(os.getpid(), self.control.address, f"{url}/metrics", url)
        self.publisher = Publisher(settings, versions)
        there = self.publisher.published
        self.core.progress.published = (there.version, there.current, there.pinned)
        self.health = Health()
        self.interrupt = Interrupt()
        path = directory.coordinator_state
        self.durable = DurableState(path, self.writes, self.core.fences if state else None)
        for text in filter(None, (damage, versions.damage)):
            self._do([self.core.note("damaged", "", text)])
        if unusable:
            what = f"goes on from version {found.metadata['version']}" if found else "begins anew"
            self._do([self.core.note("unusable", "", f"training {what}: {unusable}")])

    def _load(self) -> tuple[dict[str, Any], str]:
        """Return what was remembered, and what is wrong with it."""
        found = document.load(self.directory.coordinator_state)
        if found is None:
            lost = any(self.directory.shards.glob("*/*.journal"))
            text = "is missing: what was counted in former runs is not known any more, and training begins anew"
            return {}, f"{self.directory.coordinator_state.name} {text}" if lost else ""
        state = dict(found.content)
        if found.damage:
            # of the view that the damaged one may have spoken of there must be no second
            state["view"] += 1
        log.info("resuming: epoch %d, view %d", state["epoch"], state["view"])
        return state, found.damage

    # -- the loop -------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until it is asked to end and all others have, or it is asked twice; return the exit code."""
        self.publisher.start()
        self.live.pulse.unready = self.core.waiting or ""  # who finds its address may ask at once
        spare_what_is_loaded()
        facts = {
            "control": self.own.address,
            "metrics_url": self.own.metrics_url,
            "http_url": self.own.http_url,
        }
        self.writes.do(
            "processes/coordinator.json", lambda: self.directory.announce("coordinator", facts)
        )
        saved, clock = 0.0, AwakeClock()
        end_by = math.inf
        while not self.interrupt.insisted:
            self.watch.wait()
            now = clock.turn()
            if self.interrupt.requested and end_by == math.inf:
                end_by = now + FAREWELL_S
                self._do(self.core.end())
            if end_by < math.inf and (self.core.deserted or now > end_by):
                break
            self._serve(now)
            self.live.pulse.turn()
            self.live.pulse.unready = self.core.waiting or ""
            for (name, incarnation), since in self.watch.broken(now):
                self._do(self.core.disconnected(name, incarnation, since, now))
            self._do(self.core.tick(now))
            self._watch_all()
            self._do(self._published(now))
            self._do(self.core.judged(self.publisher.verdict, now))
            self._ask()
            self.live.step(now, self.status, lambda: targets(self.core, self.own.metrics_url))
            if now - saved >= SAVE_S:
                saved = now
                self._save()
                self._do([])
                self._see_points()
                self.writes.do("models", self.publisher.check)
                self.metrics.update(self.status(), self.control.malformed)
                self.metrics.events(self.core.events.counts)
                self.metrics.handshakes(self.context.handshake_failures())
        self._end()
        return 0

    def _serve(self, now: float) -> None:
        for identity, message in self.control.receive():
            match message:
                case StatusRequest():
                    self.control.send(StatusReply(to_json(self.status())), identity)
                case ModelRequest():
                    self.control.send(self._model(message.version), identity)
                case PinVersion():
                    self.control.send(self._pin(message.version), identity)
                case HeldOutPoints() if self.core.membership.is_from(identity, message.name):
                    self._observe(message)
                case ProbeAnswer() if self.core.membership.is_from(identity, message.name):
                    self._answered(message)
                case _:
                    self._do(self.core.handle(identity, message, now))

    def _published(self, now: float) -> list[Action]:
        there = self.publisher.published
        waited_s = self.core.progress.freshness.published(there.examined, now)
        if waited_s is not None:
            self.metrics.published(waited_s)
        return self.core.published(
            there.judged, there.current, there.reason, there.trouble, pinned=there.pinned
        )

    def _observe(self, message: HeldOutPoints) -> None:
        schema, tensors = self.core.schema, message.tensors
        wanted = {"x": (schema.dim,)} if schema else {}
        if schema and schema.targets:
            wanted["y"] = (schema.targets,)
        if not wanted or {name: array.shape[1:] for name, array in tensors.items()} != wanted:
            text = "held-out points that are not of this stream: refused"
        elif refused := self.publisher.observe(tensors):
            text = f"{refused} held-out points are not finite or out of range: refused"
        else:
            return
        self._do([self.core.note("malformed", message.name, text)])

    def _see_points(self) -> None:
        """Tell those that measure of what queries are to tell: of the stored points, and of those since a drift."""
        now = points(self.core)
        drifted = self.core.progress.continuation.rule.drifted_ever
        self.publisher.prober.held_out.see(now.accepted, now.stored + now.away, drifted)

    def _answered(self, answer: ProbeAnswer) -> None:
        refused = self.publisher.prober.inquiry.answer(answer)
        if refused:
            self._do([self.core.note("malformed", answer.name, refused)])

    def _ask(self) -> None:
        """Send what the publisher asks the workers."""
        inquiry = self.publisher.prober.inquiry
        inquiry.see(stored(self.core))
        for name, question in inquiry.take():
            peer = self.core.membership.peers.get(name)
            if peer is not None:
                self.control.send(question, peer.identity)

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
        """Carry out orders, as far as what they rest on is on disk."""
        if orders and not self.durable.covers(self.core.fences):
            self._save()
        for order in self.durable.release(orders, self.core.fences):
            match order:
                case Tell():
                    self.control.send(order.message, order.identity)
                case Note():
                    if order.event.kind == "recovered":
                        self.metrics.recovered(order.event.seconds)
                    kind = order.event.kind
                    if kind not in BY_ANYBODY or worth_saying(self.core.events.counts[kind]):
                        _log_event(order.event)
                case Finished():
                    self.metrics.epoch_done(order.result)
                    self.publisher.offer(order.result, points(self.core).stored)

    # -- answers --------------------------------------------------------------------------

    def status(self) -> ClusterStatus:
        """Return the cluster's status (docs/status.md)."""
        published = self.publisher.published
        known = replace(
            status(self.core),
            started_s=self.started,
            coordinator=replace(self.own, unsaved=self.writes.trouble),
            model_version=published.version,
            promoted=published.current,
            promotion=published.reason,
            pinned=published.pinned,
            examined_s=published.examined_s,
            first_model_s=published.first_s,
            quality=published.quality,
        )
        return replace(known, answers=self.health.answers(known, time.monotonic()))

    def _pin(self, version: int) -> PinReply:
        reason = ""
        try:
            if version:
                self.publisher.pin(version)
            else:
                self.publisher.unpin()
        except (VersionError, OSError) as error:
            reason = str(error)
        return PinReply(self.publisher.published.current, reason)

    def _model(self, version: int) -> ModelReply:
        wanted, versions = version or self.publisher.published.current, self.publisher.versions
        if wanted not in versions.list():
            return ModelReply(0, "", {})
        try:
            found = versions.load(wanted)
        except VersionError as error:
            log.error("%s", error)
            return ModelReply(0, "", {})
        return ModelReply(wanted, json.dumps(found.metadata), found.tensors)

    # -- the end --------------------------------------------------------------------------

    def _save(self) -> None:
        self.durable.save(self.core.durable(), self.core.fences)

    def _end(self) -> None:
        for peer in self.core.membership.peers.values():
            if peer.here:
                self.control.send(Stop("the coordinator ends"), peer.identity)
        self.core.views.ring = {}  # who comes next begins from the newest version
        self.publisher.stop()
        self._save()
        self.directory.retract("coordinator")
        last = self.status()
        self.live.close(replace(last, answers=self.health.ended(last)))
        self._close_http()
        self.watch.close()
        self.control.socket.close()
        self.context.term()


def stored(core: Coordinator) -> Stored:
    """Return which workers can be asked, and how many points they have."""
    points = core.membership.shards
    ready = [peer for peer in core.membership.of("worker") if peer.ready]
    counts = {(peer.name, peer.incarnation): points[peer.name] for peer in ready}
    shards = [peer.worker.shard for peer in ready if peer.worker.shard is not None]
    return Stored(counts, sum(shard.appended for shard in shards))


def _log_event(event: Event) -> None:
    """Write an event to the log, in JSON with its fields; who is excluded, and why, is a warning."""
    words = " ".join(filter(None, (event.kind, event.name, event.text)))
    fields: dict[str, object] = {"event": event.kind, "about": event.name, "reason": event.text}
    fields |= {"seconds": event.seconds} if event.seconds else {}
    log.log(logging.WARNING if event.kind in SERIOUS else logging.INFO, "%s", words, extra=fields)


def run(directory: RunDirectory, settings: Settings) -> int:
    """Run the coordinator until it is to end; return the exit code."""
    claim = Claim.take(directory, "coordinator")
    process = CoordinatorProcess(directory, settings)
    process.interrupt.catch()
    code = process.run()
    claim.release()
    return code
