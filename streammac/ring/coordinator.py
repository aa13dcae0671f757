"""The coordinator's side: who is in the ring, when training begins, what an epoch came to.

Messages in, actions out, like `streammac.ring.member.Member`. The coordinator is off the data path: it
makes views, agrees on the stream's schema, and gathers reports; the process round it (the shell in
``workers.coordinator``) publishes the models and answers status questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from streammac.config import Settings
from streammac.models.base import Array
from streammac.ring.accounts import Accounts
from streammac.ring.balance import Balance
from streammac.ring.continuation import Continuation
from streammac.ring.epochs import EpochBook, EpochResult
from streammac.ring.events import Event, EventLog
from streammac.ring.links import Links, broken
from streammac.ring.membership import Membership, Peer, address
from streammac.ring.rebalance import Rebalance, Transfer
from streammac.ring.stall import StallWatch
from streammac.ring.views import ViewChange
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Drain,
    DrainReply,
    DrainRequest,
    Drift,
    EpochPlan,
    EpochReport,
    Goodbye,
    Heartbeat,
    Holdings,
    Introduce,
    Leaving,
    Move,
    Register,
    Registered,
    Restart,
    Route,
    Routes,
    Shutdown,
    Stop,
    StreamSchema,
    View,
    Working,
)

QUIET_S = 2.0
"""A feed that stores nothing for so long has nothing to wait for: training begins with what is there."""
BANNED_S = 30.0
"""A worker that the others do not reach is kept out of the ring for so long."""
BALANCE_S = 2.0
"""Time between two looks at the shares of the feed."""
RETURN_S = 3.0
"""A coordinator that was restarted waits so long for the members of the ring to register again."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the process with this socket identity."""

    identity: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Note:
    """Something happened that an operator wants to know."""

    event: Event


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
        self.book = EpochBook(state.get("began", {}))
        stream = settings.stream
        agreed = state.get("schema")
        self.schema = StreamSchema(**agreed) if agreed else None
        if self.schema is None and stream.dim and stream.dtype:
            self.schema = StreamSchema(stream.dim, stream.dtype)
        self.change: ViewChange | None = None
        """The newest view; None before training begins, and when nobody is left."""
        self.views = int(state.get("view", 0))
        self.ring: dict[str, int] = dict(state.get("ring", {}))
        """Who carries the ring's state: names and incarnations."""
        self.expected_until: float | None = None
        self.expected = set(self.ring)
        """Members of the ring that have not registered since this coordinator was started."""
        self._begun = False
        self.ending = False
        self.events = EventLog()
        none = {"crash": 0, "hang": 0, "drained": 0, "fenced": 0, "unreachable": 0}
        self.failures: dict[str, int] = none | state.get("failures", {})
        never = {"count": 0, "last_s": 0.0, "seconds": 0.0}
        self.recoveries: dict[str, float] = never | state.get("recoveries", {})
        self._lost_at: float | None = None
        """When the first member died whose loss the ring has not recovered from yet."""
        self._view_at = 0.0
        self._turned = 0
        """The newest view in which a visit was finished."""
        self.stall = StallWatch()
        self.links = Links()
        self._stalled_view = 0
        """The view that was made because nothing moved."""
        self.balance = Balance()
        self._balance_at = 0.0
        self.rebalance = Rebalance()
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
            due=list(state.get("restarts_due", [])) if going_on else [],
        )
        self.accounts = Accounts(**state.get("accounts", {}))
        self._stored = (0, 0.0)  # points stored, and since when
        if self.expected:
            self.events.add("coordinator_restarted", "", "the ring is expected to be as it was")

    def durable(self) -> dict[str, Any]:
        """Return what must survive a restart, JSON-serialisable."""
        return {
            "cluster": self.cluster,
            "schema": asdict(self.schema) if self.schema else None,
            "view": self.views,
            "ring": self.ring,
            "began": self.book.began,
            "epoch": self.epoch,
            "plan": asdict(self.plan),
            "restart": self.continuation.number,
            "restart_points": self.continuation.points,
            "restart_appended": self.continuation.appended,
            "drifts": self.continuation.drifts,
            "restarts_due": self.continuation.due,
            "accounts": self.accounts.to_json(),
            "failures": self.failures,
            "recoveries": self.recoveries,
        }

    @property
    def fences(self) -> tuple[int, Mapping[str, int], Mapping[str, int], frozenset[str]]:
        """What must be on disk before any order goes out, whatever happens.

        A view's number is never used twice, and whoever may hand over points is known to.
        """
        return self.views, self.ring, self.book.began, self.accounts.handing

    @property
    def view(self) -> View | None:
        """The newest view, None where there is none."""
        return self.change.view if self.change is not None else None

    # -- what happens ---------------------------------------------------------------------

    def handle(self, identity: bytes, message: Message, now: float) -> list[Order]:
        """Take a message of the process with this socket identity."""
        match message:
            case Register():
                return self._register(identity, message, now)
            case Heartbeat():
                return self._hear(identity, message, now)
            case Holdings():
                return self._answered(message, now)
            case Working():
                return self._turns(message, now)
            case Goodbye():
                return self._goodbye(message, now)
            case Leaving():
                return self._leaving(message, now)
            case DrainRequest():
                return self._drain(identity, message, now)
            case Shutdown():
                self.ending = True
                return [Tell(identity, message)]
            case StreamSchema():
                return self._agree(message)
            case EpochReport():
                return self._report(identity, message)
            case Drift():
                return self._drift(message, now)
        text = f"ignored a message that is not for a coordinator: {type(message).__name__}"
        return [self.note("malformed", "", text)]

    def tick(self, now: float) -> list[Order]:
        """Look after what only time tells: silent processes, and whether training can begin."""
        if self.ending:
            return []  # who ends may be silent, and nobody counts on it any more
        orders: list[Order] = []
        for peer in self.membership.silence(now):
            orders += self._lost(peer, "hang", peer.signs.last, now)
        points = self.points_for_training
        if points != self._stored[0]:
            self._stored = (points, now)
        if self.expected:
            self.expected_until = self.expected_until or now + RETURN_S
            if now > self.expected_until:
                self.expected.clear()
                orders += self._members_changed(now)
        orders += self._rebalance(now)
        if self.change is None and self._can_begin(points, now):
            orders += self._new_view(now)
        elif self.change is not None and self.stall.stalled(self.change, self.membership, now):
            text = "nothing moves and nobody works: a token may be lost"
            orders += [self.note("stall", "", text), *self._new_view(now)]
            self._stalled_view = self.views
        return orders

    def disconnected(self, name: str, incarnation: int, since: float, now: float) -> list[Order]:
        """Take notice that the connection to a process broke some time ago and did not come back."""
        peer = self.membership.lose(name, incarnation)
        return self._lost(peer, "crash", since, now) if peer is not None else []

    def published(self, version: int, promoted: int, reason: str) -> list[Order]:
        """Take notice of the newest model version, and which one is the current one."""
        if version == self.version:
            return []
        self.version = version
        kind = "promoted" if promoted == version else "kept_back"
        return [self.note(kind, "", f"version {version}: {reason}")]

    def note(self, kind: str, name: str, text: str, seconds: float = 0.0) -> Note:
        """Remember an event, and return it for the log."""
        return Note(self.events.add(kind, name, text, seconds))

    @property
    def points_for_training(self) -> int:
        """Points in the shards of all live workers, without the held-out ones."""
        facts = [peer.facts for peer in self.membership.of("worker")]
        return int(sum(f.get("points", 0) - f.get("held_out", 0) for f in facts))

    @property
    def _appended(self) -> int:
        facts = [peer.facts for peer in self.membership.of("worker")]
        return int(sum(f.get("appended", 0) for f in facts))

    # -- who is there ---------------------------------------------------------------------

    def _register(self, identity: bytes, message: Register, now: float) -> list[Order]:
        known = self.membership.find(message.name, message.incarnation) is not None
        news = self.membership.register(identity, message, now)
        settings, turning = self.settings.model_dump_json(), self.change is not None
        orders: list[Order] = [Tell(identity, Registered(self.cluster, settings, turning))]
        if self.schema is not None:
            orders.append(Tell(identity, self.schema))
        if message.role == "ingest":
            orders.append(Tell(identity, Routes(self._routes())))
        if self.ring.get(message.name) != message.incarnation:
            self.expected.discard(message.name)
        if news:
            kind = "ingest_joined" if message.role == "ingest" else "joined"
            joined = self.note(kind, message.name, f"from {message.host}")
            orders.append(self._returned(message.name) if known else joined)
            orders += self._members_changed(now)
        return orders

    def _returned(self, name: str) -> Note:
        self.failures["fenced"] += 1
        return self.note("returned", name, "was taken for lost, and begins anew with its points")

    def _hear(self, identity: bytes, beat: Heartbeat, now: float) -> list[Order]:
        known = self.membership.find(beat.name, beat.incarnation)
        before = known.facts if known is not None else {}
        moved = (known.moves, known.giving) if known is not None else (False, False)
        back = self.membership.hear(beat, now)
        if back is None:
            return [Tell(identity, Introduce())]
        handing = self.accounts.handing
        self._count(beat.name, beat.incarnation, beat.facts)
        if self.membership.peers[beat.name].ready:
            self.expected.discard(beat.name)
        orders: list[Order] = [*self._troubles(beat.name, before, beat.facts)]
        if back:
            orders.append(self._returned(beat.name))
        if known is not None and beat.facts.get("leaving") and known.state == "alive":
            # this coordinator was restarted, or the word was lost
            orders += self._leaving(Leaving(beat.name, beat.incarnation), now)
        if known is not None and (known.moves, known.giving) != moved:
            if moved[1] and not known.giving and known.state == "alive":
                text = f"{beat.facts.get('moved', 0):,.0f} points are with others since it began"
                orders.append(self.note("moved", beat.name, text))
            orders += self._tell_routes()
        elif self.accounts.handing != handing:  # a former process of its name may have
            orders += self._tell_routes()
        if known is not None and known.unheard(now):
            orders += self._tell_move(known)
        if self.change is not None and self.change.members.get(beat.name) == beat.incarnation:
            seen, frozen = int(beat.facts.get("view", 0)), beat.facts.get("frozen", 0) > 0
            missed = self.change.reminder(beat.name, seen, frozen=frozen)
            if missed is not None:
                orders.append(Tell(identity, missed))
        elif self.change is not None and self.membership.peers[beat.name].state == "draining":
            # it was taken for lost while it left, and waits for a ring that goes on without it
            orders.append(Tell(identity, self.change.view))
        return orders + self._members_changed(now, routes=back)

    def _troubles(
        self, name: str, before: Mapping[str, float], now: Mapping[str, float]
    ) -> list[Note]:
        """Return what a worker has to tell of its disk."""
        notes = []
        if now.get("refusing", 0) > before.get("refusing", 0):
            text = "takes no points, and goes on training: its disk is full or fails"
            notes.append(self.note("disk_full", name, text))
        if now.get("quarantined", 0) > before.get("quarantined", 0):
            text = f"{now['quarantined']:.0f} damaged segments are set aside"
            notes.append(self.note("quarantined", name, text))
        return notes

    def _goodbye(self, message: Goodbye, now: float) -> list[Order]:
        peer = self.membership.find(message.name, message.incarnation)
        if peer is None or peer.state == "left":
            return []
        drained = peer.drained = peer.state == "draining"
        self.membership.leave(message.name, message.incarnation, message.facts)
        self._count(message.name, message.incarnation, message.facts)
        self.failures["drained"] += drained
        ingest = peer.registration.role == "ingest"
        if ingest and not message.facts.get("unacknowledged"):
            self.accounts.end_feed(message.name, message.incarnation)
        kind = "ingest_left" if ingest else "left"
        text = _farewell(message.facts) if drained else "ended in good order"
        return [self.note(kind, peer.name, text), *self._members_changed(now)]

    def _lost(
        self, peer: Peer, reason: Literal["crash", "hang"], since: float, now: float
    ) -> list[Order]:
        self.failures[reason] += 1
        ingest = peer.registration.role == "ingest"
        if peer.name in self.ring and self._lost_at is None:
            self._lost_at = since
        how = {"crash": "its connection broke", "hang": "its last sign of life was"}[reason]
        text = f"{reason}: {how} {now - since:.2f} s ago"
        note = self.note("ingest_lost" if ingest else "lost", peer.name, text)
        return [note, *self._members_changed(now)]

    def _leaving(self, message: Leaving, now: float) -> list[Order]:
        """Let a worker go: out of the routes at once, out of the ring with the next view."""
        peer = self.membership.find(message.name, message.incarnation)
        if peer is None:
            return []
        if self.ending:
            return [Tell(peer.identity, Stop("the cluster ends"))]
        if peer.state != "alive":
            return []
        peer.state = "draining"
        return [self.note("draining", peer.name, ""), *self._members_changed(now)]

    def _drain(self, identity: bytes, request: DrainRequest, now: float) -> list[Order]:
        peer = self.membership.peers.get(request.name)
        others = [p for p in self.membership.of("worker") if p.name != request.name]
        reason = ""
        if peer is None or peer.registration.role != "worker" or not peer.here:
            known = ", ".join(p.name for p in self.membership.of("worker"))
            reason = f"no worker {request.name!r} is running: there are {known or 'none'}"
        elif request.points == "move" and not others:
            reason = f"{request.name} is the only worker: nobody is there to take its points"
        if peer is None or reason:
            return [Tell(identity, DrainReply(False, reason))]
        drain = Drain(request.deadline_s, request.points)
        told: list[Order] = [Tell(peer.identity, drain)]
        if request.points != "keep":
            told = self._let_move(peer, drain, now)
        return [Tell(identity, DrainReply(True)), *told]

    def _let_move(self, peer: Peer, order: Drain | Move, now: float) -> list[Order]:
        """Have a worker hand over points, and tell it first all that it has to know for that."""
        peer.obey(order, now)
        self.accounts.may_hand(peer.name)
        return self._tell_move(peer)

    def _tell_move(self, peer: Peer) -> list[Order]:
        assert peer.order is not None
        return [*self._tell_routes(), Tell(peer.identity, peer.order)]

    # -- views ----------------------------------------------------------------------------

    def _members_changed(self, now: float, *, routes: bool = True) -> list[Order]:
        """Tell ingest nodes who takes points; make a view if the ring is not what it should be."""
        orders: list[Order] = []
        if routes:
            orders += self._tell_routes()
        if self.ending or self.expected:
            return orders
        if self.change is None:
            peers = self.membership.peers.values()
            carried = any(p.here and self.ring.get(p.name) == p.incarnation for p in peers)
            return orders + (self._new_view(now) if carried else [])
        wanted = {p.name: p.incarnation for p in self.membership.of("worker") if p.ready}
        present = {name: self.change.members[name] for name in self.change.names}
        if wanted == present and not self._is_let_down():
            return orders
        return orders + self._new_view(now)

    def _is_let_down(self) -> bool:
        """Return whether somebody is gone whom the view counts on besides its members: one that leaves."""
        assert self.change is not None
        peers = self.membership.peers
        if self.change.resume is None:
            return any(not peers[name].here for name in self.change.carriers)
        return any(peers[name].state == "lost" for name in self.change.members)

    def _routes(self) -> tuple[Route, ...]:
        workers = self.membership.of("worker", alive=False)
        return tuple(
            Route(
                peer.name,
                address(peer, "data").address,
                peer.incarnation,
                0.0
                if peer.state == "draining" or peer.giving
                else self.balance.told.get(peer.name, 1.0),
            )
            for peer in workers
            if peer.here
        )

    def _tell_routes(self) -> list[Order]:
        self.balance.forget({peer.name for peer in self.membership.of("worker")})
        routes = self._routes()
        orders: list[Order] = [
            Tell(peer.identity, Routes(routes)) for peer in self.membership.of("ingest")
        ]
        movers = [p for p in self.membership.of("worker", alive=False) if p.moves]
        senders = self.accounts.unsettled() | {peer.name for peer in movers}
        for peer in movers:
            if peer.here:
                others = Routes(routes, tuple(sorted(senders - {peer.name})))
                orders.append(Tell(peer.identity, others))
        return orders

    def _rebalance(self, now: float) -> list[Order]:
        """Give more of the feed to those who are fast, less to those who have too much already."""
        if now < self._balance_at or self.settings.training.deterministic:
            return []
        self._balance_at = now + BALANCE_S
        peers = self.membership.of("worker")
        workers = {p.name: p.facts.get("points", 0.0) for p in peers}
        orders = self._tell_routes() if self.balance.news(workers) is not None else []
        if not self.settings.training.rebalance or any(p.moves for p in peers):
            return orders
        transfer = self.rebalance.look(self.balance.speeds(workers), workers)
        return orders if transfer is None else orders + self._transfer(transfer, now)

    def _transfer(self, transfer: Transfer, now: float) -> list[Order]:
        peer = self.membership.peers[transfer.giver]
        text = f"{transfer.points:,} points to {', '.join(transfer.to)}, who are faster"
        order = Move(transfer.points, transfer.to)
        return [self.note("moving", peer.name, text), *self._let_move(peer, order, now)]

    def _can_begin(self, points: int, now: float) -> bool:
        workers = [peer for peer in self.membership.of("worker") if peer.ready]
        if self.ending or self.expected or self.schema is None or points == 0:
            return False
        if len(workers) < (1 if self._begun else self.settings.cluster.workers):
            return False
        enough = points >= self.settings.training.start_points
        return enough or now - self._stored[1] > QUIET_S

    def _new_view(self, now: float) -> list[Order]:
        peers = [self.membership.peers[name] for name in sorted(self.membership.peers)]
        carriers = {p.name for p in peers if p.here and self.ring.get(p.name) == p.incarnation}
        members = [p for p in peers if p.registration.role == "worker" and p.ready]
        leaving = [p for p in peers if p.state == "draining" and p.name in carriers]
        carriers &= {p.name for p in members + leaving}
        if not members:
            self.change, self.ring = None, {}
            orders: list[Order] = [self.note("view", "", "no worker is left: waiting for one")]
            last = Stop("there is nobody to leave the ring to")
            return orders + [Tell(peer.identity, last) for peer in leaving]
        self.views += 1
        self._begun = True
        addresses = tuple(address(peer, "ring") for peer in members)
        going = tuple(address(peer, "ring") for peer in leaving)
        self.change = ViewChange(
            View(self.views, addresses, going),
            {peer.name: peer.incarnation for peer in members + leaving},
            frozenset(carriers),
            self.book.began,
        )
        self.ring = self.change.ring
        self._view_at = now
        self.stall.reset(now)
        names = ", ".join(self.change.names)
        orders = [self.note("view", "", f"view {self.views}: {names}")]
        orders += [Tell(peer.identity, self.change.view) for peer in members + leaving]
        return orders + self._settle(now)

    def _answered(self, holdings: Holdings, now: float) -> list[Order]:
        if self.change is None or self.change.resume is not None:
            return []
        self.change.answer(holdings)
        return self._settle(now)

    def _settle(self, now: float) -> list[Order]:
        change = self.change
        if change is None or not change.answered:
            return []
        resume = change.settle(self.epoch, self.plan, self.params)
        if self._stalled_view == self.views:
            lost = broken(resume, change.answers, self.settings.cluster.seed)
            name = self.links.stalled(lost, now)
            if name is not None:
                return self._give_up(self.membership.peers[name], now)
        self.ring = change.ring
        peers = [self.membership.peers[name] for name in sorted(change.members)]
        orders: list[Order] = [Tell(peer.identity, resume) for peer in peers]
        for result in self.book.begin(change.names, resume):
            orders += self._finished(result)
        return orders

    def _give_up(self, peer: Peer, now: float) -> list[Order]:
        peer.state, peer.banned_until = "lost", now + BANNED_S
        self.failures["unreachable"] += 1
        text = f"unreachable: the others do not get through to it; it may come back in {BANNED_S:.0f} s"
        return [self.note("lost", peer.name, text), *self._members_changed(now)]

    def _turns(self, message: Working, now: float) -> list[Order]:
        """Take notice of the first visit that was finished in a view: the change of membership is over."""
        if self.change is None or message.view != self.views or message.view == self._turned:
            return []
        self._turned, seconds = message.view, now - self._view_at
        text = (
            f"the first visit in view {message.view} was finished {seconds:.2f} s after it was made"
        )
        return [self.note("turns", message.name, text, seconds), *self._recovered(message, now)]

    def _recovered(self, message: Working, now: float) -> list[Order]:
        if self._lost_at is None:
            return []
        seconds, self._lost_at = now - self._lost_at, None
        self.recoveries["count"] += 1
        self.recoveries["last_s"] = seconds
        self.recoveries["seconds"] += seconds
        text = f"the ring turns again after {seconds:.2f} s"
        return [self.note("recovered", message.name, text, seconds)]

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
        busy = report.seconds.get("train", 0.0) + report.seconds.get("z_step", 0.0)
        self.balance.measure(report.name, report.sums.get("points", 0.0), busy)
        result = self.book.add(report)
        return orders if result is None else orders + self._finished(result)

    def _finished(self, result: EpochResult) -> list[Order]:
        self.result = result
        if not result.params:
            return []  # whose turn it was to send the model is gone
        self.epoch, self.plan = result.epoch + 1, result.following
        self.params = dict(result.params)
        restart = self.continuation.grown(self.points_for_training, self._appended)
        return [Finished(result), *self._order(restart, "new data")]

    def _drift(self, vote: Drift, now: float) -> list[Order]:
        members = len(self.membership.of("worker"))
        restart = self.continuation.vote(
            vote.name, vote.epoch, now, members, self.points_for_training, self._appended
        )
        text = f"reconstruction error {vote.error:.4g}"
        return [self.note("drift", vote.name, text), *self._order(restart, "drift")]

    def _order(self, restart: Restart | None, why: str) -> list[Order]:
        if restart is None:
            return []
        self.restart = restart
        orders: list[Order] = [self.note("restart", "", f"the continuation begins anew: {why}")]
        return orders + [Tell(p.identity, restart) for p in self.membership.of("worker")]

    def _count(self, name: str, incarnation: int, facts: Mapping[str, float]) -> None:
        peer = self.membership.find(name, incarnation)
        if peer is None:
            return
        if peer.registration.role == "ingest":
            self.accounts.count_feed(name, incarnation, facts)
        else:
            self.accounts.count_shard(name, {**facts, "giving": float(peer.giving)})


def _farewell(facts: Mapping[str, float]) -> str:
    """Return what became of the points of a worker that has left."""
    parts = [
        f"{facts[count]:,.0f} {what}"
        for count, what in {
            "moved": "points went to the others",
            "given_up": "points are given up",
            "points": "points wait in its directory",
            "in_doubt": "of its batches may be with workers that are gone, too",
        }.items()
        if facts.get(count)
    ]
    return ", ".join(["drained", *parts])
