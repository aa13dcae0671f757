"""Getting every batch stored exactly once: sequences, credit, resending; a state machine without I/O.

The node offers points and feeds in what workers say; the producer answers with messages to send and with
tickets that are settled. Time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ingest.records import Arrays
from ingest.routing import Lane, choose, joining
from streammac.wire.messages import Ack, Points

BATCH_OVERHEAD_BYTES = 1024
"""What a batch costs besides its points, counted with them: tiny batches are bounded, too."""
MAX_REFUSALS = 20
"""A batch that workers refuse so often is given up as dead letters."""


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
    """One batch on its way."""

    message: Points
    size: int
    ticket: Ticket
    worker: str | None = None
    sent_at: float = 0.0
    first_sent_at: float = 0.0
    refusals: int = 0

    def __len__(self) -> int:
        return len(self.message.tensors["x"])


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send a batch to a worker."""

    worker: str
    message: Points


@dataclass(slots=True)
class Producer:
    """The batches of one ingest node.

    Parameters
    ----------
    source : str
        The node's name: the first part of its batches' marks.
    incarnation : int
        The second part, new at every start of the process.
    batch_points : int
        Most points of a batch.
    resend_s : float
        An unanswered batch is sent again after so long.
    room_bytes : int
        Bytes that may wait for credit before `has_room` says no.
    """

    source: str
    incarnation: int
    batch_points: int
    resend_s: float
    room_bytes: int
    lanes: dict[str, Lane] = field(default_factory=dict)
    acknowledged: int = 0
    duplicate: int = 0
    resent: int = 0
    blocked_s: float = 0.0
    given_up: list[tuple[Batch, str]] = field(default_factory=list)
    """Batches that nobody takes; the node makes dead letters of them and empties the list."""
    _next: int = 0
    _waiting: deque[Batch] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _under_way: dict[int, Batch] = field(default_factory=dict)
    _blocked_since: float | None = None

    # -- what the node asks ---------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Return whether more may be offered: the only flow control towards sources."""
        return self._waiting_bytes < self.room_bytes

    @property
    def waiting_bytes(self) -> int:
        """Return the bytes that wait for credit."""
        return self._waiting_bytes

    @property
    def unacknowledged(self) -> int:
        """Points without an answer."""
        batches = [*self._waiting, *self._under_way.values()]
        return sum(len(batch) for batch in batches)

    @property
    def idle(self) -> bool:
        """Return whether nothing waits and nothing is under way."""
        return not self._waiting and not self._under_way

    # -- points in ------------------------------------------------------------------------

    def offer(self, points: Arrays, held_out: np.ndarray, ticket: Ticket) -> None:
        """Queue points; ``held_out`` (n,) bool marks those of the probe, which travel apart."""
        ticket.points += len(points)
        together = points.rows_together(self.batch_points)
        for first in range(0, len(points), together):
            rows = slice(first, first + together)
            mask = held_out[rows]
            part = points.take(rows)
            if mask.any():
                self._queue(part.take(mask), ticket, held_out=True)
                part = part.take(~mask)
            if len(part):
                self._queue(part, ticket, held_out=False)

    def _queue(self, points: Arrays, ticket: Ticket, *, held_out: bool) -> None:
        tensors = {"x": points.x}
        if points.y is not None:
            tensors["y"] = points.y
        if points.time is not None:
            tensors["time"] = points.time
        message = Points(self.source, self.incarnation, self._next, held_out, tensors, points.keys)
        self._next += 1
        ticket.open_batches += 1
        size = points.nbytes + BATCH_OVERHEAD_BYTES
        self._waiting.append(Batch(message, size, ticket))
        self._waiting_bytes += size

    # -- what workers and the coordinator say ---------------------------------------------

    def route(self, workers: Iterable[str], weights: Mapping[str, float] | None = None) -> None:
        """Take the workers that there are now; what was under way to others goes to these."""
        names = set(workers)
        for name in names - self.lanes.keys():
            self.lanes[name] = Lane(assigned=joining(self.lanes))
        for name in self.lanes.keys() - names:
            del self.lanes[name]
        for name, weight in (weights or {}).items():
            if name in self.lanes and weight > 0:
                self.lanes[name].weight = weight
        orphans = [s for s, b in self._under_way.items() if b.worker not in self.lanes]
        for sequence in sorted(orphans, reverse=True):
            self._requeue(self._under_way.pop(sequence))

    def credit(self, worker: str, window_bytes: int) -> None:
        """Take a worker's window."""
        if worker in self.lanes:
            self.lanes[worker].window_bytes = window_bytes

    def acknowledge(self, worker: str, ack: Ack, now: float) -> Batch | None:
        """Take an answer; return the batch it settles (None: refused, or not ours, or an old one)."""
        if (ack.source, ack.incarnation) != (self.source, self.incarnation):
            return None
        self.credit(worker, ack.window_bytes)
        batch = self._under_way.get(ack.sequence)
        if batch is None:
            return None
        if ack.outcome == "refused":
            if batch.worker == worker:
                self._refused(ack, batch, now)
            return None
        del self._under_way[ack.sequence]
        self._release(batch)
        count = len(batch)
        self.acknowledged += count
        if ack.outcome == "stored":
            batch.ticket.stored += count
        else:
            # the first answer was lost or is late: the points are stored, and were counted nowhere yet
            self.duplicate += count
            batch.ticket.duplicate += count
        batch.ticket.open_batches -= 1
        return batch

    def _refused(self, ack: Ack, batch: Batch, now: float) -> None:
        del self._under_way[ack.sequence]
        lane = self.lanes.get(batch.worker or "")
        if lane is not None:
            lane.blocked_until = now + self.resend_s
        batch.refusals += 1
        if batch.refusals < MAX_REFUSALS:
            self._release(batch)
            self._requeue(batch)
            return
        self._release(batch)
        batch.ticket.open_batches -= 1
        batch.ticket.given_up += len(batch)
        batch.ticket.reason = ack.reason
        self.given_up.append((batch, ack.reason))

    def _release(self, batch: Batch) -> None:
        lane = self.lanes.get(batch.worker or "")
        if lane is not None:
            lane.outstanding_bytes -= batch.size
        batch.worker = None

    def _requeue(self, batch: Batch) -> None:
        batch.worker = None
        self._waiting.appendleft(batch)
        self._waiting_bytes += batch.size

    # -- batches out ----------------------------------------------------------------------

    def send(self, now: float) -> list[SendBatch]:
        """Return what is to be sent now: waiting batches as far as credit goes, and overdue ones."""
        out: list[SendBatch] = []
        for batch in self._under_way.values():
            if now - batch.sent_at >= self.resend_s and batch.worker is not None:
                batch.sent_at = now
                self.resent += 1
                out.append(SendBatch(batch.worker, batch.message))
        while self._waiting:
            batch = self._waiting[0]
            worker = choose(self.lanes, batch.size, now)
            if worker is None:
                break
            self._waiting.popleft()
            self._waiting_bytes -= batch.size
            lane = self.lanes[worker]
            lane.outstanding_bytes += batch.size
            lane.assigned += max(1, batch.size) / lane.weight
            batch.worker, batch.sent_at = worker, now
            batch.first_sent_at = batch.first_sent_at or now
            self._under_way[batch.message.sequence] = batch
            out.append(SendBatch(worker, batch.message))
        self._account_for_blocking(now)
        return out

    def _account_for_blocking(self, now: float) -> None:
        if self._blocked_since is not None:
            self.blocked_s += now - self._blocked_since
        self._blocked_since = now if self._waiting else None
