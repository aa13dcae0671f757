"""A worker's side of delivery: which points are believed, stored, refused or left without an answer; without I/O.

Whoever has a shard feeds in what senders say; `Receiver.take` returns the answers, and none of them before what it
promises is safe. What a session is, `streammac.delivery` tells; time is an argument.

==============================================  ============================================================
`OpenSession` for another process of this name  no answer: the sender has not heard yet that this one has begun
`OpenSession` of an older session               the newer one's `Credit`: the sender begins one that is newer still
`OpenSession` of a newer session                nothing of the former counts any more; what it revokes is withdrawn,
                                                then `Credit`. No answer while the disk does not take the withdrawal
`Points` of the session that was agreed on      stored, a duplicate, or refused
`Points` of any other                           no answer: the sender has taken them back, or sends them again
Either, of a session that was ended             no answer: its sender is through, and this is a late copy
==============================================  ============================================================

Sessions are not kept on disk. An `OpenSession` names the process it is meant for, so a session that a former process
agreed on cannot begin again in this one, whatever still lies in its sockets.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from streammac.points.batch_id import BatchId
from streammac.store.errors import ShardUnusable, StoreError
from streammac.wire.messages import Ack, BatchIdRanges, Credit, OpenSession, Points
from streammac.wire.sockets import worth_saying

log = logging.getLogger(__name__)

RETRY_S = 2.0
"""After the disk has failed nothing is tried for so long; then the next batch shows whether it takes more."""
MAX_SENDERS = 4096
"""Senders that a worker remembers; further ones get no answer."""
MAX_REVOKED = 40_000
"""Batches that one message may revoke, far more than a sender does; the worker stands still meanwhile."""

P = TypeVar("P")
Kept = Literal["stored", "duplicate"]
Outcome = Literal["stored", "duplicate", "refused"]


class Store(Protocol):
    """Where batches live: a worker's shards, or a model of them in tests."""

    def append(self, batches: Sequence[Points]) -> Sequence[Kept | OSError | StoreError]:
        """Store batches, each unless one of its id is there.

        Returns
        -------
        sequence
            What became of each, or why nothing of it is kept. `StoreError`: it is not one for this store; but
            `ShardUnusable` is none of these, it speaks of the store.

        Raises
        ------
        ShardUnusable
            If the store takes nothing.
        """
        ...

    def withdraw(self, batch_ids: Iterable[BatchId], sender: str) -> int:
        """Take out batches of this sender, as if they had never been here; return the number of points.

        A batch of that id which somebody else has brought since stays: it lives here now.

        Raises
        ------
        OSError, ShardUnusable
            If the store cannot. Some may still be there; the sender asks again.
        """
        ...

    def commit(self) -> None:
        """Make everything that was appended as safe as an acknowledgement promises.

        Raises
        ------
        OSError, ShardUnusable
            If it cannot; what of it is kept is then unknown.
        """
        ...


@dataclass(slots=True)
class ReceiverSession:
    """What is known of a sender. Not ``agreed``: it was opened, and its revocations could not be carried out yet.

    ``ended``: the coordinator has said that the sender is through; only a newer session counts. ``let_go``: batches of
    this sender may have gone on to other workers since.
    """

    number: int
    agreed: bool = False
    closing: bool = False
    ended: bool = False
    let_go: bool = False
    _before: tuple[bool, bool] = (False, False)

    @property
    def closed(self) -> bool:
        """Return whether nothing of this sender can come any more, and nothing is revoked any more."""
        return self.agreed and self.closing

    def end(self) -> None:
        """Let nothing of it count any more: what still comes was sent twice, and may live elsewhere by now."""
        self._before = self.agreed, self.closing
        self.agreed, self.closing, self.ended = False, False, True

    def go_on(self) -> None:
        """Let it count again, if it was ended at a word that was older than it and nothing has come of that."""
        if self.ended and not self.let_go:
            (self.agreed, self.closing), self.ended = self._before, False


@dataclass(frozen=True, slots=True)
class _Taken:
    """A batch and what became of it, until its answer may leave."""

    batch: Points
    outcome: Outcome
    reason: str = ""


