"""Getting every batch stored exactly once: owners, credit, resending, settlement; a state machine without I/O.

Whoever sends points (an ingest node, a worker that moves its data) puts batches in and feeds in what workers and
the coordinator say; `send` returns what to write into the ledger and what to send. Time is an argument. The rules and
the states of a batch are told in the package's own text (`streammac.delivery`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec.structs import replace

from streammac.delivery.batch import LONG_AGO, Batch
from streammac.delivery.choice import choose, joining
from streammac.delivery.records import Handed, Record, Settled, State
from streammac.delivery.session import Session, SessionNumbers
from streammac.delivery.waiting import Waiting
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet
from streammac.wire.messages import Ack, Credit, OpenSession, Points, Route

MAX_REFUSALS = 20
"""A batch that workers refuse so often is given up."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write records into the ledger; only then do what follows."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Post:
    """Send a message to a worker."""

    worker: str
    message: Points | OpenSession


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
    on_lost : {"reassign", "hold"}
        What becomes of the batches of a worker that has gone, and may have copies: others get them at once, or they
        are kept until it returns and agrees that they are not its own.

    Attributes
    ----------
    sessions : dict
        By name, the workers that there are.
    waiting : Waiting
        Batches that belong to nobody yet.
    acknowledged, duplicate, resent : int
        Points settled, those of them that were stored before, batches sent again.
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
        on_lost: Literal["reassign", "hold"] = "reassign",
    ) -> None:
        state = state or State()
        self.name = name
        self.resend_s = resend_s
        self.on_lost = on_lost
        self.sessions: dict[str, Session] = {}
        self.waiting = Waiting(room_bytes)
        self.acknowledged = self.duplicate = self.resent = 0
        self.on_hold = False
        self.given_up: list[tuple[Batch, str]] = []
        self._numbers = SessionNumbers(session)
        self._absent = {  # workers that have gone, and have or may have batches
            worker: Session(worker, self._numbers, revoked=BatchIdSet(batch_ids.to_json()))
            for worker, batch_ids in state.revoked.items()
        }
        self._owners = dict(
            state.handed
        )  # of batches that a former life had handed out, until they are put
        self._records: list[Record] = []

    # -- what the shell asks --------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Return whether more may be put in: the only flow control towards who brings batches."""
        return self.waiting.has_room

    @property
    def unacknowledged(self) -> int:
        """Points without an answer."""
        return sum(len(batch) for batch in self.waiting) + sum(
            len(batch)
            for session in self._all_sessions
            for batch in (*session.under_way.values(), *session.returning)
        )

    @property
    def idle(self) -> bool:
        """Return whether nothing waits and nothing is under way."""
        return not (self.moving or any(session.returning for session in self._all_sessions))

    @property
    def moving(self) -> bool:
        """Return whether batches wait or are under way, besides those that wait for a worker's consent."""
        return bool(self.waiting) or any(session.under_way for session in self._all_sessions)

    @property
    def revoked(self) -> int:
        """Workers that are still to be told of batches which are not theirs any more."""
        return sum(bool(session.revoked) for session in self._all_sessions)

    def session(self, worker: str) -> Session | None:
        """Return what there is to do with a worker, be it there or gone."""
        return self.sessions.get(worker) or self._absent.get(worker)

    @property
    def _all_sessions(self) -> tuple[Session, ...]:
        return (*self.sessions.values(), *self._absent.values())

    # -- batches in -----------------------------------------------------------------------

    def put(self, batch: Batch) -> None:
        """Take a batch. One that a former life had handed to a worker still belongs to it."""
        batch.ticket.open_batches += 1
        owner = self._owners.pop(batch.batch_id, None)
        if any(batch.batch_id in session.revoked for session in self._absent.values()):
            batch.message = replace(batch.message, again=True)  # a worker had it in a former life
        if owner is None:
            self.waiting.append(batch)
            return
        session = self.session(owner)
        if session is None:
            session = self._absent[owner] = Session(owner, self._numbers)
        session.add(batch)
        if owner in self.sessions and session.weight == 0:
            self._records += session.take_back([batch])

    def recall(self) -> list[Batch]:
        """Take back, and return, the batches that belong to nobody yet."""
        recalled = [self.waiting.pop() for _ in range(len(self.waiting))]
        for batch in recalled:
            batch.ticket.open_batches -= 1
        return recalled

    def note(self, record: Record) -> None:
        """Have a record written, before anything that is sent from now on."""
        self._records.append(record)

    # -- what the coordinator says --------------------------------------------------------

    def route(self, routes: Iterable[Route]) -> None:
        """Take the workers that there are now."""
        there = {route.name: route for route in routes}
        for name in [name for name in self.sessions if name not in there]:
            self._absent[name] = self.sessions.pop(name)
        for name, route in there.items():
            if name not in self.sessions:
                session = self._absent.pop(name, None) or Session(name, self._numbers)
                session.enter(route.incarnation, joining(self.sessions.values()))
                self.sessions[name] = session
            self._records += self.sessions[name].route(route)

    def _handle_lost(self) -> None:
        """Revoke what workers have that are gone."""
        released: list[Batch] = []
        for session in self._absent.values():
            self._records += session.revoke(list(session.under_way.values()))
            if self.on_lost == "reassign":
                released += session.release()
        self._requeue(released)
        self._absent = {
            worker: session
            for worker, session in self._absent.items()
            if session.revoked or session.returning
        }

    def _requeue(self, batches: list[Batch]) -> None:
        for batch in sorted(batches, key=lambda b: b.message.sequence, reverse=True):
            if batch.refusals >= MAX_REFUSALS:
                self._settle(batch)
                batch.ticket.given_up += len(batch)
                batch.ticket.reason = batch.reason
                self.given_up.append((batch, batch.reason))
            else:
                batch.message = replace(batch.message, again=True)
                self.waiting.put_back(batch)

    def _settle(self, batch: Batch) -> None:
        batch.ticket.open_batches -= 1
        if batch.durable:
            self.note(Settled(*batch.batch_id, len(batch)))

    # -- what workers say -----------------------------------------------------------------

    def credit(self, worker: str, credit: Credit) -> None:
        """Take a worker's consent to a session, and its window."""
        session = self.sessions.get(worker)
        if session is not None:
            self._records += session.credit(credit)
            if session.is_open:
                self._requeue(session.release())

    def acknowledge(self, worker: str, ack: Ack, now: float) -> Batch | None:
        """Take an answer; return the batch it settles (None: refused, or not the owner's, or an old one)."""
        session = self.sessions.get(worker)
        if session is None or ack.session != session.number:
            return None
        session.window_bytes = ack.window_bytes
        batch = session.under_way.get(BatchId(ack.source, ack.incarnation, ack.sequence))
        if batch is None:
            return None
        if ack.outcome == "refused":
            self._handle_refusal(session, batch, ack, now)
            return None
        session.remove(batch)
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

    def _handle_refusal(self, session: Session, batch: Batch, ack: Ack, now: float) -> None:
        batch.reason = ack.reason
        session.blocked_until = now + self.resend_s
        refused = [batch]
        if ack.window_bytes == 0:
            # it takes nothing at all (a full disk): that is not the batch's fault, and the others fare no better
            refused = list(session.under_way.values())
        else:
            batch.refusals += 1
        # another copy of it may still be on its way there: it is moved like any other
        self._records += session.take_back(refused)

    # -- out ------------------------------------------------------------------------------

    def send(self, now: float) -> list[Order]:
        """Return what is to be done now, in this order."""
        self._handle_lost()
        posts = [*self._open_messages(now), *self._overdue(now), *self._next(now)]
        self.waiting.account_for_blocking(now)
        records, self._records = tuple(self._records), []
        return [Write(records), *posts] if records else list(posts)

    def _open_messages(self, now: float) -> Iterator[Post]:
        for session in self.sessions.values():
            message = session.open_message(self.name, now)
            if message is not None:
                yield Post(session.worker, message)

    def _overdue(self, now: float) -> Iterator[Post]:
        for session in self.sessions.values():
            for batch in session.overdue(now, self.resend_s):
                self.resent += batch.first_sent_at > LONG_AGO
                yield self._post(batch, session, now)

    def _next(self, now: float) -> Iterator[Post]:
        while self.waiting and not self.on_hold:
            size = self.waiting.first.size
            session = choose(self.sessions.values(), size, now)
            if session is None:
                return
            batch = self.waiting.pop()
            session.assigned += max(1, size) / session.weight
            session.add(batch)
            if batch.durable:
                self.note(Handed(*batch.batch_id, session.worker))
            yield self._post(batch, session, now)

    def _post(self, batch: Batch, session: Session, now: float) -> Post:
        batch.sent_at = now
        if batch.first_sent_at == LONG_AGO:
            batch.first_sent_at = now
        message = replace(batch.message, sender=self.name, session=session.number)
        return Post(session.worker, message)
