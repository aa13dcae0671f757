"""Batches that wait in user space: what ``memory`` acknowledgements cost, and what they spare.

For the writer thread alone. Readers see a batch once it has gone from here to a segment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from streammac.points.batch_id import BatchId

BUFFER_BYTES = 4 << 20
"""So much may wait."""


class Batch(NamedTuple):
    """A batch that fits the schema, as `Segment.append` takes it."""

    columns: dict[str, NDArray[Any]]
    batch_id: BatchId
    arrival: float
    keys: Sequence[bytes] | None
    sender: str

    @property
    def bytes(self) -> int:
        """Bytes of its columns."""
        return sum(column.nbytes for column in self.columns.values())


class Buffer:
    """The batches of one shard that are not written yet, in order."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether it is to be written before more is put in."""
        return self._bytes > BUFFER_BYTES

    @property
    def points(self) -> int:
        """Points that wait."""
        return sum(len(batch.columns["x"]) for batch in self._batches)

    def put(self, batch: Batch) -> None:
        """Keep a batch, as copies: the caller's arrays are its own again when this returns."""
        columns = {name: column.copy() for name, column in batch.columns.items()}
        keys = None if batch.keys is None else tuple(batch.keys)
        self._batches.append(batch._replace(columns=columns, keys=keys))
        self._bytes += batch.bytes

    def write(self, write: Callable[[Batch], object]) -> None:
        """Write all, oldest first; where that raises, the rest stays."""
        while self._batches:
            write(self._batches[0])
            self._bytes -= self._batches.popleft().bytes
