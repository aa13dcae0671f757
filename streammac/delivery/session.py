"""A sender's side of what it has to do with one worker: the handshake, credit, and the batches it has there; no I/O.

The handshake has two states:

===========  ==============================================  =================================================
a session    means                                           ends with
===========  ==============================================  =================================================
has begun    nothing of a former one counts; `OpenSession`   the worker's `Credit`: it is *open*, or another one
             goes to the worker, again and again, and tells  begins if there is more to revoke than one message
             what is revoked there                           holds, or if the worker knows a newer one
is open      the worker has agreed: points go there, within  a new process of the worker, an end of draining,
             its window                                      batches that are taken back: another one begins
===========  ==============================================  =================================================

Of a worker that has gone no message counts and none goes there. What it may have is remembered until it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from streammac.delivery.batch import LONG_AGO, Batch
from streammac.delivery.records import Record, RevocationConfirmed, Revoked
from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet
from streammac.wire.messages import BatchIdRanges, Credit, OpenSession, Route

OPEN_SESSION_S = 1.0
"""A worker that has not agreed to a session, or has no credit to give, is asked again after so long."""
REVOKED_AT_ONCE = 10_000
"""Ranges of revoked batches that one message announces; a header has a limit. More follow in the next session."""


class SessionNumbers:
    """Numbers for one sender's sessions, each greater than all before it; the first is greater than ``last``."""

    def __init__(self, last: int) -> None:
        self._last = last

    def next(self, above: int = 0) -> int:
        """Return the next number, and one above that of a session that a worker knows."""
        self._last = max(self._last, above) + 1
        return self._last


