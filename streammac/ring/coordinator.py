"""The coordinator's side: who is in the ring, when training begins, what an epoch came to.

Messages in, actions out, like `streammac.ring.member.Member`. The coordinator is off the data path: it
makes views, agrees on the stream's schema, and gathers reports; the process round it (the shell in
``workers.coordinator``) publishes the models and answers status questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from streammac.config import Settings
from streammac.models.base import Array
from streammac.ring.continuation import Continuation
from streammac.ring.epochs import EpochBook, EpochResult
from streammac.ring.membership import Membership
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Drift,
    EpochPlan,
    EpochReport,
    Goodbye,
    Heartbeat,
    Register,
    Registered,
    Restart,
    Routes,
    StreamSchema,
    View,
)

QUIET_S = 2.0
"""A feed that stores nothing for so long has nothing to wait for: training begins with what is there."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the process with this socket identity."""

    identity: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Note:
    """Something an operator wants to read in the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """An epoch of the whole ring is done; its model can be published."""

    result: EpochResult


Order: TypeAlias = Tell | Note | Finished


class Coordinator:
    """State of the whole cluster, as far as one process needs to know it.

    Parameters
    ----------
    settings : Settings
        Shared settings, handed to everybody who registers.
    cluster : str
        Identity of the cluster.
    state : mapping, optional
        What `durable` returned when the cluster last ran in this directory.
    params : mapping, optional
        Tensors of the newest model version, to go on from.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: str,
        state: Mapping[str, Any] | None = None,
        params: Mapping[str, Array] | None = None,
    ) -> None:
        state = state or {}
        self.settings = settings
        self.cluster = cluster
        self.membership = Membership(settings.cluster.heartbeat_s)
        self.book = EpochBook()
        stream = settings.stream
        agreed = state.get("schema")
        self.schema = StreamSchema(**agreed) if agreed else None
        if self.schema is None and stream.dim and stream.dtype:
            self.schema = StreamSchema(stream.dim, stream.dtype)
        self.view: View | None = None
        self.views = int(state.get("view", 0))
        self.params = dict(params or {})
        going_on = bool(self.params)
        self.epoch = int(state.get("epoch", 0)) if going_on else 0
        """The next epoch that is not known to be complete."""
        self.plan = EpochPlan(**state["plan"]) if going_on else EpochPlan(fresh=True)
        self.version = 0
        self.result: EpochResult | None = None
        self.restart: Restart | None = None
        self.continuation = Continuation(
            settings.training.growth,
            enabled=not settings.training.deterministic,
            number=int(state.get("restart", 0)),
            points=int(state.get("restart_points", 0)) if going_on else 0,
            appended=int(state.get("restart_appended", 0)) if going_on else 0,
            drifts=int(state.get("drifts", 0)),
        )
        self.counters: dict[str, dict[str, float]] = dict(state.get("counters", {}))
        """Counters of each incarnation of an ingest node: they outlive the process."""
        self._stored = (0, 0.0)  # points stored, and since when
        self._viewed: frozenset[tuple[str, int]] = frozenset()

    def durable(self) -> dict[str, Any]:
        """Return what must survive a restart, JSON-serialisable."""
        return {
            "cluster": self.cluster,
            "schema": asdict(self.schema) if self.schema else None,
            "view": self.views,
            "epoch": self.epoch,
            "plan": asdict(self.plan),
            "restart": self.continuation.number,
            "restart_points": self.continuation.points,
            "restart_appended": self.continuation.appended,
            "drifts": self.continuation.drifts,
            "counters": self.counters,
        }

    # -- events ---------------------------------------------------------------------------

    def handle(self, identity: bytes, message: Message, now: float) -> list[Order]:
        """Take a message of the process with this socket identity."""
        match message:
            case Register():
                return self._register(identity, message, now)
            case Heartbeat():
                back = self.membership.hear(message, now)
                self._count(message.name, message.incarnation, message.facts)
                return self._members_changed(f"{message.name} is back") if back else []
            case Goodbye():
                left = self.membership.leave(message.name, message.incarnation, message.facts)
                self._count(message.name, message.incarnation, message.facts)
                return self._members_changed(f"{message.name} has left") if left else []
            case StreamSchema():
                return self._agree(message)
            case EpochReport():
                return self._report(identity, message)
            case Drift():
                return self._drift(message)
        return [Note(f"ignored a message that is not for a coordinator: {type(message).__name__}")]

    def tick(self, now: float) -> list[Order]:
        """Look after what only time tells: silent processes, and whether training can begin."""
        orders: list[Order] = []
        for name in self.membership.silence(now):
            orders += self._members_changed(f"{name} has been silent for too long")
        points = self.points_for_training
        if points != self._stored[0]:
            self._stored = (points, now)
        if self.view is None and self._can_begin(points, now):
            orders += self._new_view()
        return orders

    @property
    def points_for_training(self) -> int:
        """Points in the shards of all live workers, without the held-out ones."""
        facts = [peer.facts for peer in self.membership.of("worker")]
        return int(sum(f.get("points", 0) - f.get("held_out", 0) for f in facts))

    @property
    def _appended(self) -> int:
        facts = [peer.facts for peer in self.membership.of("worker")]
        return int(sum(f.get("appended", 0) for f in facts))

    # -- membership and views -------------------------------------------------------------

    def _register(self, identity: bytes, message: Register, now: float) -> list[Order]:
        new = self.membership.register(identity, message, now)
        orders: list[Order] = [
            Tell(identity, Registered(self.cluster, self.settings.model_dump_json()))
        ]
        if self.schema is not None:
            orders.append(Tell(identity, self.schema))
        if message.role == "ingest":
            orders.append(Tell(identity, Routes(self.membership.addresses("data"))))
        if new:
            orders += self._members_changed(f"{message.name} joined from {message.host}")
        return orders

    def _members_changed(self, why: str) -> list[Order]:
        routes = Routes(self.membership.addresses("data"))
        orders: list[Order] = [Note(why)]
        orders += [Tell(peer.identity, routes) for peer in self.membership.of("ingest")]
        if self.view is None or self._incarnations() == self._viewed:
            return orders
        return orders + self._new_view()

    def _incarnations(self) -> frozenset[tuple[str, int]]:
        workers = self.membership.of("worker")
        return frozenset((p.name, p.registration.incarnation) for p in workers)

    def _can_begin(self, points: int, now: float) -> bool:
        workers = self.membership.of("worker")
        if self.schema is None or len(workers) < self.settings.cluster.workers or points == 0:
            return False
        enough = points >= self.settings.training.start_points
        return enough or now - self._stored[1] > QUIET_S

    def _new_view(self) -> list[Order]:
        workers = self.membership.of("worker")
        if not workers:
            self.view = None  # training begins anew with the next worker
            return [Note("no worker is left: waiting for one")]
        self.views += 1
        self._viewed = self._incarnations()
        self.view = View(
            number=self.views,
            members=self.membership.addresses("ring"),
            epoch=self.epoch,
            plan=self.plan,
            version=self.version,
            tensors=self.params,
        )
        self.book.begin(self.views, [peer.name for peer in workers])
        names = ", ".join(peer.name for peer in workers)
        orders: list[Order] = [Note(f"view {self.views} from epoch {self.epoch}: {names}")]
        return orders + [Tell(peer.identity, self.view) for peer in workers]

    def _agree(self, proposal: StreamSchema) -> list[Order]:
        if self.schema is None:
            stream = self.settings.stream
            self.schema = StreamSchema(
                stream.dim or proposal.dim, stream.dtype or proposal.dtype, proposal.targets
            )
        everybody = self.membership.of("worker") + self.membership.of("ingest")
        return [Tell(peer.identity, self.schema) for peer in everybody]

    # -- learning -------------------------------------------------------------------------

    def _report(self, identity: bytes, report: EpochReport) -> list[Order]:
        orders: list[Order] = []
        if self.restart is not None and report.following.restart < self.restart.number:
            orders.append(Tell(identity, self.restart))
        result = self.book.add(report)
        if result is None or not result.params:
            return orders
        self.epoch, self.plan = result.epoch + 1, result.following
        self.params, self.result = dict(result.params), result
        orders.append(Finished(result))
        restart = self.continuation.grown(self.points_for_training, self._appended)
        return orders + self._order(restart, "new data")

    def _drift(self, vote: Drift) -> list[Order]:
        members = len(self.membership.of("worker"))
        restart = self.continuation.vote(
            vote.name, vote.epoch, members, self.points_for_training, self._appended
        )
        note = Note(f"{vote.name} reports drift: reconstruction error {vote.error:.4g}")
        return [note, *self._order(restart, "drift")]

    def _order(self, restart: Restart | None, why: str) -> list[Order]:
        if restart is None:
            return []
        self.restart = restart
        orders: list[Order] = [Note(f"restart {restart.number} of the continuation: {why}")]
        return orders + [Tell(p.identity, restart) for p in self.membership.of("worker")]

    def _count(self, name: str, incarnation: int, facts: Mapping[str, float]) -> None:
        peer = self.membership.peers.get(name)
        if peer is not None and peer.registration.role == "ingest":
            counters = ("sent", "dead_lettered", "duplicate")
            self.counters[f"{name}/{incarnation}"] = {c: facts.get(c, 0.0) for c in counters}
