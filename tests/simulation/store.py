"""A worker's real shard on a disk that can tear writes, fill up and lose power.

The disk belongs to the worker's name and outlives its processes; files are real, and what power loss may take of them
is known to `tests.files.failing_disk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Literal

from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import Kept
from streammac.delivery.records import State
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Arrival, Outcome, Retention, Schema, Shard, StoreError
from streammac.wire.messages import Points
from streammac.wire.reports import ShardCounts
from tests.files.failing_disk import FailingDisk
from tests.simulation.point_rules import PointRules

SCHEMA = Schema(2)
SEGMENT_BYTES = 80
"""Ten points: segments are sealed, and dropped, all the time."""


class WorkerDisk:
    """The disk of one worker.

    Parameters
    ----------
    name : str
        The worker's.
    folder : Path
        Where its files are.
    ack : {"file", "fsync"}
        What an acknowledgement promises.
    keep : int or None
        Points to keep.
    rules : PointRules
        Look at what is stored.

    Attributes
    ----------
    handed : State
        What the ledger of the worker's moves says.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        ack: Literal["file", "fsync"],
        keep: int | None,
        rules: PointRules,
    ) -> None:
        self.name = name
        self.disk = FailingDisk()
        self.handed = State()
        self._folder = folder
        self._ack = ack
        self._keep = keep
        self._rules = rules
        self._lives = 0
        self._last: Shard | None = None
        self._rotten = False

    @property
    def _path(self) -> Path:
        return self._folder / f"{self.name}-{self._lives}"

    def open(self) -> OpenStore:
        """Open the shard, in a new process."""
        self.disk.steps = self.disk.room = None
        shard = Shard.open(
            self._path,
            SCHEMA,
            ack=self._ack,
            segment_bytes=SEGMENT_BYTES,
            retention=Retention(points=self._keep),
            disk=self.disk,
        )
        if self._rotten and self._last is not None:
            self._rules.rotted(self.name, self._last, shard)
        self._last, self._rotten = shard, False
        # what had expired was deleted after the checkpoint had said so, whenever the process was killed
        self._rules.reopened(self.name, dict(shard.batches()), set(shard._checkpoint.batch_ids))
        return OpenStore(self.name, shard, self.disk, self._rules)

    def open_ledger(self) -> Ledger:
        """Open the ledger of its moves, in a new process; power loss leaves it as it is."""
        ledger = Ledger(self._folder / f"{self.name}.handover", State(), self.disk)
        self.handed = ledger.state
        return ledger

    @property
    def survives_power_loss(self) -> bool:
        """Return whether acknowledged points do."""
        return self._ack == "fsync"

    def rot(self, rng: Random) -> str:
        """Flip a bit of what is stored; return where. The process is dead by then."""
        files = [path for name in ("x", "time", "journal") for path in self._path.glob(f"*.{name}")]
        used = {path: len(path.read_bytes().rstrip(b"\0")) for path in sorted(files)}
        places = [path for path, size in used.items() if size]
        if not places:
            return "nothing"
        path = rng.choice(places)
        content = bytearray(path.read_bytes())
        at = rng.randrange(used[path])
        content[at] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        platter = self.disk.platters.get(path)
        if platter is not None:  # it rots there
            platter.sync()
            platter.content[at : at + 1] = content[at : at + 1]
        self._rotten = True
        return f"{path.name}:{at}"

    def lose_power(self, rng: Random) -> None:
        """Leave on the disk what may be there after a power loss. The process is dead by then."""
        self.disk.steps, self._rotten = None, False
        if self._path.exists():
            former = self._path
            self._lives += 1
            self.disk = self.disk.lose_power(former, self._path, rng)


class OpenStore:
    """The shard of a running worker, as its `Receiver` and its `Mover` want it."""

    def __init__(self, name: str, shard: Shard, disk: FailingDisk, rules: PointRules) -> None:
        self.name = name
        self.shard = shard
        self.disk = disk
        self._rules = rules
        self.now = 0.0

    def append(self, batches: Sequence[Points]) -> list[Kept | OSError | StoreError]:
        """See `streammac.delivery.receiver.Store`."""
        arrivals = [
            Arrival(
                PointBlock(batch.tensors["x"]),
                BatchId(batch.source, batch.incarnation, batch.sequence),
                batch.sender,
                batch.moved,
            )
            for batch in batches
        ]
        for arrival in arrivals:
            self._rules.sizes[arrival.batch_id] = len(arrival.points)
        kept: list[Kept | OSError | StoreError] = []
        for arrival, outcome in zip(
            arrivals, self.shard.append_all(arrivals, self.now), strict=True
        ):
            if isinstance(outcome, Exception):
                # a copy that somebody had left behind may have given way already
                self._without([arrival.batch_id])
                kept.append(outcome)
            elif outcome is Outcome.DUPLICATE:
                kept.append("duplicate")
            else:
                self._rules.stored(self.name, arrival.batch_id, arrival.sender, moved=arrival.moved)
                kept.append("stored")
        return kept

    def withdraw(
        self, batch_ids: Iterable[BatchId], sender: str | None = None, *, remember: bool = False
    ) -> int:
        """See `streammac.delivery.receiver.Store`, and `streammac.delivery.scan.Holder`."""
        wanted = list(batch_ids)
        points = self.shard.withdraw(wanted, remember=remember, sender=sender)
        if points:
            self._without(wanted)
        return points

    def _without(self, batch_ids: list[BatchId]) -> None:
        present = _present(self.shard)
        self._rules.withdrawn(
            self.name, [batch_id for batch_id in batch_ids if batch_id not in present]
        )

    def batches(self) -> Iterator[tuple[BatchId, str]]:
        """See `streammac.delivery.scan.Holder`."""
        return self.shard.batches()

    def batch(self, batch_id: BatchId) -> PointBlock | None:
        """See `streammac.delivery.scan.Holder`."""
        return self.shard.batch(batch_id)

    @property
    def is_usable(self) -> bool:
        """Return whether the shard takes anything: after a failed sync it has to be opened again."""
        return not self.shard._unusable

    def commit(self) -> None:
        """See `streammac.delivery.receiver.Store`."""
        self.shard.commit()

    def enforce_retention(self) -> None:
        """Drop what is beyond the limit."""
        try:
            dropped = self.shard.enforce_retention(self.now)
        except (OSError, StoreError):
            return
        if dropped:
            self._rules.left(self.name, _present(self.shard))

    def counts(self) -> ShardCounts:
        """Return what is here and was."""
        shard = self.shard
        return ShardCounts(
            points=shard.points,
            appended=shard.appended,
            expired=shard.expired,
            withdrawn=shard.withdrawn,
            damaged=shard.damaged,
        )

    def close(self) -> None:
        """End in good order."""
        self.shard.close()

    def drop(self) -> None:
        """The process is dead: its kernel closes the files."""
        self.shard._release()


class NoShard:
    """A shard without any points: there are no held-out ones here."""

    def batches(self) -> Iterator[tuple[BatchId, str]]:
        """See `streammac.delivery.scan.Holder`."""
        return iter(())

    def batch(self, batch_id: BatchId) -> PointBlock | None:
        """See `streammac.delivery.scan.Holder`."""
        return None

    def withdraw(self, batch_ids: Iterable[BatchId], *, remember: bool) -> int:
        """See `streammac.delivery.scan.Holder`."""
        return 0


def _present(shard: Shard) -> set[BatchId]:
    return {batch_id for segment in shard._segments for batch_id in segment.batch_ids}
