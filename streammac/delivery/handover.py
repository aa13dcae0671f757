"""Batches of one worker's shards on their way to other workers: read, sent, and withdrawn once they are stored.

`workers.handover` feeds in what the coordinator and the other workers say, and sends what `turn` returns. The
rules of `streammac.delivery` hold for a worker that sends, too; four more make a move safe at any moment:

1. A batch goes only when who brought it has *closed*: it has heard, and written down, that the batch is stored, and
   will never send it again. So nobody but us speaks of it from then on.
2. It keeps its name, and stays here until the other worker has answered. Then it is withdrawn, and only after that
   written down as settled: who is killed in between finds it in its ledger, and asks once more.
3. Its name is forgotten here when it is withdrawn. It may come back one day, and must not be taken for a duplicate.
4. A worker that has gone may hold what was sent to it. Such batches are *in doubt*: they stay here as well, and go
   nowhere else, until that worker is back and has agreed that they are not its own.

The other worker has its part in it. It knows who brought each batch, and withdraws at somebody's word only what that
one brought; and a batch that is moved there takes the place of a copy that somebody else has left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from streammac.delivery.closing import Closing
from streammac.delivery.records import Record, Settled, State
from streammac.delivery.sender import BATCH_OVERHEAD_BYTES, Batch, Post, Sender, Ticket, Write
from streammac.points.batch_id import BatchId
from streammac.store.points import Points as StoredPoints
from streammac.wire.messages import Ack, Credit, Points, Route

PASS_S = 0.5
"""Batches that could not go yet are looked at again after so long."""


class Holder(Protocol):
    """A shard, as far as it is moved."""

    def batches(self) -> Iterator[tuple[BatchId, str]]:
        """Yield the batches that it holds and who brought each, the oldest first."""
        ...

    def batch(self, batch_id: BatchId) -> StoredPoints | None:
        """Return a batch, None if it is not here."""
        ...

    def withdraw(self, batch_ids: Iterable[BatchId], *, remember: bool) -> int:
        """Take batches out; return how many points that were."""
        ...


class Book(Protocol):
    """A ledger: `streammac.delivery.ledger.Ledger`."""

    state: State

    def write(self, records: Iterable[Record]) -> None:
        """Write records, after those that could not be written before."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to go.

    Attributes
    ----------
    closing : Closing
        Which batches may go (rule 1).
    to : collection of str or None
        The workers that get it; None: any.
    points : int or None
        So many points at least, whole batches, the oldest first; None: all.
    """

    closing: Closing
    to: Collection[str] | None = None
    points: int | None = None


class Handover:
    """One worker's moving.

    Parameters
    ----------
    name : str
        The worker's name as a sender.
    session : int
        Greater at every start.
    resend_s, room_bytes
        See `Sender`.
    shards : mapping of bool to Holder
        Its shard of training points (False) and that of held-out points (True).
    ledger : Book
        What it knows of its former lives.

    Attributes
    ----------
    moved : int
        Points that other workers have taken over since the process began.
    """

    def __init__(
        self,
        name: str,
        session: int,
        resend_s: float,
        room_bytes: int,
        shards: Mapping[bool, Holder],
        ledger: Book,
    ) -> None:
        self.name = name
        self.shards = shards
        self.ledger = ledger
        self.sender = Sender(name, session, resend_s, room_bytes, ledger.state)
        self.moved = 0
        self._wanted: Wanted | None = None
        self._taken = 0  # points of the order that have been read
        self._pass: Iterator[tuple[bool, BatchId, str]] = iter(())
        self._pass_at = float("-inf")
        self._last = False  # nothing can come any more that this pass does not see
        self._passed_over = 0  # batches of this pass that could not go yet
        self._whole = False
        self._inside: dict[BatchId, bool] = {}  # what the sender has
        self._stored: list[BatchId] = []  # at another worker, and not yet withdrawn here
        self._routes: dict[str, Route] | None = None
        self._go_on()

    def _go_on(self) -> None:
        """Take up what a former life had handed to others."""
        for batch_id in list(self.ledger.state.handed):
            if not any(self._put(held_out, batch_id) for held_out in self.shards):
                # it was withdrawn, or has expired, and only the last record is missing
                self.sender.note(Settled(*batch_id, 0))

    # -- what is asked --------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Return whether nothing is under way, here or in the ledger, and nothing is to go."""
        quiet = self.sender.idle and not self._stored and not self.sender.revoked
        return self._wanted is None and quiet

    @property
    def reads(self) -> bool:
        """Return whether batches are under way that must not expire here meanwhile."""
        return self._wanted is not None or bool(self._stored) or self.sender.moving

    @property
    def done(self) -> bool:
        """Return whether everything that was ordered to go is with others."""
        nothing_left = self._whole
        if self._wanted is not None and self._wanted.points is not None:
            nothing_left = nothing_left or self._taken >= self._wanted.points
        return nothing_left and self.sender.idle and not self._stored

    @property
    def in_doubt(self) -> int:
        """Batches that workers may hold which have gone (rule 4)."""
        return sum(1 for batch_ids in self.ledger.state.revoked.values() for _ in batch_ids)

    # -- orders ---------------------------------------------------------------------------

    def order(self, wanted: Wanted | None) -> None:
        """Begin to move, or stop; what others have been given goes on either way."""
        self._recall()
        self._wanted = wanted
        self._taken = self._passed_over = 0
        self._last = self._whole = False
        self._pass, self._pass_at = iter(()), float("-inf")
        self._tell_sender()

    def route(self, routes: Iterable[Route]) -> None:
        """Take the workers that there are now."""
        self._routes = {route.name: route for route in routes if route.name != self.name}
        self._tell_sender()

    def _tell_sender(self) -> None:
        """Let the sender see whom it may send to; the others are there to give back what they have."""
        if self._routes is None:
            return
        to = self._wanted.to if self._wanted is not None else None
        seen = []
        for route in self._routes.values():
            aside = to is not None and route.name not in to
            seen.append(
                Route(route.name, route.address, route.incarnation, 0.0) if aside else route
            )
        # to the sender, who is gone for good loses its batches at once: that would be a guess (rule 4)
        for name in self.sender.concerned - self._routes.keys():
            lane = self.sender.lanes.get(name)
            seen.append(Route(name, "", 0 if lane is None else lane.incarnation, 0.0))
        self.sender.route(seen)

    def credit(self, worker: str, credit: Credit) -> None:
        """Take a worker's consent to a session."""
        self.sender.credit(worker, credit)

    def acknowledge(self, worker: str, ack: Ack, now: float) -> None:
        """Take a worker's answer to a batch."""
        batch = self.sender.acknowledge(worker, ack, now)
        if batch is not None:
            self.moved += len(batch)
            self._stored.append(batch.batch_id)

    # -- the turn -------------------------------------------------------------------------

    def step(self, now: float) -> list[Post]:
        """Do what is due, on disk first; return what is to be sent.

        Raises
        ------
        OSError
            If the disk fails. Nothing may be sent then; the next turn begins where this one ended.
        """
        self.ledger.write(())
        self._withdraw()
        if self._routes is None:
            return []
        if self._wanted is None:
            self._recall()  # what a worker has given back stays
        self._fill(now)
        posts = []
        for order in self.sender.send(now):
            if isinstance(order, Write):
                self.ledger.write(order.records)
            else:
                posts.append(order)
        for batch, _ in self.sender.given_up:  # nobody takes it: it stays
            self._inside.pop(batch.batch_id, None)
            self._passed_over += 1
        self.sender.given_up.clear()
        return posts

    def _recall(self) -> None:
        for batch in self.sender.recall():
            del self._inside[batch.batch_id]

    def _withdraw(self) -> None:
        for held_out, shard in self.shards.items():
            batch_ids = [
                batch_id for batch_id in self._stored if self._inside[batch_id] == held_out
            ]
            if batch_ids:
                shard.withdraw(batch_ids, remember=False)
        for batch_id in self._stored:
            del self._inside[batch_id]
        self._stored.clear()

    def _fill(self, now: float) -> None:
        wanted = self._wanted
        if wanted is not None and self._last and not wanted.closing.closed:
            self._last = self._whole = (
                False  # somebody came who had not heard that this worker gives all away
            )
        while wanted is not None and self.sender.has_room:
            if wanted.points is not None and self._taken >= wanted.points:
                return
            following = next(self._pass, None)
            if following is not None:
                self._consider(*following, wanted=wanted)
            elif self._last and not self._passed_over:
                self._whole = True
                return
            elif now >= self._pass_at:
                self._pass_at, self._passed_over = now + PASS_S, 0
                self._last = wanted.closing.closed
                self._pass = ((h, *b) for h, shard in self.shards.items() for b in shard.batches())
            else:
                return

    def _consider(self, held_out: bool, batch_id: BatchId, sender: str, wanted: Wanted) -> None:
        if batch_id in self._inside:
            return
        doubtful = any(batch_id in batch_ids for batch_ids in self.ledger.state.revoked.values())
        if doubtful or not wanted.closing.lets_go(sender):
            self._passed_over += 1
        else:
            self._put(held_out, batch_id)

    def _put(self, held_out: bool, batch_id: BatchId) -> bool:
        stored = self.shards[held_out].batch(batch_id)
        if stored is None:
            return False
        tensors = {"x": stored.x}
        if stored.y is not None:
            tensors["y"] = stored.y
        if stored.time is not None:
            tensors["time"] = stored.time
        message = Points(*batch_id, held_out, tensors, tuple(stored.keys or ()), moved=True)
        size = sum(t.nbytes for t in tensors.values()) + sum(map(len, message.keys))
        self._inside[batch_id] = held_out
        self._taken += len(stored)
        self.sender.put(Batch(message, size + BATCH_OVERHEAD_BYTES, Ticket(), durable=True))
        return True
