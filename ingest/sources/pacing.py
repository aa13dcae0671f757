"""What can be asked of any feed: at a rate, in a loop, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ingest.records import Arrays, Chunk, Raw
from ingest.sources.base import Source


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

    @property
    def length(self) -> int | None:
        """Number of records that will come, if known."""
        known = None if self._loop else self._source.length
        if self._limit is None:
            return known
        return self._limit if known is None else min(self._limit, known)

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        if self._rate is not None:
            points = max(
                1, min(points, int(self._rate / 10))
            )  # ten times a second is smooth enough
        begin = self._clock()
        count = 0
        for chunk in self._endless(points):
            left = None if self._limit is None else self._limit - count
            if left is not None and left <= 0:
                return
            part = chunk if left is None or len(chunk) <= left else _cut(chunk, left)
            yield part
            count += len(part)
            if self._rate is not None:
                wait = begin + count / self._rate - self._clock()
                if wait > 0:
                    self._sleep(wait)
                elif wait < -1.0:
                    begin -= wait  # back-pressure held it up: go on at the rate, do not catch up

    def _endless(self, points: int) -> Iterator[Chunk]:
        while True:
            empty = True
            for chunk in self._source.chunks(points):
                empty = False
                yield chunk
            if empty or not self._loop:  # a loop over nothing would never yield and never end
                return


def _cut(chunk: Chunk, count: int) -> Chunk:
    if isinstance(chunk, Arrays):
        return chunk.take(slice(0, count))
    return Raw(chunk.records[:count], chunk.decode)
