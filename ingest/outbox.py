"""Validated points on their way to the workers, and the node's books: what is sent, settled, dead-lettered.

The node's I/O loop puts deliveries in and passes on what workers say; `flush` returns what is to be sent, after
the ledger has it. No sockets here: files are the ledger and the dead letters.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from ingest.cutting import Origin, cut
from ingest.dead_letters import DeadLetterFile
from ingest.ingest_queue import Delivery
from ingest.late_targets import Brought, LateTargets, Outcome
from ingest.positions import Position, Positions
from ingest.progress import IngestState
from ingest.records import Refused
from ingest.sources.base import Seekable
from ingest.waiting_room import WaitingRoom
from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.ledger import Ledger
from streammac.delivery.sender import Post, Sender, Write
from streammac.points.batch_id import BatchId
from streammac.settings.schema import Settings, duration_s
from streammac.wire.messages import Ack, Credit, Route
from streammac.wire.reports import IngestReport, Lasting, LateCounts

log = logging.getLogger(__name__)

LETTERS = 1000
"""Dead letters that are kept of a request or push; who sent it has the records, and is told how many are refused."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A delivery that somebody waits for."""

    ticket: Ticket
    delivery: Delivery


class Outbox:
    """What one ingest node has taken.

    Parameters
    ----------
    name : str
        The node's name.
    incarnation : int
        Of its process; greater at every start.
    settings : Settings
        The cluster's.
    ledger : Ledger
        The node's, open.
    letters : DeadLetterFile
        Where refused records go.
    room : Ledger, optional
        What is on disk of points that wait for their targets, open; without it none does.

    Attributes
    ----------
    sender : Sender
        Sees to it that every batch is stored exactly once.
    positions : Positions
        Of seekable feeds.
    letters : DeadLetterFile
        The dead letters.
    late : LateTargets or None
        Points that wait for their targets.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        settings: Settings,
        ledger: Ledger[IngestState],
        letters: DeadLetterFile,
        room: Ledger[WaitingRoom] | None = None,
    ) -> None:
        ingest = settings.ingest
        self.name = name
        self.sender = Sender(name, incarnation, ingest.resend_s, ingest.window_bytes, ledger.state)
        self.positions = Positions(ledger.state, incarnation)
        self._incarnation = incarnation
        self._settings = settings
        self._ledger = ledger
        self.letters = letters
        self._open: list[_Open] = []
        self._streamed = 0  # records of feeds that cannot be read again: they name their batches
        self._pushed = ledger.state.points  # points of pushes, in all lives of the node
        self._others = 0  # records that only this life of the node counts
        self._dead_lettered = 0  # those of them that are dead letters
        self._routed = self._stuck = False
        self.late = None if room is None else self._late_targets(room)

    def _late_targets(self, room: Ledger[WaitingRoom]) -> LateTargets:
        patience_s = duration_s(self._settings.stream.late_targets) or 0.0
        limit_bytes, is_settled = self._settings.ingest.late_bytes, self._ledger.state.is_settled
        late = LateTargets(room, patience_s, limit_bytes, self._name, is_settled)
        for batch in late.resume():
            if is_settled(batch.batch_id):
                late.settled(batch.batch_id)
            else:
                self._put(batch)
        return late

    def _name(self, points: int) -> Origin:
        """Name the batches of points that got their targets: the node has them again after it was killed."""
        return replace(self._stream(points), durable=True)

    def _put(self, batch: Batch) -> None:
        self.sender.put(batch)
        self._pushed += len(batch)

    # -- feeds and requests ---------------------------------------------------------------

    def open_feed(self, name: str, source: Seekable) -> Position:
        """Return where a feed is to be read from."""
        position, begun = self.positions.open(
            name, source, self._settings.ingest.batch_points, self._settings.held_out.share
        )
        if begun is not None:
            self.sender.note(begun)
        return position

    def take(self, delivery: Delivery) -> None:
        """Take a delivery: its good points are on their way, its bad ones become dead letters."""
        ticket, parts = Ticket(), delivery.parts
        if delivery.feed:
            position = self.positions[delivery.feed]
            position.take(ticket, parts.records, parts.refused, delivery.end, parts.apart)
        elif parts.refused:
            kept = parts.refused[: LETTERS if delivery.settled else None]
            self.letters.append(delivery.source, delivery.format, kept)
            self._others += len(parts.refused)
            self._dead_lettered += len(parts.refused)
        origin = delivery.origin or self._stream(parts.records)
        for batch in cut(parts.points, origin, ticket):
            if self._ledger.state.is_settled(batch.batch_id):
                ticket.duplicate += len(batch)  # in a former life
                continue
            self.sender.put(batch)
            if delivery.feed:
                continue
            if batch.durable:
                self._pushed += len(batch)
            else:
                self._others += len(batch)
        if parts.apart and self.late is not None:
            first = origin.first.later(len(parts.points), held_out=False)
            # a feed is read on once all is on disk here; who waits for an answer is told what workers say
            batches = Ticket() if delivery.feed else ticket
            for content in (parts.waiting, parts.targets):
                if content is not None:
                    self.late.put(Brought(delivery.source, content, first, ticket, batches))
        if delivery.settled is not None:
            self._open.append(_Open(ticket, delivery))

    def _stream(self, records: int) -> Origin:
        first, self._streamed = self._streamed, self._streamed + records
        batch_id = BatchId.of_stream(self.name, self._incarnation, first)
        batch_points, share = self._settings.ingest.batch_points, self._settings.held_out.share
        return Origin(batch_id, batch_points, share, first, durable=False)

    # -- workers --------------------------------------------------------------------------

    def route(self, routes: Iterable[Route]) -> None:
        """Take the workers that there are now."""
        self._routed = True
        self.sender.route(routes)

    def handle(self, worker: str, message: Ack | Credit, now: float) -> Batch | None:
        """Take what a worker says; return the batch that it settles."""
        if isinstance(message, Credit):
            self.sender.credit(worker, message)
            return None
        if message.outcome == "refused":
            log.warning("%s refused a batch: %s", worker, message.reason)
        batch = self.sender.acknowledge(worker, message, now)
        if batch is not None and self.late is not None:
            self.late.settled(batch.batch_id)
        return batch

    def flush(self, now: float) -> list[Post]:
        """Settle what can be settled; return what is to be sent now."""
        self._dead_letter()
        if self.late is not None:
            self._carry_out(self.late.flush(now))
        self._move()
        self._tell_settled()
        if not self._routed:
            return []  # or what former lives had handed to workers would seem to be nobody's
        orders = self.sender.send(now)
        records = [r for order in orders if isinstance(order, Write) for r in order.records]
        try:
            self._ledger.write(records)  # also what could not be written before
        except OSError as error:
            # nothing may be sent that the ledger does not know of; what is lost here is sent again later
            if not self._stuck:
                log.warning("nothing is sent, the ledger cannot be written: %s", error)
            self._stuck = True
            return []
        self._stuck = False
        return [order for order in orders if isinstance(order, Post)]

    def _carry_out(self, outcome: Outcome) -> None:
        """Send points that got their targets, and make dead letters of what did not come together."""
        for batch in outcome.batches:
            self._put(batch)
        for (source, form), some in groupby(outcome.letters, lambda letter: letter[:2]):
            self.letters.append(source, form, [refused for *_, refused in some])
        self._others += len(outcome.letters)
        self._dead_lettered += len(outcome.letters)

    def _dead_letter(self) -> None:
        """Make dead letters of what no worker takes."""
        for batch, reason in self.sender.given_up:
            x = batch.message.tensors["x"]
            self.letters.append(self.name, x.dtype.str, [Refused(r.tobytes(), reason) for r in x])
            if self.late is not None:
                self.late.settled(batch.batch_id)
            if batch.batch_id.feed is None:  # those of feeds are counted by position
                self._dead_lettered += len(batch)
        self.sender.given_up.clear()

    def _move(self) -> None:
        for position in self.positions:
            moved = position.move()
            if moved is None:
                continue
            if moved.refused:
                source = position.source
                self.letters.append(source.name, source.format, moved.refused)
            self.sender.note(moved.record)

    def _tell_settled(self) -> None:
        still_open = []
        for entry in self._open:
            if entry.ticket.settled and entry.delivery.settled is not None:
                entry.delivery.settled(entry.ticket)
            else:
                still_open.append(entry)
        self._open = still_open

    def close(self) -> None:
        """Close the files."""
        self._ledger.close()
        if self.late is not None:
            self.late.close()

    # -- the books ------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Return whether everything that was taken is settled, and the ledger knows it."""
        is_late = self.late is not None and not self.late.idle
        return self.sender.idle and not (self._open or self._stuck or is_late)

    @property
    def has_room(self) -> bool:
        """Return whether more may be put in."""
        return self.sender.has_room and (self.late is None or self.late.has_room)

    @property
    def sent(self) -> int:
        """Records taken: of seekable feeds and pushes in all lives of the node, open now or not."""
        return self._lasting_sent + self._others

    @property
    def _lasting_sent(self) -> int:
        return self._pushed + self.positions.taken

    def report(self) -> IngestReport:
        """Return what the node knows from here."""
        sender = self.sender
        dead = self.positions.dead_lettered
        return IngestReport(
            sent=self.sent,
            dead_lettered=self._dead_lettered + dead,
            lasting=Lasting(self._lasting_sent, dead, self._ledger.state.settled_records),
            acknowledged=sender.acknowledged,
            duplicate=sender.duplicate,
            unacknowledged=sender.unacknowledged,
            revoked=sender.revoked,
            resent=sender.resent,
            blocked_s=sender.waiting.blocked_s,
            late=LateCounts() if self.late is None else self.late.report(),
        )
