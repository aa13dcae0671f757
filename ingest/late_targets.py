"""Targets that come later than their points: a point with a key and no y waits for y under the same key.

Both are on the node's disk before anybody is told that they are taken (`ingest.waiting_room`). A target makes its point
one of a batch, which is sent like all others. A point whose target does not come in time, and a target without a point,
become dead letters. The outbox calls, in the node's I/O loop, and has made the dead letters of one `LateTargets.flush`
when it calls the next. What a full disk does not take waits, and what came after it, too.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgpack
import numpy as np
from numpy.typing import NDArray

from ingest.cutting import Origin, cut
from ingest.records import Refused
from ingest.waiting_room import Done, Expired, Joined, Names, Told, WaitingRoom, Waits, block
from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.ledger import Ledger
from streammac.delivery.records import Record
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.wire.reports import LateCounts

log = logging.getLogger(__name__)

KEY_WAITS = "key: another point of this key waits for its target"
UNKNOWN = "y: no point of this key waits for it"


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets that came by themselves: (n, K) float32 for n keys."""

    keys: tuple[bytes, ...]
    y: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Brought:
    """What a delivery brings: points without y that all have keys, or targets without x.

    Attributes
    ----------
    source : str
        For dead letters.
    content : PointBlock or Targets
        What it is.
    first : BatchId
        Names the first of the points or targets, the others follow.
    ticket : Ticket
        Open until they are on disk.
    batches : Ticket
        That of the batches that targets make of points, and of what is refused; the same one, where somebody waits for
        these. Feeds count such points apart.
    """

    source: str
    content: PointBlock | Targets
    first: BatchId
    ticket: Ticket
    batches: Ticket

    def close(self, refused: int, reason: str) -> None:
        """Tell the tickets that it is on disk, but for so many that are refused."""
        self.batches.given_up += refused
        self.batches.reason = self.batches.reason or reason * bool(refused)
        self.ticket.open_batches -= 1


@dataclass(slots=True)
class Outcome:
    """What is to be done now that it is on disk: batches to be sent, and dead letters by source and format."""

    batches: list[Batch] = field(default_factory=list)
    letters: list[tuple[str, str, Refused]] = field(default_factory=list)

    def refuse(self, source: str, reason: str, key: bytes, **record: Any) -> None:
        """Make a dead letter."""
        try:
            form, raw = "json", json.dumps(record | {"key": key.decode()}).encode()
        except UnicodeDecodeError:
            form, raw = "msgpack", msgpack.packb(record | {"key": key})
        self.letters.append((source, form, Refused(raw, reason)))


Then: TypeAlias = Callable[[Outcome], None]
"""Does what follows once something is on disk."""
Step: TypeAlias = tuple[Sequence[Record], Then]
"""What is to be written, and what then follows."""
Deadlines: TypeAlias = deque[tuple[float, bytes, tuple[Any, ...]]]
"""Until when a point waits, by key and origin; the soonest first."""


def _nothing(_: Outcome) -> None:
    pass


