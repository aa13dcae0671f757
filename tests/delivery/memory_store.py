"""A worker's store in memory: batches by batch id, and a disk that is full when a test says so."""

from __future__ import annotations

import errno

from streammac.points.batch_id import BatchId
from streammac.store.errors import StoreError


def batch_id_of(batch) -> BatchId:
    return BatchId(batch.source, batch.incarnation, batch.sequence)


class MemoryStore:
    """Keeps what it was given; ``full``: appends and commits fail, ``stuck``: withdrawals do."""

    def __init__(self) -> None:
        self.batches: dict[BatchId, int] = {}
        self.full = self.stuck = self.forgets = False
        self.commits = 0

    def append(self, batches) -> list:
        return [self._append(batch) for batch in batches]

    def _append(self, batch) -> str | Exception:
        if self.full:
            return OSError(errno.ENOSPC, "No space left on device")
        if "x" not in batch.tensors:
            return StoreError("x: missing")
        if batch_id_of(batch) in self.batches:
            return "duplicate"
        self.batches[batch_id_of(batch)] = len(batch.tensors["x"])
        return "stored"

    def withdraw(self, batch_ids, sender) -> int:
        if self.stuck:
            raise OSError(errno.EIO, "Input/output error")
        return sum(self.batches.pop(batch_id, 0) for batch_id in batch_ids)

    def commit(self) -> None:
        self.commits += 1
        if self.forgets:
            raise OSError(errno.EIO, "Input/output error")
