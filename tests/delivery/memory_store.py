"""A worker's store in memory: batches by mark, and a disk that is full when a test says so."""

from __future__ import annotations

import errno

from streammac.store.errors import StoreError
from streammac.store.points import Mark


def mark_of(batch) -> Mark:
    return Mark(batch.source, batch.incarnation, batch.sequence)


class MemoryStore:
    """Keeps what it was given; ``full``: appends and commits fail, ``stuck``: withdrawals do."""

    def __init__(self) -> None:
        self.batches: dict[Mark, int] = {}
        self.full = self.stuck = self.forgets = False
        self.commits = 0

    def append(self, batch) -> str:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        if "x" not in batch.tensors:
            raise StoreError("x: missing")
        if mark_of(batch) in self.batches:
            return "duplicate"
        self.batches[mark_of(batch)] = len(batch.tensors["x"])
        return "stored"

    def withdraw(self, marks, sender) -> int:
        if self.stuck:
            raise OSError(errno.EIO, "Input/output error")
        return sum(self.batches.pop(mark, 0) for mark in marks)

    def commit(self) -> None:
        self.commits += 1
        if self.forgets:
            raise OSError(errno.EIO, "Input/output error")
