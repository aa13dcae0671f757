"""A worker's two shards, training and held out, as the one store that `streammac.delivery.receiver` wants."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby

import msgspec

from streammac.delivery.receiver import Kept
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.points.range import within
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.store import (
    Arrival,
    ArrivalClock,
    Outcome,
    Retention,
    Schema,
    Shard,
    ShardUnusable,
    StoreError,
)
from streammac.store.description import Description
from streammac.wire.messages import Points, StreamSchema
from streammac.wire.reports import ShardCounts
from workers.prequential import NewRows

log = logging.getLogger(__name__)

HELD_OUT_SEGMENT_BYTES = 4 << 20
SCRUB_BYTES = 8 << 20
"""So much of each shard is read again in a second while it is checked: a hundredth of a core."""
SCRUB_EVERY_S = 24 * 3600.0


def known_stream(name: str, directory: RunDirectory, cluster: str) -> StreamSchema | None:
    """Return what the points of a worker of this cluster look like: a coordinator may have lost its state."""
    try:
        known = Description.load(directory.shard(name))
        if known is None or not cluster or known.owner != _owner(name, cluster):
            return None
        schema = known.schema
        described = {"dim": schema.dim, "dtype": schema.dtype, "targets": sum(schema.y_shape or ())}
        return msgspec.convert(described, StreamSchema)
    except (OSError, ValueError, TypeError, StoreError):  # who opens the shard says what is wrong
        return None


def _owner(name: str, cluster: str) -> str:
    return f"{name} of cluster {cluster}" if cluster else ""


def _arrival(batch: Points) -> Arrival:
    if "x" not in batch.tensors or batch.tensors["x"].ndim != 2:
        raise StoreError("x: missing, or no matrix - a batch has an array x (n, D)")
    points = PointBlock.of(batch.tensors, batch.keys)
    # what moves is stored already: a shard of an older release may hold anything, and it must find a place
    if not batch.moved and not within(points.x).all():
        raise StoreError("x: NaN, infinite or beyond the range - validate points before sending")
    batch_id = BatchId(batch.source, batch.incarnation, batch.sequence)
    return Arrival(points, batch_id, batch.sender, batch.moved)


class WorkerShards:
    """Both shards, open.

    Parameters
    ----------
    name : str
        The worker's name.
    directory : RunDirectory
        Where they are.
    settings : Settings
        Ack mode, retention, size of segments.
    stream : StreamSchema
        What a point looks like.
    cluster : str
        Identity of the cluster: the shards of another one are refused.

    Attributes
    ----------
    train, held-out sample : Shard
        The shards.
    fresh_held_out : list of PointBlock
        Held-out points stored since somebody took them from here.
    new_rows : NewRows
        Of the points that are trained on, those that have come first here, in this life.

    Raises
    ------
    StoreError, OSError
        See `Shard.open`.
    """

    def __init__(
        self,
        name: str,
        directory: RunDirectory,
        settings: Settings,
        stream: StreamSchema,
        cluster: str = "",
    ) -> None:
        store = settings.store
        schema = Schema.of_stream(stream.dim, stream.dtype, stream.targets)
        owner = _owner(name, cluster)
        self.train = Shard.open(
            directory.shard(name),
            schema,
            ack=store.ack,
            segment_bytes=store.segment_bytes,
            retention=Retention(store.retain_points, store.retain_bytes, store.retain_s),
            owner=owner,
        )
        try:
            self.held_out = Shard.open(
                directory.held_out(name),
                schema,
                ack=store.ack,
                segment_bytes=min(store.segment_bytes, HELD_OUT_SEGMENT_BYTES),
                retention=Retention(4 * settings.held_out.points, age_s=store.retain_s),
                owner=owner and f"held-out points, {owner}",
            )
        except BaseException:
            self.train.close()
            raise
        self.fresh_held_out: list[PointBlock] = []
        self.new_rows = NewRows(self.train.end)
        self._scrub_at = 0.0
        newest = max((shard.newest for shard in self if shard.newest is not None), default=None)
        self._clock = ArrivalClock.after(newest, time.time(), time.monotonic())

    def __iter__(self) -> Iterator[Shard]:
        return iter((self.train, self.held_out))

    @property
    def _now(self) -> float:
        return self._clock.time(time.monotonic())

    # -- the store of a `Receiver` -------------------------------------------------------

    def append(self, batches: Sequence[Points]) -> list[Kept | OSError | StoreError]:
        """See `streammac.delivery.receiver.Store.append`."""
        outcomes: list[Kept | OSError | StoreError] = ["duplicate"] * len(batches)
        before = {position for position, one in enumerate(batches) if one.moved or one.again}
        for shard in self:
            arrivals: dict[int, Arrival] = {}
            for position, batch in enumerate(batches):
                if batch.held_out is (shard is self.held_out):
                    try:
                        arrivals[position] = _arrival(batch)
                    except StoreError as error:
                        outcomes[position] = error
            for position, outcome in zip(
                arrivals, self._append(shard, arrivals, before), strict=True
            ):
                if isinstance(outcome, Exception):
                    outcomes[position] = outcome
                elif outcome is Outcome.STORED:
                    outcomes[position] = "stored"
        for batch, kept in zip(batches, outcomes, strict=True):
            # those that move were told of when they were fresh
            if batch.held_out and kept == "stored" and not batch.moved:
                self.fresh_held_out.append(PointBlock.of(batch.tensors))
        return outcomes

    def _append(
        self, shard: Shard, arrivals: Mapping[int, Arrival], before: Set[int]
    ) -> Sequence[Outcome | OSError | StoreError]:
        """Store batches; of those at the positions ``before`` a worker may have told already."""
        outcomes: list[Outcome | OSError | StoreError] = []
        for known, some in groupby(arrivals, before.__contains__):
            together = [arrivals[position] for position in some]
            if known and shard is self.train:
                # before they are there, since another thread looks: as many as may be, then as many as are
                points = sum(len(arrival.points) for arrival in together)
                first = shard.end
                self.new_rows.leave_out(first, first + points)
            try:
                outcomes += shard.append_all(together, self._now)
            except ShardUnusable as error:
                outcomes += [error] * len(together)
            if known and shard is self.train:
                self.new_rows.left_out(shard.end)
        return outcomes

    def withdraw(self, batch_ids: Iterable[BatchId], sender: str) -> int:
        """See `streammac.delivery.receiver.Store.withdraw`."""
        wanted = list(batch_ids)
        return sum(shard.withdraw(wanted, remember=False, sender=sender) for shard in self)

    def commit(self) -> None:
        """See `streammac.delivery.receiver.Store.commit`."""
        for shard in self:
            shard.commit()

    # -- besides --------------------------------------------------------------------------

    def enforce_retention(self) -> None:
        """Drop what is beyond the retention limits; a disk that fails is tried again the next time."""
        for shard in self:
            try:
                shard.enforce_retention(self._now)
            except (OSError, StoreError) as error:
                log.warning("nothing is dropped at present: %s", error)

    def scrub(self) -> None:
        """Read a part of what is stored again, now and then, to find what has rotted; called once a second."""
        now = time.monotonic()
        if now < self._scrub_at:
            return
        try:
            more = [shard.scrub(SCRUB_BYTES) for shard in self]
        except (OSError, StoreError) as error:
            log.warning("what is stored cannot be checked at present: %s", error)
            more = []
        if not any(more):
            self._scrub_at = now + SCRUB_EVERY_S

    def drop(self) -> None:
        """Give up all points; a disk that fails keeps them."""
        for shard in self:
            try:
                shard.drop()
            except (OSError, StoreError) as error:
                log.error("%s: its points could not be dropped: %s", shard.path, error)

    def counts(self) -> ShardCounts:
        """Return what is here and was; held-out points count as stored."""
        return ShardCounts(
            points=sum(s.points for s in self),
            bytes=sum(s.bytes for s in self),
            held_out=self.held_out.points,
            appended=sum(s.appended for s in self),
            expired=sum(s.expired for s in self),
            withdrawn=sum(s.withdrawn for s in self),
            dropped=sum(s.dropped for s in self),
            damaged=sum(s.damaged for s in self),
            quarantined=sum(s.quarantined for s in self),
        )

    def close(self) -> None:
        """Make everything safe and release the directories, as far as the disk lets us."""
        for shard in self:
            try:
                shard.close()
            except OSError as error:
                log.error("%s: not everything could be written: %s", shard.path, error)
