"""The coordinator's side: who is in the ring, when training begins, what an epoch came to.

Messages in, actions out (`streammac.coordinator.coordinator_actions`). What happens, and what is done about it, is
here; each matter is kept by its own module: who is there (`membership`), views (`view_manager`), reports
(`epoch_reports`), how far training has come (`progress`), the routes of points (`routing`), orders to hand them over
(`moves`), counts (`accounts`, `failures`). The coordinator is off the data path; the process round it
(`workers.coordinator.process`) publishes the models and answers status questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import asdict

from streammac.coordinator.accounts import Accounts
from streammac.coordinator.coordinator_actions import Action, Finished, Note, Tell
from streammac.coordinator.epoch_reports import EpochReports, EpochResult
from streammac.coordinator.events import EventLog, exit_message, feed_troubles, troubles
from streammac.coordinator.failures import Failures
from streammac.coordinator.membership import Membership, Peer
from streammac.coordinator.moves import Moves
from streammac.coordinator.progress import Progress
from streammac.coordinator.rebalance import Transfer
from streammac.coordinator.routing import Routing
from streammac.coordinator.stall import StallWatch
from streammac.coordinator.start_condition import StartCondition
from streammac.coordinator.verdict import Verdict
from streammac.coordinator.view_manager import ViewManager
from streammac.models.base import Array
from streammac.settings.schema import Settings, Stream
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Drain,
    DrainReply,
    DrainRequest,
    Drift,
    EpochReport,
    Goodbye,
    Heartbeat,
    HeldOutPoints,
    Holdings,
    Leaving,
    Move,
    PleaseRegister,
    ProbeAnswer,
    Register,
    Registered,
    RegistrationRefused,
    RestartContinuation,
    RingMoving,
    Routes,
    Shutdown,
    Stop,
    StreamSchema,
    View,
)

OWN_WORD = (Holdings, RingMoving, Goodbye, Leaving, EpochReport, Drift, HeldOutPoints, ProbeAnswer)
"""What a process says of itself, and nobody else."""
BANNED_S = 30.0
"""A worker that the others do not reach is kept out of the ring for so long."""


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
        self.ending = False
        self.events = EventLog()
        self.membership = Membership(settings.cluster.heartbeat_s)
        self.accounts = Accounts.from_json(state.get("accounts", {}))
        self.failures = Failures(state)
        self.moves = Moves(self.membership, state.get("unsettled", ()))
        self.routing = Routing(self.membership, self.moves, self.accounts, settings.training)
        self.views = ViewManager(self.membership, state.get("view", 0), state.get("ring"))
        self.epoch_reports = EpochReports(state.get("began"))
        self.progress = Progress(settings.training, state, params)
        self.stall = StallWatch(settings.cluster.seed)
        join_s = None if settings.training.deterministic else settings.cluster.join_s
        self.beginning = StartCondition(settings.training.start_points, join_s)
        stream, agreed = settings.stream, state.get("schema")
        self.schema = StreamSchema(**agreed) if agreed else None
        if self.schema is None and stream.dim and stream.dtype:
            self.schema = stream_schema(stream, StreamSchema(stream.dim, stream.dtype))
        if self.views.expected:
            self.events.add("coordinator_restarted", "", "the ring is expected to be as it was")

    def durable(self) -> dict[str, Any]:
        """Return what must survive a restart, JSON-serialisable."""
        return {
            "cluster": self.cluster,
            "schema": asdict(self.schema) if self.schema else None,
            "view": self.views.number,
            "ring": self.views.ring,
            "began": self.epoch_reports.began,
            **self.progress.durable(),
            "accounts": self.accounts.to_json(),
            "unsettled": sorted(self.moves.unsettled),
            **self.failures.durable(),
        }

    @property
    def fences(self) -> tuple[object, ...]:
        """What must be on disk before any order goes out, whatever happens; to be compared by value.

        A view's number is never used twice, whoever may hand over points is known to, and what a point looks
        like is agreed once.
        """
        unsettled = frozenset(self.moves.unsettled)
        view, began = self.views.number, self.epoch_reports.began
        return view, self.views.ring, began, unsettled, self.schema

    @property
    def view(self) -> View | None:
        """The newest view, None where there is none."""
        return self.views.change.view if self.views.change is not None else None

    # -- what happens ---------------------------------------------------------------------

    def handle(self, identity: bytes, message: Message, now: float) -> list[Action]:
        """Take a message of the process with this socket identity."""
        if isinstance(message, OWN_WORD) and not self.membership.is_from(identity, message.name):
            if message.name not in self.membership.peers:
                return []  # this coordinator has been started again, and is about to be told who that is
            kind = type(message).__name__
            return [self.note("malformed", "", f"ignored: {kind} that is not from {message.name}")]
        match message:
            case Register():
                return self._register(identity, message, now)
            case Heartbeat():
                return self._hear(identity, message, now)
            case Holdings():
                return self._answered(message, now)
            case RingMoving():
                return self._turns(message, now)
            case Goodbye():
                return self._goodbye(message, now)
            case Leaving():
                return self._leaving(message, now)
            case DrainRequest():
                return self._drain(identity, message, now)
            case Shutdown():
                return [Tell(identity, message), *self.end()]
            case StreamSchema():
                return self._agree(message)
            case EpochReport():
                return self._report(identity, message, now)
            case Drift():
                return self._drift(message, now)
        text = f"ignored a message that is not for a coordinator: {type(message).__name__}"
        return [self.note("malformed", "", text)]

    def tick(self, now: float) -> list[Action]:
        """Look after what only time tells: silent processes, and whether training can begin."""
        if self.ending:
            return []  # who ends may be silent, and nobody counts on it any more
        orders: list[Action] = []
        for peer in self.membership.silence(now):
            orders += self._lost(peer, "hang", peer.detector.last, now)
        self.beginning.count(self.membership.points_to_train_on, now)
        here, ready = self._workers
        self.beginning.gather(here, ready, now, fed=self.schema is not None)
        if self.views.gives_up_waiting(now):
            orders += self._members_changed(now)
        orders += self._share_out(now)
        waiting = (peer.worker.untrained_s for peer in self.membership.of("worker"))
        self.progress.freshness.look(waiting, now)
        change = self.views.change
        if change is None and self.waiting is None:
            orders += self._new_view(now)
        elif change is not None and self.stall.stalled(
            change, self.membership, now, rests=self.resting is not None
        ):
            text = "nothing moves and nobody works: a token may be lost"
            orders += [self.note("stall", "", text), *self._new_view(now)]
            self.stall.view = self.views.number
        return orders

    def end(self) -> list[Action]:
        """Begin the end of the cluster: who brings points ends first, so that what is under way is stored."""
        self.ending = True
        return self._farewell()

    def _farewell(self) -> list[Action]:
        """Tell those whose turn it is that the cluster ends."""
        if not self.ending:
            return []
        here = [peer for peer in self.membership.peers.values() if peer.here]
        feeding = [peer for peer in here if peer.registration.role == "ingest"]
        return [Tell(peer.identity, Stop("the cluster ends")) for peer in feeding or here]

    @property
    def deserted(self) -> bool:
        """Return whether nobody is here."""
        return not any(peer.here for peer in self.membership.peers.values())

    def disconnected(self, name: str, incarnation: int, since: float, now: float) -> list[Action]:
        """Take notice that the connection to a process broke some time ago and did not come back."""
        peer = self.membership.lose(name, incarnation)
        return self._lost(peer, "crash", since, now) if peer is not None else []

    def published(
        self,
        version: int,
        promoted: int,
        reason: str,
        trouble: str = "",
        *,
        pinned: bool = False,
    ) -> list[Action]:
        """Take notice of the newest model version, which one is the current one, and why there is none newer."""
        news: list[Action] = []
        if trouble and not self.progress.unpublished:
            news.append(self.note("not_published", "", trouble))
        self.progress.unpublished = trouble
        newest, current, was_pinned = self.progress.published
        self.progress.published = (version, promoted, pinned)
        if version not in (newest, promoted):
            news.append(self.note("kept_back", "", f"version {version}: {reason}"))
        if pinned and (promoted != current or not was_pinned):
            text = f"version {promoted} is the current one until it is unpinned"
            news.append(self.note("pinned", "", text))
        elif promoted != current:
            news.append(self.note("promoted", "", f"version {promoted}: {reason}"))
        if was_pinned and not pinned:
            news.append(self.note("unpinned", "", "better versions are promoted again"))
        return news

    def judged(self, verdict: Verdict | None, now: float) -> list[Action]:
        """Take notice of the publisher's newest verdict: the ring goes on from the parameters that it names.

        Not while a drift may be under way: with other parameters the other workers' detectors would begin anew and
        never notice it, and held-out points of the old kind have judged.
        """
        if self.ending or self.progress.continuation.undecided(now):
            return []
        if not self.progress.judge(verdict) or self.views.change is None:
            return []
        return self._new_view(now)

    def note(self, kind: str, name: str, text: str, seconds: float = 0.0) -> Note:
        """Remember an event, and return it for the log."""
        return Note(self.events.add(kind, name, text, seconds))

    # -- who is there ---------------------------------------------------------------------

    def _register(self, identity: bytes, message: Register, now: float) -> list[Action]:
        if self.ending:
            return [Tell(identity, Stop("the cluster ends"))]
        self.membership.forget(self.views.carriers)
        refusal = self.membership.refusal(message, now)
        if refusal is None:
            return []  # it asks again
        if refusal:
            told = f"process {message.pid} on {message.host}: {refusal}"
            note = self.note("refused", message.name, told)
            return [Tell(identity, RegistrationRefused(refusal)), note]
        known = self.membership.find(message.name, message.incarnation) is not None
        news = self.membership.register(identity, message, now)
        settings, turning = self.settings.model_dump_json(), self.view is not None
        orders: list[Action] = [Tell(identity, Registered(self.cluster, settings, turning))]
        if self.schema is not None:
            orders.append(Tell(identity, self.schema))
        if message.role == "ingest":
            orders.append(Tell(identity, Routes(self.routing.routes())))
        self.views.registered(message.name, message.incarnation)
        if news:
            kind = "ingest_joined" if message.role == "ingest" else "joined"
            joined = self.note(kind, message.name, f"from {message.host}")
            orders.append(self._returned(message.name) if known else joined)
            orders += self._members_changed(now)
        return orders

    def _returned(self, name: str) -> Note:
        self.failures.counts["fenced"] += 1
        return self.note("returned", name, "was taken for lost, and begins anew with its points")

    def _hear(self, identity: bytes, beat: Heartbeat, now: float) -> list[Action]:
        peer = self.membership.find(beat.name, beat.incarnation)
        if peer is None:
            return [Tell(identity, PleaseRegister())]
        if peer.identity != identity:
            return [self.note("malformed", "", f"ignored: Heartbeat that is not from {beat.name}")]
        before, fed_before = peer.worker, peer.ingest
        known = self.accounts.shards.get(beat.name)
        back = self.membership.hear(peer, beat, now)
        damage = self._count(peer)
        order = self.moves.hear(peer, now)
        if peer.ready:
            self.views.is_ready(beat.name)
        set_aside = known.quarantined if known else 0
        news = troubles(before, peer.worker, set_aside) + feed_troubles(fed_before, peer.ingest)
        orders: list[Action] = [
            *damage,
            *(self.note(kind, beat.name, text) for kind, text in news),
        ]
        if back:
            orders.append(self._returned(beat.name))
        if peer.worker.leaving and peer.state == "alive":
            # this coordinator was restarted, or the word was lost
            orders += self._leaving(Leaving(beat.name, beat.incarnation), now)
        if order.moved is not None and peer.state == "alive":
            text = f"{order.moved:,} points are with others since it began"
            orders.append(self.note("moved", beat.name, text))
        if order.announce:
            orders += self.routing.announce()
        orders += order.repeat
        missed = self.views.reminder(beat)
        if missed is not None:
            orders.append(Tell(identity, missed))
        return orders + self._rouse(peer) + self._members_changed(now, routes=back)

    def _goodbye(self, message: Goodbye, now: float) -> list[Action]:
        peer = self.membership.find(message.name, message.incarnation)
        if peer is None or peer.state == "left":
            return []
        drained = peer.drained = peer.state == "draining"
        before = peer.ingest
        self.membership.leave(peer, message)
        news = feed_troubles(before, peer.ingest)
        orders: list[Action] = [self.note(kind, peer.name, text) for kind, text in news]
        begun = message.worker is not None or message.ingest is not None
        if begun:  # else it knows nothing, say, because it could not read its ledger
            orders += self._count(peer)
        self.moves.hear(peer, now)
        self.failures.counts["drained"] += drained
        ingest = peer.registration.role == "ingest"
        if ingest and begun and not peer.ingest.unacknowledged:
            self.accounts.end_feed(message.name, message.incarnation)
        kind = "ingest_left" if ingest else "left"
        text = "ended in good order" if begun else "ended before it had begun: its log says why"
        if drained:
            text = exit_message(peer.worker)
        orders += [self.note(kind, peer.name, text), *self._members_changed(now)]
        return orders + (self._farewell() if ingest else [])

    def _lost(
        self, peer: Peer, reason: Literal["crash", "hang"], since: float, now: float
    ) -> list[Action]:
        self.failures.lost(reason, since, in_ring=peer.name in self.views.ring)
        ingest = peer.registration.role == "ingest"
        how = {"crash": "its connection broke", "hang": "its last sign of life was"}[reason]
        text = f"{reason}: {how} {now - since:.2f} s ago"
        note = self.note("ingest_lost" if ingest else "lost", peer.name, text)
        return [note, *self._members_changed(now), *(self._farewell() if ingest else [])]

    def _leaving(self, message: Leaving, now: float) -> list[Action]:
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

    # -- points ---------------------------------------------------------------------------

    def _agree(self, proposal: StreamSchema) -> list[Action]:
        if self.schema is None:
            self.schema = stream_schema(self.settings.stream, proposal)
        everybody = self.membership.of("worker") + self.membership.of("ingest")
        return [Tell(peer.identity, self.schema) for peer in everybody]

    def _count(self, peer: Peer) -> list[Action]:
        damage: list[str] = []
        if peer.registration.role == "ingest":
            damage = self.accounts.count_feed(peer.name, peer.incarnation, peer.ingest)
        elif peer.worker.shard is not None:
            predicted = peer.worker.predicted
            self.accounts.predictions.take(peer.name, peer.incarnation, predicted)
            if not peer.worker.shard.balances:
                return [self.note("malformed", peer.name, "its counts of points do not add up")]
            damage = self.accounts.count_shard(peer.name, peer.worker.shard)
        return [self.note("damaged", peer.name, text) for text in damage]

    def _drain(self, identity: bytes, request: DrainRequest, now: float) -> list[Action]:
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
        if request.points == "keep":
            return [Tell(identity, DrainReply(True)), Tell(peer.identity, drain)]
        return [Tell(identity, DrainReply(True)), *self._hand_over(peer, drain, now)]

    def _share_out(self, now: float) -> list[Action]:
        """Have more of the feed go to those who are fast, and points that are there, if need be."""
        orders, transfer = self.routing.check(now)
        return [*orders, *self._transfer(transfer, now)] if transfer is not None else [*orders]

    def _transfer(self, transfer: Transfer, now: float) -> list[Action]:
        peer = self.membership.peers[transfer.giver]
        text = f"{transfer.points:,} points to {', '.join(transfer.to)}, who are faster"
        order = Move(transfer.points, transfer.to)
        return [self.note("moving", peer.name, text), *self._hand_over(peer, order, now)]

    def _hand_over(self, peer: Peer, order: Drain | Move, now: float) -> list[Action]:
        """Order a worker to hand over points; first it is told all that it has to know for that."""
        tell = self.moves.give(peer, order, now)
        return [*self.routing.announce(), tell]

    # -- views ----------------------------------------------------------------------------

    def _members_changed(self, now: float, *, routes: bool = True) -> list[Action]:
        """Tell ingest nodes who takes points; make a view if the ring is not what it should be."""
        orders: list[Action] = [*self.routing.announce()] if routes else []
        if self.ending or not self.views.due:
            return orders
        return orders + self._new_view(now)

    @property
    def waiting(self) -> str | None:
        """What training waits for before it begins, in words; None while there is a ring."""
        if self.views.change is not None or self.ending:
            return None
        if self.views.expected:
            away, all_of_them = len(self.views.expected), len(self.views.ring)
            return f"waiting for {away} of {all_of_them} workers to come back"
        here, ready = self._workers
        workers = self.membership.of("worker", alive=False)
        leaving = sum(peer.state == "draining" for peer in workers)  # nobody waits for those
        needed = 1 if self.views.begun else max(1, self.settings.cluster.workers - leaving)
        return self.beginning.waits_for(here, ready, needed, fed=self.schema is not None)

    @property
    def _workers(self) -> tuple[int, int]:
        """How many workers are here, and how many of them can train."""
        here = self.membership.of("worker")
        return len(here), sum(peer.ready for peer in here)

    @property
    def resting(self) -> str | None:
        """Why there are no epochs at present, in words: nothing is left to train; None while there are."""
        change = self.views.change
        if change is None or change.resume is None:
            return None
        reports = [self.membership.peers[name].worker.ring for name in change.names]
        if not all(report.resting for report in reports):
            return None
        epochs = {report.epoch for report in reports}
        if self._has_done(min(epochs)):
            return f"all {self.settings.training.epochs:,} epochs are done"
        # else a report is lost, and the next epoch has to tell what it would have told
        return "nothing new to train on" if epochs == {self.progress.epoch} else None

    def _has_done(self, epoch: int) -> bool:
        """Return whether all epochs are done that were asked for, where this is the next one."""
        return 0 < self.settings.training.epochs <= epoch

    def _new_view(self, now: float) -> list[Action]:
        leavers = self.views.leavers()
        change = self.views.renew(self.epoch_reports.began, now)
        if change is None:
            last = Stop("there is nobody to leave the ring to")
            orders: list[Action] = [self.note("view", "", "no worker is left: waiting for one")]
            return orders + [Tell(peer.identity, last) for peer in leavers]
        self.stall.reset(now)
        names = ", ".join(change.names)
        orders = [self.note("view", "", f"view {change.view.number}: {names}")]
        orders += [Tell(self._identity(name), change.view) for name in change.members]
        return orders + self._settle(now)

    def _identity(self, name: str) -> bytes:
        return self.membership.peers[name].identity

    def _answered(self, holdings: Holdings, now: float) -> list[Action]:
        if self.views.change is None or self.views.change.resume is not None:
            return []
        self.views.change.answer(holdings)
        return self._settle(now)

    def _settle(self, now: float) -> list[Action]:
        change, progress = self.views.change, self.progress
        if change is None or not change.answered:
            return []
        adopting = progress.adoption.restart if progress.adoption is not None else None
        resume = change.settle(progress.epoch, progress.plan, progress.params, adopting)
        unreachable = self.stall.unreachable(change, resume, now)
        if unreachable is not None:
            return self._give_up(self.membership.peers[unreachable], now)
        self.views.ring = change.ring
        orders: list[Action] = [Tell(self._identity(n), resume) for n in sorted(change.members)]
        adopted = progress.resumed(resume)
        if adopted is not None:
            orders.append(self.note("adopted", "", str(adopted)))
        for result in self.epoch_reports.begin(change.names, resume, change.members):
            orders += self._finished(result)
        return orders

    def _give_up(self, peer: Peer, now: float) -> list[Action]:
        peer.state, peer.banned_until = "lost", now + BANNED_S
        self.failures.counts["unreachable"] += 1
        text = f"unreachable: the others do not get through to it; it may come back in {BANNED_S:.0f} s"
        return [self.note("lost", peer.name, text), *self._members_changed(now)]

    def _turns(self, message: RingMoving, now: float) -> list[Action]:
        """Take notice of the first visit that was finished in a view: the change of membership is over."""
        seconds = self.views.turns(message.view, now)
        if seconds is None:
            return []
        text = (
            f"the first visit in view {message.view} was finished {seconds:.2f} s after it was made"
        )
        orders: list[Action] = [self.note("turns", message.name, text, seconds)]
        still_s = self.failures.turns(now)
        if still_s is not None:
            text = f"the ring turns again after {still_s:.2f} s"
            orders.append(self.note("recovered", message.name, text, still_s))
        return orders

    # -- learning -------------------------------------------------------------------------

    def _report(self, identity: bytes, report: EpochReport, now: float) -> list[Action]:
        self.progress.freshness.trained(report.epoch, report.waited_s, now)
        missed = self.progress.continuation.missed(report.following)
        orders: list[Action] = [] if missed is None else [Tell(identity, missed)]
        self.routing.measure(report)
        result = self.epoch_reports.add(report)
        return orders if result is None else orders + self._finished(result)

    def _finished(self, result: EpochResult) -> list[Action]:
        if not self.progress.advance(result):
            return []
        points, plan = self.membership.points_to_train_on, result.following
        restart = self.progress.continuation.grown(points, self.accounts.accepted, plan)
        orders: list[Action] = [Finished(result)]
        if self.progress.has_more_outliers(result):
            count = int(result.sums["left_out"])
            text = f"{count:,} points are too far from the others: they have no part in training"
            orders.append(self.note("outliers", "", text))
        return orders + self._order(restart, "new data")

    def _rouse(self, peer: Peer) -> list[Action]:
        """See to it that the ring does not rest where there is an order: no report of an epoch tells of it then."""
        plan, continuation = self.progress.plan, self.progress.continuation
        if self.resting is None or self._has_done(self.progress.epoch):
            return []
        points = self.membership.points_to_train_on
        restart = continuation.grown(points, self.accounts.accepted, plan)
        if restart is not None:
            return self._order(restart, "new data")
        missed = continuation.missed(plan)
        return [] if missed is None else [Tell(peer.identity, missed)]

    def _drift(self, vote: Drift, now: float) -> list[Action]:
        shards, ever = self.membership.shards, self.accounts.accepted
        restart = self.progress.continuation.vote(vote.name, vote.epoch, now, shards, ever)
        text = f"{vote.watched} of new points {vote.error:.4g}"
        return [self.note("drift", vote.name, text), *self._order(restart, "drift")]

    def _order(self, restart: RestartContinuation | None, why: str) -> list[Action]:
        if restart is None:
            return []
        how = "from new statistics" if restart.fresh else "from the model there is"
        text = f"the continuation begins anew, {how}: {why}"
        orders: list[Action] = [self.note("restart", "", text)]
        return orders + [Tell(p.identity, restart) for p in self.membership.of("worker")]


def stream_schema(stream: Stream, proposal: StreamSchema) -> StreamSchema:
    """Return what points look like: as the settings say, and where they say nothing as it is proposed."""
    classes = stream.classes or 0
    targets = stream.targets
    if targets is None:
        targets = 1 if classes else proposal.targets
    dim, dtype = stream.dim or proposal.dim, stream.dtype or proposal.dtype
    return StreamSchema(dim, dtype, targets, classes if targets else 0)
