"""What must hold of points at any time: one that was acknowledged is in exactly one shard.

A copy that its bringer has disowned does not count: the worker that has it withdraws it before it takes anything
else. Nor does the copy of a worker that has handed it to another one, once that one has it: it is withdrawn as soon as
the answer comes. The shards of the dead count, because they return.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from streammac.store import Mark
from tests.simulation.kernel import Violation


class PointRules:
    """The rules, and where every batch is.

    Attributes
    ----------
    disowns : callable
        Returns whether who brought a batch to a worker has disowned the copy there; the cluster sets it.
    handed : callable
        Returns to whom a worker has handed a batch, None if to nobody; the cluster sets it.
    held : dict of str to dict of Mark to str
        What each worker's shard has, and who brought it.
    settled : dict of Mark to str
        Acknowledged batches, and by whom.
    sizes : dict of Mark to int
        Points of each batch.
    """

    def __init__(self) -> None:
        self.disowns: Callable[[str, Mark, str], bool] = lambda worker, mark, bringer: False
        self.handed: Callable[[str, Mark], str | None] = lambda worker, mark: None
        self.held: dict[str, dict[Mark, str]] = {}
        self.settled: dict[Mark, str] = {}
        self.sizes: dict[Mark, int] = {}
        self._expired: Counter[Mark] = Counter()

    # -- shards ---------------------------------------------------------------------------

    def stored(self, worker: str, mark: Mark, bringer: str, *, moved: bool) -> None:
        """A shard has taken a batch; one that was moved there takes the place of another's copy."""
        held = self.held[worker]
        if mark in held and not (moved and held[mark] != bringer):
            raise Violation(f"{worker} stores {mark} a second time")
        held[mark] = bringer
        self._check(mark)

    def withdrawn(self, worker: str, marks: Iterable[Mark]) -> None:
        """A shard has taken batches out again, those that it had."""
        held = self.held[worker]
        for mark in marks:
            if mark in held:
                del held[mark]
                self._check(mark)

    def left(self, worker: str, present: set[Mark]) -> None:
        """A shard has dropped what was too old; this is left."""
        self._expired.update(self.held[worker].keys() - present)
        self.held[worker] = {m: b for m, b in self.held[worker].items() if m in present}

    def reopened(self, worker: str, present: Mapping[Mark, str], expired: set[Mark]) -> None:
        """A shard was opened by a new process, and has this; it has had those that expired."""
        before = self.held.get(worker, {})
        self._expired.update((before.keys() - present) & expired)
        self.held[worker] = dict(present)
        for mark in sorted(before.keys() ^ present.keys(), key=lambda m: (m.source, m.sequence)):
            self._check(mark)

    def _check(self, mark: Mark) -> None:
        where = {
            worker
            for worker, held in self.held.items()
            if mark in held and not self.disowns(worker, mark, held[mark])
        }
        where -= {worker for worker in where if self.handed(worker, mark) in where - {worker}}
        if len(where) > 1:
            raise Violation(f"{mark} is stored at {sorted(where)}")
        if mark in self.settled and not where and mark not in self._expired:
            raise Violation(f"{mark}, acknowledged by {self.settled[mark]}, is lost")

    # -- senders --------------------------------------------------------------------------

    def acknowledged(self, worker: str, mark: Mark) -> None:
        """A sender believes that a batch is stored."""
        if mark not in self.held.get(worker, ()) and mark not in self._expired:
            raise Violation(f"{mark} is acknowledged by {worker}, and is not there")
        self.settled[mark] = worker
        self._check(mark)

    @property
    def again(self) -> int:
        """Points that were stored once more after they had expired, before their sender had its answer."""
        again = 0
        for mark, times in self._expired.items():
            copies = sum(mark in held for held in self.held.values())
            again += (times + copies - 1) * self.sizes[mark]
        return again

    def check_the_end(self) -> None:
        """Everything has come to rest: each batch is in one shard, disowned copies are gone."""
        for mark in self.settled:
            where = [worker for worker, held in self.held.items() if mark in held]
            if len(where) > 1 or not (where or mark in self._expired):
                raise Violation(f"{mark} is in the shards of {where} in the end")
