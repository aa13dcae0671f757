"""What can be asked of any feed: at a rate, in a loop, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ingest.records import Chunk, Raw
from ingest.sources.base import Seekable, Source, seekable
from streammac.points.block import PointBlock

Read: TypeAlias = Callable[[int, int, int], Iterator[tuple[Chunk, int]]]
"""Reads so many points at a time, from an offset, after so many records."""


class Paced:
    """A feed with a rate, repetition, or limit.

    Parameters
    ----------
    source : Source
        The feed.
    rate : float, optional
        Records per second.
    loop : bool
        Begin again at the end, for ever.
    limit : int, optional
        End after so many records.
    """

    def __init__(
        self,
        source: Source,
        rate: float | None = None,
        *,
        loop: bool = False,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._rate = rate
        self._loop = loop
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self.name = source.name
        self.format = source.format
        self.finite = limit is not None or (source.finite and not loop)
        self.seekable = source.seekable

    @property
    def identity(self) -> str:
        """See `Seekable.identity`."""
        return self._seekable.identity

    def continues(self, identity: str, offset: int) -> bool:
        """See `Seekable.continues`."""
        return self._seekable.continues(identity, offset)

    @property
    def _seekable(self) -> Seekable:
        found = seekable(self._source)
        assert found is not None, "who asks has looked whether it is seekable"
        return found

    def chunk_points(self, points: int) -> int:
        """See `Seekable.chunk_points`."""
        if self._rate is None:
            return points
        return max(1, min(points, int(self._rate / 10)))  # ten times a second is smooth enough

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""

        def read(count: int, _offset: int, _records: int) -> Iterator[tuple[Chunk, int]]:
            return ((chunk, 0) for chunk in self._source.chunks(count))

        for chunk, _ in self._paced(read, self.chunk_points(points), 0, 0):
            yield chunk

    def places(self, points: int, offset: int, records: int) -> Iterator[tuple[Chunk, int]]:
        """See `Seekable.places`."""
        return self._paced(self._seekable.places, points, offset, records)

    def _paced(
        self, read: Read, points: int, offset: int, records: int
    ) -> Iterator[tuple[Chunk, int]]:
        begin = self._clock()
        count = 0
        for chunk, start, end in self._endless(read, points, offset, records):
            left = None if self._limit is None else self._limit - records - count
            if left is not None and left <= 0:
                return
            if left is not None and len(chunk) > left:
                chunk = _cut(chunk, left)
                if self.seekable:
                    _, end = next(read(left, start, records))
            yield chunk, end
            count += len(chunk)
            if self._rate is not None:
                wait = begin + count / self._rate - self._clock()
                if wait > 0:
                    self._sleep(wait)
                elif wait < -1.0:
                    begin -= wait  # back-pressure held it up: go on at the rate, do not catch up

    def _endless(
        self, read: Read, points: int, offset: int, records: int
    ) -> Iterator[tuple[Chunk, int, int]]:
        """Yield chunks with the offsets before and behind them."""
        while True:
            empty = offset == 0
            for chunk, end in read(points, offset, records):
                empty = False
                yield chunk, offset, end
                offset = end
            if empty or not self._loop:  # a loop over nothing would never yield and never end
                return
            offset = 0


def _cut(chunk: Chunk, count: int) -> Chunk:
    if isinstance(chunk, PointBlock):
        return chunk.take(slice(0, count))
    return Raw(chunk.records[:count], chunk.decode)
