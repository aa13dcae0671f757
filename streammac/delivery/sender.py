"""Getting every batch stored exactly once: owners, sessions, credit, resending; a state machine without I/O.

Whoever sends points (an ingest node, a worker that moves its data) puts batches in and feeds in what workers and
the coordinator say; `send` returns what to write into the ledger and what to send. Time is an argument. The rules are
told in the package's own text (`streammac.delivery`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from msgspec.structs import replace

from streammac.delivery.ledger import Handed, Record, RevocationConfirmed, Revoked, Settled, State
from streammac.delivery.session import Lane, choose, joining
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet
from streammac.wire.messages import Ack, BatchIdRanges, Credit, Hello, Points, Route

BATCH_OVERHEAD_BYTES = 1024
"""What a batch costs besides its points, counted with them: tiny batches are bounded, too."""
MAX_REFUSALS = 20
"""A batch that workers refuse so often is given up."""
HELLO_S = 1.0
"""A worker that has not agreed to a session, or has no credit to give, is asked again after so long."""
REVOKED_AT_ONCE = 10_000
"""Ranges of revoked batches that one greeting tells of; a header has a limit. More follow in the next."""
LONG_AGO = float("-inf")


@dataclass(slots=True)
class Ticket:
    """What became of the points of one offer; `settled` once nothing of it is under way."""

    points: int = 0
    open_batches: int = 0
    stored: int = 0
    duplicate: int = 0
    given_up: int = 0
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Return whether every batch of it has its answer."""
        return self.open_batches == 0


@dataclass(slots=True, eq=False)
class Batch:
    """One batch on its way; ``durable``: who sends it has it again after being killed, so the ledger follows it."""

    message: Points
    size: int
    ticket: Ticket
    durable: bool = False
    worker: str | None = None
    sent_at: float = LONG_AGO
    first_sent_at: float = LONG_AGO
    refusals: int = 0
    reason: str = ""

    def __len__(self) -> int:
        return len(self.message.tensors["x"])

    @property
    def batch_id(self) -> BatchId:
        """Its name."""
        return BatchId(self.message.source, self.message.incarnation, self.message.sequence)