class Receiver(Generic[P]):
    """The sessions of one worker.

    ``P`` is how a sender is reached, whatever the shell uses for that; it comes with a message, and goes back
    with the answer.

    Parameters
    ----------
    incarnation : int
        Which process of the worker's name this is.
    window_bytes : int
        Credit of each sender.
    store : Store
        Where batches go.

    Attributes
    ----------
    sessions : dict
        By sender.
    refusing : str
        Why the store takes nothing at present; empty if it does.
    stored, duplicates, withdrawn : int
        Points that were stored, came again, were taken out again.
    refused, stale, malformed : int
        Batches that were refused, batches without an answer, openings that cannot be meant.
    """

    def __init__(self, incarnation: int, window_bytes: int, store: Store) -> None:
        self.incarnation = incarnation
        self.window_bytes = window_bytes
        self.sessions: dict[str, ReceiverSession] = {}
        self.refusing = ""
        self.stored = self.duplicates = self.withdrawn = 0
        self.refused = self.stale = self.malformed = 0
        self._store = store
        self._retry_at = float("-inf")

    @property
    def closed(self) -> bool:
        """Return whether every sender has said that it sends no more: nothing can come any more."""
        return all(session.closed for session in self.sessions.values())

    def take(
        self, arrived: Iterable[tuple[P, OpenSession | Points]], now: float
    ) -> list[tuple[P, Credit | Ack]]:
        """Take what has arrived together, make it safe together, and return the answers.

        Parameters
        ----------
        arrived : iterable of (peer, message)
            In the order of arrival.
        now : float
            Seconds of a clock that does not jump.
        """
        outcomes: list[tuple[P, ReceiverSession | _Taken]] = []
        together: list[tuple[P, Points]] = []
        for peer, message in arrived:
            if isinstance(message, Points) and self._counts(message):
                together.append((peer, message))
                continue
            outcomes += self._stored(together, now)
            together = []
            if isinstance(message, OpenSession):
                session = self._opened(message, now)
                if session is not None:
                    outcomes.append((peer, session))
            else:
                self.stale += 1
                session = self.sessions.get(message.sender)
                if session is not None and session.agreed and message.session < session.number:
                    # perhaps a session that its sender does not know of: it is to begin a newer one
                    outcomes.append((peer, session))
        outcomes += self._stored(together, now)
        if any(isinstance(outcome, _Taken) for _, outcome in outcomes):
            outcomes = self._committed(outcomes, now)
        return [(peer, self._answer(outcome, now)) for peer, outcome in outcomes]

    # -- sessions -------------------------------------------------------------------------

    def _opened(self, message: OpenSession, now: float) -> ReceiverSession | None:
        """Return the session to answer with, None for no answer."""
        if message.incarnation != self.incarnation:
            return None
        known = self.sessions.get(message.sender)
        if known is None and len(self.sessions) >= MAX_SENDERS:
            log.warning("%s: no answer, there are %d senders already", message.sender, MAX_SENDERS)
            return None
        if known is None or message.session > known.number:
            if _count(message.revoked) > MAX_REVOKED:
                self.malformed += 1
                log.warning("%s revokes more than %d batches", message.sender, MAX_REVOKED)
                return None
            # from here on nothing of the former session is stored, whether the rest succeeds or not
            known = self.sessions[message.sender] = ReceiverSession(message.session)
        if message.session == known.number and not (known.agreed or known.ended):
            try:
                self.withdrawn += self._store.withdraw(_batch_ids(message.revoked), message.sender)
            except (OSError, ShardUnusable) as error:
                self._failed(error, now)
                return None
            known.agreed, known.closing = True, message.closing
        # a session that is opened twice withdraws nothing more: what it revoked may have come back since
        return known if known.agreed else None

    # -- points ---------------------------------------------------------------------------

    def _counts(self, batch: Points) -> bool:
        session = self.sessions.get(batch.sender)
        return session is not None and session.agreed and session.number == batch.session

    def _stored(self, together: Sequence[tuple[P, Points]], now: float) -> list[tuple[P, _Taken]]:
        """Store batches that came one after the other; return what became of each."""
        if not together:
            return []
        batches = [batch for _, batch in together]
        if now < self._retry_at:
            return [(peer, _Taken(batch, "refused", self.refusing)) for peer, batch in together]
        kept: Sequence[Kept | OSError | StoreError]
        try:
            kept = self._store.append(batches)
        except ShardUnusable as error:
            kept = [error] * len(batches)
        failure = next((one for one in kept if isinstance(one, OSError | ShardUnusable)), None)
        if failure is not None:
            self._failed(failure, now)
        elif not all(isinstance(one, StoreError) for one in kept):
            self.refusing = ""
        return [
            (peer, self._taken(batch, one))
            for (peer, batch), one in zip(together, kept, strict=True)
        ]

    def _taken(self, batch: Points, kept: Kept | OSError | StoreError) -> _Taken:
        match kept:
            case OSError() | ShardUnusable():
                return _Taken(batch, "refused", self.refusing)
            case StoreError():
                if worth_saying(self.refused):
                    log.warning("refused a batch of %s: %s", batch.sender, kept)
                return _Taken(batch, "refused", str(kept))
        return _Taken(batch, kept)

    def _committed(
        self, outcomes: list[tuple[P, ReceiverSession | _Taken]], now: float
    ) -> list[tuple[P, ReceiverSession | _Taken]]:
        """Return what became of the batches in the end."""
        try:
            self._store.commit()
        except (OSError, ShardUnusable) as error:
            self._failed(error, now)
            outcomes = [
                (p, _Taken(o.batch, "refused", o.reason or self.refusing))
                if isinstance(o, _Taken)
                else (p, o)
                for p, o in outcomes
            ]
        for _, outcome in outcomes:
            if isinstance(outcome, _Taken):
                self._count(outcome)
        return outcomes

    def _count(self, taken: _Taken) -> None:
        if taken.outcome == "refused":
            self.refused += 1
            return
        points = len(taken.batch.tensors["x"])
        if taken.outcome == "stored":
            self.stored += points
        else:
            self.duplicates += points

    def _failed(self, error: Exception, now: float) -> None:
        if not self.refusing:
            log.warning("takes no points: %s", error)
        self.refusing = f"{type(error).__name__}: {error}"
        self._retry_at = now + RETRY_S

    # -- answers --------------------------------------------------------------------------

    def _window(self, now: float) -> int:
        return 0 if now < self._retry_at else self.window_bytes

    def _answer(self, outcome: ReceiverSession | _Taken, now: float) -> Credit | Ack:
        window = self._window(now)
        if isinstance(outcome, ReceiverSession):
            return Credit(outcome.number, window)
        batch = outcome.batch
        return Ack(
            batch.source,
            batch.incarnation,
            batch.sequence,
            batch.session,
            outcome.outcome,
            window,
            outcome.reason,
        )


def _count(revoked: Iterable[BatchIdRanges]) -> int:
    return sum(max(0, last - first + 1) for some in revoked for first, last in some.ranges)


def _batch_ids(revoked: Iterable[BatchIdRanges]) -> Iterator[BatchId]:
    for some in revoked:
        for first, last in some.ranges:
            for sequence in range(first, last + 1):
                yield BatchId(some.source, some.incarnation, sequence)
