"""What must hold of points at any time: one that was acknowledged is in exactly one shard.

A copy that its bringer has revoked does not count: the worker that has it withdraws it before it takes anything
else. Nor does the copy of a worker that has handed it to another one, once that one has it: it is withdrawn as soon as
the answer comes. The shards of the dead count, because they return.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from streammac.points.batch_id import BatchId
from streammac.store import Shard
from tests.simulation.kernel import Violation


class PointRules:
    """The rules, and where every batch is.

    Attributes
    ----------
    revokes : callable
        Returns whether who brought a batch to a worker has revoked the copy there; the cluster sets it.
    handed : callable
        Returns to whom a worker has handed a batch, None if to nobody; the cluster sets it.
    held : dict of str to dict of BatchId to str
        What each worker's shard has, and who brought it.
    damaged, cut_off : int
        Points that rotted and were counted; and those at the end of a shard, of which only others know.
    settled : dict of BatchId to str
        Acknowledged batches, and by whom.
    sizes : dict of BatchId to int
        Points of each batch.
    """

    def __init__(self) -> None:
        self.revokes: Callable[[str, BatchId, str], bool] = lambda worker, batch_id, bringer: False
        self.handed: Callable[[str, BatchId], str | None] = lambda worker, batch_id: None
        self.held: dict[str, dict[BatchId, str]] = {}
        self.settled: dict[BatchId, str] = {}
        self.sizes: dict[BatchId, int] = {}
        self._expired: Counter[BatchId] = Counter()
        self.damaged = self.cut_off = 0

    # -- shards ---------------------------------------------------------------------------

    def stored(self, worker: str, batch_id: BatchId, bringer: str, *, moved: bool) -> None:
        """A shard has taken a batch; one that was moved there takes the place of another's copy."""
        held = self.held[worker]
        if batch_id in held and not (moved and held[batch_id] != bringer):
            raise Violation(f"{worker} stores {batch_id} a second time")
        held[batch_id] = bringer
        self._check(batch_id)

    def withdrawn(self, worker: str, batch_ids: Iterable[BatchId]) -> None:
        """A shard has taken batches out again, those that it had."""
        held = self.held[worker]
        for batch_id in batch_ids:
            if batch_id in held:
                del held[batch_id]
                self._check(batch_id)

    def left(self, worker: str, present: set[BatchId]) -> None:
        """A shard has dropped what was too old; this is left."""
        self._expired.update(self.held[worker].keys() - present)
        self.held[worker] = {m: b for m, b in self.held[worker].items() if m in present}

    def reopened(self, worker: str, present: Mapping[BatchId, str], expired: set[BatchId]) -> None:
        """A shard was opened by a new process, and has this; it has had those that expired."""
        before = self.held.get(worker, {})
        self._expired.update((before.keys() - present) & expired)
        self.held[worker] = dict(present)
        for batch_id in sorted(
            before.keys() ^ present.keys(), key=lambda m: (m.source, m.sequence)
        ):
            self._check(batch_id)

    def rotted(self, worker: str, before: Shard, after: Shard) -> None:
        """A shard was opened in which something had rotted: it has to count whatever is not there any more."""
        there = {batch_id for batch_id, _ in after.batches()} | set(after._checkpoint.batch_ids)
        missing = [batch_id for batch_id in self.held.get(worker, {}) if batch_id not in there]
        lost = sum(self.sizes[batch_id] for batch_id in missing)
        counted = after.damaged - before.damaged
        withdrawn = (
            before.withdrawn - after.withdrawn
        )  # what had been withdrawn may be cut off, too
        cut_off = before.appended - after.appended - max(0, withdrawn)
        if lost != counted + cut_off:
            raise Violation(f"{worker} misses {lost} points, and counts {counted} and {cut_off}")
        self.damaged += counted
        self.cut_off += cut_off
        self._expired.update(missing)

    def _check(self, batch_id: BatchId) -> None:
        where = {
            worker
            for worker, held in self.held.items()
            if batch_id in held and not self.revokes(worker, batch_id, held[batch_id])
        }
        where -= {worker for worker in where if self.handed(worker, batch_id) in where - {worker}}
        if len(where) > 1:
            raise Violation(f"{batch_id} is stored at {sorted(where)}")
        if batch_id in self.settled and not where and batch_id not in self._expired:
            raise Violation(f"{batch_id}, acknowledged by {self.settled[batch_id]}, is lost")

    # -- senders --------------------------------------------------------------------------

    def acknowledged(self, worker: str, batch_id: BatchId) -> None:
        """A sender believes that a batch is stored."""
        if batch_id not in self.held.get(worker, ()) and batch_id not in self._expired:
            raise Violation(f"{batch_id} is acknowledged by {worker}, and is not there")
        self.settled[batch_id] = worker
        self._check(batch_id)

    @property
    def again(self) -> int:
        """Points that were stored once more after they had expired, before their sender had its answer."""
        again = 0
        for batch_id, times in self._expired.items():
            copies = sum(batch_id in held for held in self.held.values())
            again += (times + copies - 1) * self.sizes[batch_id]
        return again

    def check_the_end(self) -> None:
        """Everything has come to rest: each batch is in one shard, revoked copies are gone."""
        for batch_id in self.settled:
            where = [worker for worker, held in self.held.items() if batch_id in held]
            if len(where) > 1 or not (where or batch_id in self._expired):
                raise Violation(f"{batch_id} is in the shards of {where} in the end")
