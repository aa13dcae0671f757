"""Batches that belong to nobody yet: they wait for a worker's credit, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from streammac.delivery.batch import Batch


class Waiting:
    """The batches that wait, the next one first.

    Attributes
    ----------
    room_bytes : int
        Bytes that may wait before `has_room` says no.
    bytes : int
        Bytes that wait.
    blocked_s : float
        Seconds in which some waited.
    """

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.bytes = 0
        self.blocked_s = 0.0
        self._batches: deque[Batch] = deque()
        self._blocked_since: float | None = None

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def has_room(self) -> bool:
        """Return whether more may be put in."""
        return self.bytes < self.room_bytes

    @property
    def first(self) -> Batch:
        """Return the next one."""
        return self._batches[0]

    def append(self, batch: Batch) -> None:
        """Let a batch wait."""
        self._batches.append(batch)
        self.bytes += batch.size

    def put_back(self, batch: Batch) -> None:
        """Let a batch wait that has waited before: it is the next."""
        self._batches.appendleft(batch)
        self.bytes += batch.size

    def pop(self) -> Batch:
        """Take out the next one."""
        batch = self._batches.popleft()
        self.bytes -= batch.size
        return batch

    def account_for_blocking(self, now: float) -> None:
        """Count the time since the last call if batches waited then."""
        if self._blocked_since is not None:
            self.blocked_s += now - self._blocked_since
        self._blocked_since = now if self._batches else None