class LateTargets:
    """The points of one ingest node that wait.

    Parameters
    ----------
    ledger : Ledger
        What is on disk.
    patience_s : float
        So long a point waits, counted anew when the node starts.
    limit_bytes : int
        Where more bytes of points wait, the oldest ones have waited for long enough.
    name : callable
        Names the batches of so many points.
    is_settled : callable
        Says of a batch whether the node's ledger knows that it is settled.

    Attributes
    ----------
    counts : Counter
        What was of no use since the node began: points that ``expired`` or were ``refused``, and targets that came too
        ``late`` or are of an ``unknown`` point. And what was: ``joined`` points.
    """

    def __init__(
        self,
        ledger: Ledger[WaitingRoom],
        patience_s: float,
        limit_bytes: int,
        name: Callable[[int], Origin],
        is_settled: Callable[[BatchId], bool],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._ledger = ledger
        self._room = ledger.state
        self._patience_s = patience_s
        self._limit_bytes = limit_bytes
        self._name = name
        self._is_settled = is_settled
        self._brought: deque[Brought] = deque()
        self._settled: list[BatchId] = []
        self._told: list[Names] = []
        """Points that had waited for too long, of which there are dead letters."""
        self._until: Deadlines | None = None
        self._then: Then = _nothing
        self._trouble = ""

    @property
    def waiting(self) -> int:
        """Points that wait for their targets."""
        return len(self._room.waiting)

    @property
    def has_room(self) -> bool:
        """Return whether the disk takes what comes."""
        return not self._trouble

    @property
    def idle(self) -> bool:
        """Return whether everything that was brought is on disk."""
        return not (self._brought or self._settled or self._told or self._trouble)

    def resume(self) -> list[Batch]:
        """Return the batches that a former life of the node had not settled."""
        return [self._room.batch(batch_id) for batch_id in self._room.labelled]

    def put(self, brought: Brought) -> None:
        """Take what a delivery brings; its ticket is open until it is on disk."""
        brought.ticket.open_batches += 1
        self._brought.append(brought)

    def settled(self, batch_id: BatchId) -> None:
        """Take notice that a batch is settled."""
        if batch_id in self._room.labelled:
            self._settled.append(batch_id)

    def report(self) -> LateCounts:
        """Return what the status tells."""
        return LateCounts(self.waiting, **self.counts)

    def close(self) -> None:
        """Close the file."""
        self._ledger.close()

    # -- what is written, and what follows ------------------------------------------------

    def flush(self, now: float) -> Outcome:
        """Write what can be written; return what is to be done then."""
        outcome = Outcome()
        try:
            self._write((), self._then, outcome)
            for records, then in self._steps(now):
                self._write(records, then, outcome)
            self._trouble = ""
        except OSError as error:
            if not self._trouble:
                log.warning("no point is taken that waits for its target, and no target: %s", error)
            self._trouble = str(error)
        return outcome

    def _write(self, records: Sequence[Record], then: Then, outcome: Outcome) -> None:
        self._then = then
        self._ledger.write(records)  # where it raises it keeps them for the next time
        self._then = _nothing
        then(outcome)

    def _steps(self, now: float) -> Iterator[Step]:
        """Yield one step after the other; each is decided when the one before is on disk."""
        if self._told:
            told, self._told = self._told, []
            yield [Told(told)], _nothing
        if self._until is None:
            self._until = deque()
            self._await(now, self._room.waiting.values())
            if self._room.untold:
                yield (), self._tell_expired(list(self._room.untold.values()))
        # what is forgotten here before the ledger knows it would be missing in the books after a crash
        done = [batch_id for batch_id in self._settled if self._is_settled(batch_id)]
        if done:
            self._settled = [one for one in self._settled if not self._is_settled(one)]
            yield [Done(batch_id) for batch_id in done], _nothing
        while self._brought:
            brought = self._brought.popleft()
            if isinstance(brought.content, Targets):
                yield self._join(brought, brought.content)
            else:
                yield self._hold(brought, brought.content, now)
        expired = self._due(now, self._until)
        if expired:
            yield [Expired([point.key for point in expired])], self._tell_expired(expired)

    # -- points ---------------------------------------------------------------------------

    def _await(self, now: float, points: Iterable[Waits]) -> None:
        assert self._until is not None
        end = now + self._patience_s
        self._until.extend((end, point.key, tuple(point.origin)) for point in points)

    def _hold(self, brought: Brought, points: PointBlock, now: float) -> Step:
        """Have points wait."""
        new: dict[bytes, Waits] = {}
        refused: list[Waits] = []
        times = [np.nan] * len(points) if points.time is None else points.time.tolist()
        dtype = points.x.dtype.str
        for row, (x, key, time) in enumerate(zip(points.x, points.keys, times, strict=True)):
            origin = brought.first.later(row, held_out=False)
            point = Waits(key, origin, x.tobytes(), dtype, time)
            there = new.get(key) or self._room.waiting.get(key)
            if origin in self._room.gone or (there and tuple(there.origin) == origin):
                continue  # it is read once more
            if there is not None:
                refused.append(point)
            else:
                new[key] = point

        def then(outcome: Outcome) -> None:
            self._await(now, new.values())
            for point in refused:
                _refuse_point(outcome, brought.source, KEY_WAITS, point)
            self.counts["refused"] += len(refused)
            brought.ticket.waiting += len(points) - len(refused)
            brought.close(len(refused), KEY_WAITS)

        return list(new.values()), then

    def _due(self, now: float, until: Deadlines) -> list[Waits]:
        """Return the points that have waited for long enough."""
        due: list[Waits] = []
        beyond = self._room.size - self._limit_bytes
        while until and (until[0][0] <= now or beyond > 0):
            _, key, origin = until.popleft()
            there = self._room.waiting.get(key)
            if there is not None and tuple(there.origin) == origin:
                due.append(there)
                beyond -= there.size
        return due

    def _tell_expired(self, expired: Sequence[Waits]) -> Then:
        reason = f"y: did not come within {self._patience_s:g} s"

        def then(outcome: Outcome) -> None:
            for point in expired:
                _refuse_point(outcome, point.origin[0], reason, point)
            self.counts["expired"] += len(expired)
            self._told += [point.origin for point in expired]

        return then

    # -- targets --------------------------------------------------------------------------

    def _join(self, brought: Brought, targets: Targets) -> Step:
        """Make batches of the points whose targets these are."""
        found: dict[bytes, tuple[BatchId, NDArray[np.float32]]] = {}
        repeated = 0
        refused: list[tuple[str, bytes, NDArray[np.float32]]] = []
        for row, (key, y) in enumerate(zip(targets.keys, targets.y, strict=True)):
            gone = self._room.last.get(key)
            origin = brought.first.later(row, held_out=False)
            if origin in self._room.used or key in found:
                repeated += 1
            elif key in self._room.waiting:
                found[key] = origin, y
            elif gone is not None and gone.target is not None:
                repeated += 1
            else:
                refused.append(("unknown" if gone is None else "late", key, y))
        batches: list[Batch] = []
        if found:
            y = np.stack([y for _, y in found.values()])
            points = block([self._room.waiting[key] for key in found], y)
            batches += cut(points, self._name(len(points)), brought.batches)
        reasons = {
            "unknown": UNKNOWN,
            "late": f"y: came too late, its point had waited for {self._patience_s:g} s",
        }

        def then(outcome: Outcome) -> None:
            outcome.batches += batches
            for kind, key, y in refused:
                self.counts[kind] += 1
                outcome.refuse(brought.source, reasons[kind], key, y=y.tolist())
            self.counts["joined"] += len(found)
            brought.ticket.duplicate += repeated
            brought.close(len(refused), reasons[refused[0][0]] if refused else "")

        origins = {key: origin for key, (origin, _) in found.items()}
        return [_joined(batch, origins) for batch in batches], then


def _joined(batch: Batch, origins: Mapping[bytes, Names]) -> Joined:
    message = batch.message
    targets = [origins[key] for key in message.keys]
    return Joined(batch.batch_id, list(message.keys), message.tensors["y"].tobytes(), targets)


def _refuse_point(outcome: Outcome, source: str, reason: str, point: Waits) -> None:
    record: dict[str, Any] = {"x": np.frombuffer(point.x, point.dtype).tolist()}
    if not np.isnan(point.time):
        record["time"] = point.time
    outcome.refuse(source, reason, point.key, **record)
