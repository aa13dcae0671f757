"""Batches of one worker's shards on their way to other workers: read, sent, and withdrawn once they are stored.

`workers.handover` feeds in what the coordinator and the other workers say, and sends what `step` returns. The
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

from collections.abc import Iterable
from typing import Protocol

from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.records import Record, Settled, State
from streammac.delivery.scan import Scan, Shards, Wanted
from streammac.delivery.sender import Post, Sender, Write
from streammac.points.batch_id import BatchId
from streammac.wire.messages import Ack, Credit, Route


class Book(Protocol):
    """A ledger: `streammac.delivery.ledger.Ledger`."""

    state: State

    def write(self, records: Iterable[Record]) -> None:
        """Write records, after those that could not be written before."""
        ...


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
    shards : Shards
        What is moved.
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
        shards: Shards,
        ledger: Book,
    ) -> None:
        self.name = name
        self.shards = shards
        self.ledger = ledger
        self.sender = Sender(
            name, session, resend_s, room_bytes, ledger.state, on_lost="hold"
        )  # rule 4
        self.moved = 0
        self._scan: Scan | None = None
        self._inside: dict[BatchId, bool] = {}  # what the sender has
        self._stored: list[BatchId] = []  # at another worker, and not yet withdrawn here
        self._routes: dict[str, Route] | None = None
        self._go_on()

    def _go_on(self) -> None:
        """Take up what a former life had handed to others."""
        for batch_id in list(self.ledger.state.handed):
            if not any(self._put(held_out, batch_id) for held_out in (False, True)):
                # it was withdrawn, or has expired, and only the last record is missing
                self.sender.note(Settled(*batch_id, 0))

    # -- what is asked --------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Return whether nothing is under way, here or in the ledger, and nothing is to go."""
        quiet = self.sender.idle and not self._stored and not self.sender.revoked
        return self._scan is None and quiet

    @property
    def reads(self) -> bool:
        """Return whether batches are under way that must not expire here meanwhile."""
        return self._scan is not None or bool(self._stored) or self.sender.moving

    @property
    def done(self) -> bool:
        """Return whether everything that was ordered to go is with others."""
        taken = self._scan is not None and self._scan.done
        return taken and self.sender.idle and not self._stored

    @property
    def in_doubt(self) -> int:
        """Batches that workers may hold which have gone (rule 4)."""
        return sum(1 for batch_ids in self.ledger.state.revoked.values() for _ in batch_ids)

    # -- orders ---------------------------------------------------------------------------

    def order(self, wanted: Wanted | None) -> None:
        """Begin to move, or stop; what others have been given goes on either way."""
        self._recall()
        self._scan = None if wanted is None else Scan(wanted, self.shards)
        self._route_sender()

    def route(self, routes: Iterable[Route]) -> None:
        """Take the workers that there are now."""
        self._routes = {route.name: route for route in routes if route.name != self.name}
        self._route_sender()

    def _route_sender(self) -> None:
        """Let the sender send to those that are meant; the others are there to give back what they have."""
        if self._routes is None:
            return
        to = self._scan.wanted.to if self._scan is not None else None
        self.sender.route(
            route
            if to is None or route.name in to
            else Route(route.name, route.address, route.incarnation, weight=0.0)
            for route in self._routes.values()
        )

    def credit(self, worker: str, credit: Credit) -> None:
        """Take a worker's consent to a session."""
        self.sender.credit(worker, credit)

    def acknowledge(self, worker: str, ack: Ack, now: float) -> None:
        """Take a worker's answer to a batch."""
        batch = self.sender.acknowledge(worker, ack, now)
        if batch is not None:
            self.moved += len(batch)
            self._stored.append(batch.batch_id)

    # -- the step -------------------------------------------------------------------------

    def step(self, now: float) -> list[Post]:
        """Do what is due, on disk first; return what is to be sent.

        Raises
        ------
        OSError
            If the disk fails. Nothing may be sent then; the next step begins where this one ended.
        """
        self.ledger.write(())
        self._withdraw()
        if self._routes is None:
            return []
        if self._scan is None:
            self._recall()  # what a worker has given back stays
        else:
            self._fill(self._scan, now)
        posts = []
        for order in self.sender.send(now):
            if isinstance(order, Write):
                self.ledger.write(order.records)
            else:
                posts.append(order)
        for batch, _ in self.sender.given_up:  # nobody takes it: it stays
            self._inside.pop(batch.batch_id, None)
            if self._scan is not None:
                self._scan.passed_over += 1
        self.sender.given_up.clear()
        return posts

    def _recall(self) -> None:
        for batch in self.sender.recall():
            del self._inside[batch.batch_id]

    def _withdraw(self) -> None:
        for held_out in (False, True):
            batch_ids = [
                batch_id for batch_id in self._stored if self._inside[batch_id] == held_out
            ]
            if batch_ids:
                self.shards.shard(held_out).withdraw(batch_ids, remember=False)
        for batch_id in self._stored:
            del self._inside[batch_id]
        self._stored.clear()

    def _fill(self, scan: Scan, now: float) -> None:
        """Take batches that may go, as long as there is room for them."""
        scan.check_closing()
        while self.sender.has_room and (found := scan.next(now)) is not None:
            if found.batch_id in self._inside:
                continue
            if self._is_in_doubt(found.batch_id) or not scan.wanted.closing.lets_go(found.sender):
                scan.passed_over += 1
            else:
                scan.taken += self._put(found.held_out, found.batch_id)

    def _is_in_doubt(self, batch_id: BatchId) -> bool:
        return any(batch_id in batch_ids for batch_ids in self.ledger.state.revoked.values())

    def _put(self, held_out: bool, batch_id: BatchId) -> int:
        """Let a batch be sent; return its points, 0 if it is not here."""
        stored = self.shards.shard(held_out).batch(batch_id)
        if stored is None:
            return 0
        self._inside[batch_id] = held_out
        self.sender.put(
            Batch.of(batch_id, stored, Ticket(), held_out=held_out, durable=True, moved=True)
        )
        return len(stored)