@dataclass(frozen=True, slots=True)
class Write:
    """Write records into the ledger; only then do what follows."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Post:
    """Send a message to a worker."""

    worker: str
    message: Points | Hello


Order: TypeAlias = Write | Post


class Sender:
    """The batches of one sender.

    Parameters
    ----------
    name : str
        The sender's name.
    session : int
        Sessions of this process begin above it: greater at every start.
    resend_s : float
        An unanswered batch is sent again after so long.
    room_bytes : int
        Bytes that may wait for credit before `has_room` says no.
    state : State, optional
        What the ledger says of the process's former lives.

    Attributes
    ----------
    acknowledged, duplicate, resent : int
        Points settled, those of them that were stored before, batches sent again.
    blocked_s : float
        Seconds in which batches waited.
    on_hold : bool
        No batch is handed to a worker for the time being; everything else goes on.
    given_up : list of (Batch, str)
        Batches that nobody takes, and why; the caller deals with them and empties the list.
    """

    def __init__(
        self,
        name: str,
        session: int,
        resend_s: float,
        room_bytes: int,
        state: State | None = None,
    ) -> None:
        state = state or State()
        self.name = name
        self.resend_s = resend_s
        self.room_bytes = room_bytes
        self.lanes: dict[str, Lane] = {}
        self.acknowledged = self.duplicate = self.resent = 0
        self.blocked_s = 0.0
        self.on_hold = False
        self.given_up: list[tuple[Batch, str]] = []
        self._session = session
        self._owners = dict(state.handed)
        self._revoked = {
            w: BatchIdSet(batch_ids.to_json()) for w, batch_ids in state.revoked.items()
        }
        self._told: dict[str, BatchIdSet] = {}  # what the newest session with a worker tells it
        self._returning: dict[str, list[Batch]] = {}  # taken back, as soon as the worker consents
        self._records: list[Record] = []
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._under_way: dict[BatchId, Batch] = {}
        self._blocked_since: float | None = None

    # -- what the shell asks --------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Return whether more may be put in: the only flow control towards who brings batches."""
        return self._waiting_bytes < self.room_bytes

    @property
    def waiting_bytes(self) -> int:
        """Return the bytes that wait for credit."""
        return self._waiting_bytes

    @property
    def unacknowledged(self) -> int:
        """Points without an answer."""
        returning = [batch for batches in self._returning.values() for batch in batches]
        return sum(len(batch) for batch in (*self._waiting, *self._under_way.values(), *returning))

    @property
    def idle(self) -> bool:
        """Return whether nothing waits and nothing is under way."""
        return not (self._waiting or self._under_way or any(self._returning.values()))

    @property
    def moving(self) -> bool:
        """Return whether batches wait or are under way, besides those that wait for a worker's consent."""
        return bool(self._waiting or self._under_way)

    @property
    def concerned(self) -> set[str]:
        """Workers that have, may have or are said to have batches of this sender."""
        under_way = {batch.worker for batch in self._under_way.values() if batch.worker}
        returning = {worker for worker, batches in self._returning.items() if batches}
        return under_way | returning | self._revoked.keys() | set(self._owners.values())

    @property
    def revoked(self) -> int:
        """Workers that are still to be told of batches which are not theirs any more."""
        return len(self._revoked)

    # -- batches in -----------------------------------------------------------------------

    def put(self, batch: Batch) -> None:
        """Take a batch. One that a former life had handed to a worker still belongs to it."""
        batch.ticket.open_batches += 1
        owner = self._owners.pop(batch.batch_id, None)
        if owner is None:
            self._waiting.append(batch)
            self._waiting_bytes += batch.size
        else:
            self._hand(batch, owner)
            if owner in self.lanes and self.lanes[owner].weight == 0:
                self._take_back(owner, [batch])

    def recall(self) -> list[Batch]:
        """Take back, and return, the batches that belong to nobody yet."""
        recalled = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        for batch in recalled:
            batch.ticket.open_batches -= 1
        return recalled

    def note(self, record: Record) -> None:
        """Have a record written, before anything that is sent from now on."""
        self._records.append(record)

    def _hand(self, batch: Batch, worker: str) -> None:
        batch.worker = worker
        self._under_way[batch.batch_id] = batch
        if worker in self.lanes:
            self.lanes[worker].outstanding_bytes += batch.size

    # -- what the coordinator says --------------------------------------------------------

    def route(self, routes: Iterable[Route]) -> None:
        """Take the workers that there are now."""
        there = {route.name: route for route in routes}
        for name in self.lanes.keys() - there.keys():
            del self.lanes[name]
            self._requeue(self._returning.pop(name, []))
        for name, route in there.items():
            lane = self.lanes.get(name)
            if lane is None:
                lane = self.lanes[name] = Lane(assigned=joining(self.lanes))
                lane.incarnation = route.incarnation
                mine = [b.size for b in self._under_way.values() if b.worker == name]
                lane.outstanding_bytes = sum(mine)
                self._begin(name)
            elif lane.incarnation != route.incarnation:
                # another process with the same shards: what it has of the former one, it knows as duplicates
                lane.incarnation = route.incarnation
                lane.window_bytes = 0
                self._begin(name)
            drains = route.weight == 0
            if drains and lane.weight > 0:
                self._take_back(name, [b for b in self._under_way.values() if b.worker == name])
            elif not drains and lane.weight == 0:
                self._begin(name)
            lane.weight = route.weight

    def _begin(self, worker: str) -> None:
        """Begin a new session: nothing of the former counts, what is under way goes once more."""
        self._session += 1
        self.lanes[worker].begin(self._session)
        self._told[worker] = _some(self._revoked.get(worker, BatchIdSet()))
        for batch in self._under_way.values():
            if batch.worker == worker:
                batch.sent_at = LONG_AGO

    def _take_back(self, worker: str, batches: list[Batch]) -> None:
        """Ask a worker that can be reached for its consent that these are not its own any more."""
        self._revoke(worker, batches)
        self._returning.setdefault(worker, []).extend(batches)
        self._begin(worker)

    def _revoke(self, worker: str, batches: list[Batch]) -> None:
        lane = self.lanes.get(worker)
        batch_ids = BatchIdSet()
        for batch in batches:
            del self._under_way[batch.batch_id]
            batch.worker, batch.sent_at = None, LONG_AGO
            batch_ids.add(batch.batch_id)
            if lane is not None:
                lane.outstanding_bytes -= batch.size
        if batches:
            self._revoked.setdefault(worker, BatchIdSet()).update(batch_ids)
            self.note(Revoked(worker, batch_ids.to_json()))

    def _requeue(self, batches: list[Batch]) -> None:
        for batch in sorted(batches, key=lambda b: b.message.sequence, reverse=True):
            if batch.refusals >= MAX_REFUSALS:
                self._settle(batch)
                batch.ticket.given_up += len(batch)
                batch.ticket.reason = batch.reason
                self.given_up.append((batch, batch.reason))
            else:
                self._waiting.appendleft(batch)
                self._waiting_bytes += batch.size

    def _settle(self, batch: Batch) -> None:
        batch.ticket.open_batches -= 1
        if batch.durable:
            batch_id = batch.batch_id
            self.note(Settled(batch_id.source, batch_id.incarnation, batch_id.sequence, len(batch)))

    # -- what workers say -----------------------------------------------------------------

    def credit(self, worker: str, credit: Credit) -> None:
        """Take a worker's consent to a session, and its window."""
        lane = self.lanes.get(worker)
        if lane is None or credit.session < lane.session:
            return
        if credit.session > lane.session:  # a former life of this sender had a clock that was ahead
            self._session = max(self._session, credit.session)
            self._begin(worker)
            return
        lane.window_bytes = credit.window_bytes
        if not lane.is_open:
            self._consented(worker, lane)

    def _consented(self, worker: str, lane: Lane) -> None:
        told = self._told.pop(worker)
        if told:
            self.note(RevocationConfirmed(worker, told.to_json()))
            left = self._revoked[worker]
            for batch_id in told:
                left.discard(batch_id)
            if left:
                self._begin(worker)
                return
            del self._revoked[worker]
        lane.is_open = True
        self._requeue(self._returning.pop(worker, []))

    def acknowledge(self, worker: str, ack: Ack, now: float) -> Batch | None:
        """Take an answer; return the batch it settles (None: refused, or not the owner's, or an old one)."""
        lane = self.lanes.get(worker)
        if lane is None or ack.session != lane.session:
            return None
        lane.window_bytes = ack.window_bytes
        batch = self._under_way.get(BatchId(ack.source, ack.incarnation, ack.sequence))
        if batch is None or batch.worker != worker:
            return None
        if ack.outcome == "refused":
            self._refused(worker, lane, batch, ack, now)
            return None
        del self._under_way[batch.batch_id]
        lane.outstanding_bytes -= batch.size
        self._settle(batch)
        count = len(batch)
        self.acknowledged += count
        if ack.outcome == "stored":
            batch.ticket.stored += count
        else:
            # the first answer was lost or is late: the points are stored, and were counted nowhere yet
            self.duplicate += count
            batch.ticket.duplicate += count
        return batch

    def _refused(self, worker: str, lane: Lane, batch: Batch, ack: Ack, now: float) -> None:
        batch.reason = ack.reason
        lane.blocked_until = now + self.resend_s
        if ack.window_bytes == 0:
            # it takes nothing at all (a full disk): that is not the batch's fault, and the others fare no better
            self._take_back(worker, [b for b in self._under_way.values() if b.worker == worker])
            return
        batch.refusals += 1
        # another copy of it may still be on its way there: it is moved like any other
        self._take_back(worker, [batch])

    # -- out ------------------------------------------------------------------------------

    def send(self, now: float) -> list[Order]:
        """Return what is to be done now, in this order."""
        self._reassign_lost()
        posts = [*self._greetings(now), *self._overdue(now), *self._next(now)]
        self._account_for_blocking(now)
        records, self._records = tuple(self._records), []
        return [Write(records), *posts] if records else list(posts)

    def _reassign_lost(self) -> None:
        gone: dict[str, list[Batch]] = {}
        for batch in self._under_way.values():
            if batch.worker is not None and batch.worker not in self.lanes:
                gone.setdefault(batch.worker, []).append(batch)
        for worker, batches in gone.items():
            self._revoke(worker, batches)
            self._requeue(batches)

    def _greetings(self, now: float) -> Iterable[Post]:
        for name, lane in self.lanes.items():
            asks = not lane.is_open or (lane.window_bytes == 0 and lane.weight > 0)
            if asks and now - lane.greeted_at >= HELLO_S:
                lane.greeted_at = now
                told = self._told.get(name, BatchIdSet())
                ranges = tuple(
                    BatchIdRanges(source, incarnation, tuple((a, b) for a, b in pairs))
                    for source, incarnation, pairs in told.to_json()
                )
                # the last of several greetings closes, so that the worker does not believe it before it knows all
                more = told.to_json() != self._revoked.get(name, BatchIdSet()).to_json()
                closing = lane.weight == 0 and not more
                yield Post(name, Hello(self.name, lane.session, lane.incarnation, ranges, closing))

    def _overdue(self, now: float) -> Iterable[Post]:
        for batch in self._under_way.values():
            assert batch.worker is not None
            lane = self.lanes[batch.worker]
            if lane.is_open and now - batch.sent_at >= self.resend_s and now >= lane.blocked_until:
                self.resent += batch.first_sent_at > LONG_AGO
                yield self._post(batch, batch.worker, lane, now)

    def _next(self, now: float) -> Iterable[Post]:
        while self._waiting and not self.on_hold:
            batch = self._waiting[0]
            worker = choose(self.lanes, batch.size, now)
            if worker is None:
                return
            self._waiting.popleft()
            self._waiting_bytes -= batch.size
            lane = self.lanes[worker]
            lane.assigned += max(1, batch.size) / lane.weight
            self._hand(batch, worker)
            if batch.durable:
                batch_id = batch.batch_id
                self.note(Handed(batch_id.source, batch_id.incarnation, batch_id.sequence, worker))
            yield self._post(batch, worker, lane, now)

    def _post(self, batch: Batch, worker: str, lane: Lane, now: float) -> Post:
        batch.sent_at = now
        if batch.first_sent_at == LONG_AGO:
            batch.first_sent_at = now
        return Post(worker, replace(batch.message, sender=self.name, session=lane.session))

    def _account_for_blocking(self, now: float) -> None:
        if self._blocked_since is not None:
            self.blocked_s += now - self._blocked_since
        self._blocked_since = now if self._waiting else None


def _some(batch_ids: BatchIdSet) -> BatchIdSet:
    """Return as many of the batch ids as one greeting holds."""
    chosen, left = [], REVOKED_AT_ONCE
    for source, incarnation, ranges in batch_ids.to_json():
        part = ranges[:left]
        left -= len(part)
        if part:
            chosen.append([source, incarnation, part])
    return BatchIdSet(chosen)