@dataclass(slots=True, eq=False)
class Session:
    """What a sender has to do with one worker; its methods return what the ledger is to know of them.

    Attributes
    ----------
    worker : str
        The worker's name.
    numbers : SessionNumbers
        Shared by all sessions of the sender.
    incarnation : int
        Which process of the worker's name is meant.
    weight : float
        Share of the feed it is to get, relative to the others (its measured speed); 0: it drains.
    number : int
        The session that was begun last: nothing of another one counts.
    is_open : bool
        The worker has agreed to the session.
    asked_at : float
        When it was last asked to.
    window_bytes : int
        Bytes that may be under way without an acknowledgement; 0: no credit.
    outstanding_bytes : int
        Bytes that are under way.
    assigned : float
        Bytes given to it so far, divided by its weight: who is behind is next.
    blocked_until : float
        After a refusal the worker is left alone for a while.
    under_way : dict of BatchId to Batch
        Batches that belong to the worker.
    returning : list of Batch
        Batches that were taken back, until the worker consents.
    revoked : BatchIdSet
        Batches that it may have copies of, though they are not its own any more.
    announced : BatchIdSet
        Those of them that this session tells it of.
    """

    worker: str
    numbers: SessionNumbers
    incarnation: int = 0
    weight: float = 1.0
    number: int = 0
    is_open: bool = False
    asked_at: float = LONG_AGO
    window_bytes: int = 0
    outstanding_bytes: int = 0
    assigned: float = 0.0
    blocked_until: float = 0.0
    under_way: dict[BatchId, Batch] = field(default_factory=dict)
    returning: list[Batch] = field(default_factory=list)
    revoked: BatchIdSet = field(default_factory=BatchIdSet)
    announced: BatchIdSet = field(default_factory=BatchIdSet)

    # -- what the coordinator says --------------------------------------------------------

    def enter(self, incarnation: int, assigned: float) -> None:
        """Begin with a worker that was not there so far."""
        self.incarnation, self.weight, self.assigned = incarnation, 1.0, assigned
        self.window_bytes, self.blocked_until = 0, 0.0
        self.begin()

    def route(self, route: Route) -> list[Record]:
        """Take what the coordinator says of the worker."""
        if route.incarnation != self.incarnation:
            # another process with the same shards: what it has of the former one, it knows as duplicates
            self.incarnation, self.window_bytes = route.incarnation, 0
            self.begin()
        records: list[Record] = []
        if route.weight == 0 and self.weight > 0:
            records = self.take_back(list(self.under_way.values()))
        elif route.weight > 0 and self.weight == 0:
            self.begin()
        self.weight = route.weight
        return records

    # -- the handshake --------------------------------------------------------------------

    def begin(self, above: int = 0) -> None:
        """Begin a new session: nothing of the former counts, what is under way goes once more."""
        self.number = self.numbers.next(above)
        self.is_open, self.asked_at = False, LONG_AGO
        self.announced = _some(self.revoked)
        for batch in self.under_way.values():
            batch.sent_at = LONG_AGO

    def open_message(self, sender: str, now: float) -> OpenSession | None:
        """Return what is to be asked now, if anything."""
        asks = not self.is_open or (self.window_bytes == 0 and self.weight > 0)
        if not asks or now - self.asked_at < OPEN_SESSION_S:
            return None
        self.asked_at = now
        announced = self.announced.to_json()
        ranges = tuple(
            BatchIdRanges(source, incarnation, tuple((a, b) for a, b in pairs))
            for source, incarnation, pairs in announced
        )
        # the last of several sessions closes, so that the worker does not believe it before it knows all
        closing = self.weight == 0 and announced == self.revoked.to_json()
        return OpenSession(sender, self.number, self.incarnation, ranges, closing)

    def credit(self, credit: Credit) -> list[Record]:
        """Take the worker's consent to a session, and its window."""
        if credit.session > self.number:  # a former life of this sender had a clock that was ahead
            self.begin(above=credit.session)
        if credit.session != self.number:
            return []
        self.window_bytes = credit.window_bytes
        if self.is_open:
            return []
        confirmed, self.announced = self.announced, BatchIdSet()
        for batch_id in confirmed:
            self.revoked.discard(batch_id)
        if self.revoked:
            self.begin()
        else:
            self.is_open = True
        return [RevocationConfirmed(self.worker, confirmed.to_json())] if confirmed else []

    # -- batches --------------------------------------------------------------------------

    def takes(self, size: int, now: float) -> bool:
        """Return whether it has credit for so many bytes.

        A batch larger than the whole window goes when nothing else is under way, or it would never go.
        """
        if not self.is_open or self.weight <= 0 or self.window_bytes == 0:
            return False
        if now < self.blocked_until:
            return False
        return self.outstanding_bytes == 0 or self.outstanding_bytes + size <= self.window_bytes

    def add(self, batch: Batch) -> None:
        """Let a batch belong to the worker."""
        self.under_way[batch.batch_id] = batch
        self.outstanding_bytes += batch.size

    def remove(self, batch: Batch) -> None:
        """Let a batch be under way no more."""
        del self.under_way[batch.batch_id]
        self.outstanding_bytes -= batch.size

    def overdue(self, now: float, resend_s: float) -> Iterator[Batch]:
        """Yield the batches that are to be sent once more."""
        if self.is_open and now >= self.blocked_until:
            for batch in self.under_way.values():
                if now - batch.sent_at >= resend_s:
                    yield batch

    def revoke(self, batches: Sequence[Batch]) -> list[Record]:
        """Let batches not belong to the worker any more."""
        batch_ids = BatchIdSet()
        for batch in batches:
            self.remove(batch)
            batch.sent_at = LONG_AGO
            batch_ids.add(batch.batch_id)
        self.returning += batches
        self.revoked.update(batch_ids)
        return [Revoked(self.worker, batch_ids.to_json())] if batches else []

    def take_back(self, batches: Sequence[Batch]) -> list[Record]:
        """Revoke batches, and ask the worker for its consent."""
        records = self.revoke(batches)
        self.begin()
        return records

    def release(self) -> list[Batch]:
        """Return what was taken back; it may go to another worker now."""
        released, self.returning = self.returning, []
        return released


def _some(batch_ids: BatchIdSet) -> BatchIdSet:
    """Return as many of the batch ids as one message holds."""
    chosen, left = [], REVOKED_AT_ONCE
    for source, incarnation, ranges in batch_ids.to_json():
        part = ranges[:left]
        left -= len(part)
        if part:
            chosen.append([source, incarnation, part])
    return BatchIdSet(chosen)
