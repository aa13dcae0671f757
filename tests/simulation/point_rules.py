"""What must hold of points at any time: one that was acknowledged is in exactly one shard.

A copy that its sender has disowned does not count: the worker that has it withdraws it before it takes anything
else. The shards of the dead count, because they return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streammac.store import Mark
from tests.simulation.kernel import Violation


class PointRules:
    """The rules, and where every batch is.

    Attributes
    ----------
    disowns : callable
        Returns whether the sender of a batch has disowned the copy of a worker; the cluster sets it.
    held : dict of str to set of Mark
        What each worker's shard has.
    settled : dict of Mark to str
        Acknowledged batches, and by whom.
    """

    def __init__(self) -> None:
        self.disowns: Callable[[str, Mark], bool] = lambda worker, mark: False
        self.held: dict[str, set[Mark]] = {}
        self.settled: dict[Mark, str] = {}
        self._expired: set[Mark] = set()

    # -- shards ---------------------------------------------------------------------------

    def stored(self, worker: str, mark: Mark) -> None:
        """A shard has taken a batch."""
        held = self.held[worker]
        if mark in held:
            raise Violation(f"{worker} stores {mark} a second time")
        held.add(mark)
        self._check(mark)

    def withdrawn(self, worker: str, marks: Iterable[Mark]) -> None:
        """A shard has taken batches out again, those that it had."""
        held = self.held[worker]
        for mark in marks:
            if mark in held:
                held.discard(mark)
                self._check(mark)

    def left(self, worker: str, present: set[Mark]) -> None:
        """A shard has dropped what was too old; this is left."""
        self._expired |= self.held[worker] - present
        self.held[worker] = present

    def reopened(self, worker: str, present: set[Mark], expired: set[Mark]) -> None:
        """A shard was opened by a new process, and has this; it has had those that expired."""
        before = self.held.get(worker, set())
        self._expired |= before & expired
        self.held[worker] = present
        for mark in sorted(before ^ present, key=lambda m: (m.source, m.sequence)):
            self._check(mark)

    def _check(self, mark: Mark) -> None:
        where = [w for w, held in self.held.items() if mark in held and not self.disowns(w, mark)]
        if len(where) > 1:
            raise Violation(f"{mark} is stored at {where}")
        if mark in self.settled and not where and mark not in self._expired:
            raise Violation(f"{mark}, acknowledged by {self.settled[mark]}, is lost")

    # -- senders --------------------------------------------------------------------------

    def acknowledged(self, worker: str, mark: Mark) -> None:
        """A sender believes that a batch is stored."""
        if mark not in self.held.get(worker, ()) and mark not in self._expired:
            raise Violation(f"{mark} is acknowledged by {worker}, and is not there")
        self.settled[mark] = worker
        self._check(mark)

    def check_the_end(self) -> None:
        """Everything has come to rest: each batch is in one shard, disowned copies are gone."""
        for mark in self.settled:
            where = [worker for worker, held in self.held.items() if mark in held]
            if len(where) > 1 or not (where or mark in self._expired):
                raise Violation(f"{mark} is in the shards of {where} in the end")
