"""What is on disk of points whose targets come later: records, and what they add up to.

A point *waits* from when it came with a key and no y until its target has *joined* it or its time is up. The target
makes it a point of a batch; until that one is settled it is kept here, and sent again after a crash.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.records import Record, State
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock

Names = tuple[str, int, int]
"""A `BatchId`; of a point or a target, which record it was: the same when it is read again."""
REMEMBERED = 100_000
"""Points that are remembered once they wait no more: what comes again is known, whatever its key stands for by then."""


@dataclass(frozen=True, slots=True)
class Waits(Record):
    """A point has come; x is the bytes of its numbers of this type, NaN a time that was not given."""

    key: bytes
    origin: Names
    x: bytes
    dtype: str
    time: float

    @property
    def size(self) -> int:
        """Bytes of key and numbers."""
        return len(self.key) + len(self.x)


@dataclass(frozen=True, slots=True)
class Joined(Record):
    """Targets have come for points, which are a batch now.

    ``y`` is the bytes of as many rows of float32, ``targets`` says which records they were.
    """

    batch_id: Names
    keys: list[bytes]
    y: bytes
    targets: list[Names]


@dataclass(frozen=True, slots=True)
class Done(Record):
    """A batch of such points is settled."""

    batch_id: Names


@dataclass(frozen=True, slots=True)
class Expired(Record):
    """Points have waited for too long; they are kept until they are told of."""

    keys: list[bytes]


@dataclass(frozen=True, slots=True)
class Told(Record):
    """There are dead letters of points that had waited for too long."""

    origins: list[Names]


@dataclass(frozen=True, slots=True)
class Gone(Record):
    """A point waits no more: its target came, or, without one, its time was up."""

    key: bytes
    origin: Names
    target: Names | None


@dataclass(frozen=True, slots=True)
class Labelled:
    """A batch of points whose targets came."""

    points: Mapping[bytes, Waits]
    y: bytes
    targets: list[Names]


@dataclass
class WaitingRoom(State):
    """What the records add up to.

    Attributes
    ----------
    waiting : dict
        Points that wait, by key; the longest waiting first.
    labelled : dict
        Batches that are not settled.
    untold : dict
        Points that have waited for too long and may have no dead letter yet, by origin.
    gone : dict
        What became of the newest points that wait no more, by origin.
    last : dict
        The newest of these, by key.
    used : dict
        Their targets, by origin.
    size : int
        Bytes of the points that wait.
    """

    kinds: ClassVar[tuple[type[Record], ...]] = (Waits, Joined, Done, Expired, Gone, Told)
    waiting: dict[bytes, Waits] = field(default_factory=dict)
    labelled: dict[BatchId, Labelled] = field(default_factory=dict)
    untold: dict[BatchId, Waits] = field(default_factory=dict)
    gone: OrderedDict[BatchId, Gone] = field(default_factory=OrderedDict)
    last: dict[bytes, Gone] = field(default_factory=dict)
    used: dict[BatchId, Gone] = field(default_factory=dict)
    size: int = 0

    def apply(self, record: Record) -> None:
        """Take a record."""
        match record:
            case Waits(key):
                self.waiting[key] = record
                self.size += record.size
            case Joined(batch_id, keys, y, targets):
                # of a file that was mended some points may be missing
                there = [row for row, key in enumerate(keys) if key in self.waiting]
                if there:
                    rows = np.frombuffer(y, np.float32).reshape(len(keys), -1)[there]
                    own = [targets[row] for row in there]
                    points = {keys[row]: self._leave(keys[row], targets[row]) for row in there}
                    self.labelled[BatchId(*batch_id)] = Labelled(points, rows.tobytes(), own)
            case Done(batch_id):
                self.labelled.pop(BatchId(*batch_id), None)
            case Expired(keys):
                for key in keys:
                    if key in self.waiting:
                        point = self._leave(key, None)
                        self.untold[BatchId(*point.origin)] = point
            case Told(origins):
                for origin in origins:
                    self.untold.pop(BatchId(*origin), None)
            case Gone():
                self._remember(record)

    def _leave(self, key: bytes, target: Names | None) -> Waits:
        point = self.waiting.pop(key)
        self.size -= point.size
        self._remember(Gone(key, point.origin, target))
        return point

    def _remember(self, gone: Gone) -> None:
        origin = BatchId(*gone.origin)
        self.gone.pop(origin, None)
        self.gone[origin] = self.last[gone.key] = gone
        if gone.target is not None:
            self.used[BatchId(*gone.target)] = gone
        while len(self.gone) > REMEMBERED:
            _, old = self.gone.popitem(last=False)
            if self.last[old.key] is old:
                del self.last[old.key]
            if old.target is not None:
                self.used.pop(BatchId(*old.target), None)

    def records(self) -> Iterator[Record]:
        """Yield the fewest records that add up to this."""
        for batch_id, labelled in self.labelled.items():
            yield from labelled.points.values()
            yield Joined(batch_id, list(labelled.points), labelled.y, labelled.targets)
        for point in self.untold.values():
            yield from (point, Expired([point.key]))
        yield from self.gone.values()
        yield from self.waiting.values()

    def batch(self, batch_id: BatchId) -> Batch:
        """Return a batch that is not settled, to be sent."""
        labelled = self.labelled[batch_id]
        y = np.frombuffer(labelled.y, np.float32).reshape(len(labelled.points), -1)
        points = block(labelled.points.values(), y)
        held_out = batch_id.is_held_out
        return Batch.of(batch_id, points, Ticket(), held_out=held_out, durable=True)


def block(points: Iterable[Waits], y: NDArray[np.float32]) -> PointBlock:
    """Return points, at least one, with their targets (n, K)."""
    together = list(points)
    x = np.frombuffer(b"".join(point.x for point in together), together[0].dtype)
    time = np.array([point.time for point in together])
    return PointBlock(
        x.reshape(len(together), -1),
        y,
        None if np.isnan(time).all() else time,
        tuple(point.key for point in together),
    )
