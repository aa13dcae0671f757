"""What every source must do: run these with a function that opens it anew.

>>> import numpy as np
>>> from streammac.points.block import PointBlock
>>> from ingest.sources.array_files import ArraySource
>>> for check in all_checks():
...     check(lambda: ArraySource("test", PointBlock(np.zeros((10, 2)))))
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from ingest.records import Raw
from ingest.sources.base import Source, seekable
from streammac.points.block import PointBlock

Open: TypeAlias = Callable[[], Source]
CHUNKS = 20
"""Chunks that are looked at of a feed without end."""


def _read(source: Source, points: int) -> list[PointBlock | Raw]:
    chunks = source.chunks(points)
    return list(chunks if source.finite else itertools.islice(chunks, CHUNKS))


def _content(chunk: PointBlock | Raw) -> bytes:
    return (
        np.ascontiguousarray(chunk.x).tobytes()
        if isinstance(chunk, PointBlock)
        else b"\n".join(chunk.records)
    )


def check_chunks_are_not_larger_than_asked(open_source: Open) -> None:
    """No chunk is empty, and none has more records than were asked for."""
    for points in (1, 7, 1000):
        for chunk in itertools.islice(open_source().chunks(points), CHUNKS):
            assert 1 <= len(chunk) <= points


def check_yields_the_same_whatever_the_chunks(open_source: Open) -> None:
    """A finite source has the same records in the same order, however it is cut."""
    if not open_source().finite:
        return
    whole = b"".join(_content(c) + b"\n" for c in _read(open_source(), 1))
    parts = [_read(open_source(), n) for n in (3, 1000)]
    counts = {sum(map(len, part)) for part in parts}
    assert len(counts) == 1
    assert counts == {len(_read(open_source(), 1))}
    assert whole


def check_can_be_read_again(open_source: Open) -> None:
    """`chunks` begins anew each time it is called, which is what a loop needs."""
    source = open_source()
    first = [_content(c) for c in _read(source, 50)]
    assert [_content(c) for c in _read(source, 50)] == first


def check_chunks_stay_as_they_were_yielded(open_source: Open) -> None:
    """Nothing that was yielded changes when the source goes on."""
    kept = []
    for chunk in itertools.islice(open_source().chunks(5), CHUNKS):
        kept.append((chunk, _content(chunk)))
    assert all(_content(chunk) == content for chunk, content in kept)


def check_says_what_it_is(open_source: Open) -> None:
    """It has a name, and a format that dead letters can be read by."""
    source = open_source()
    assert source.name
    assert source.format in ("json", "csv", "csv:1") or np.dtype(source.format)


def check_goes_on_from_any_place(open_source: Open) -> None:
    """A seekable source, opened anew at a place between two chunks, has the same chunks from there."""
    found = seekable(open_source())
    if found is None:
        return
    points = found.chunk_points(7)
    places = list(itertools.islice(found.places(points, 0, 0), CHUNKS))
    assert [_content(c) for c, _ in places] == [
        _content(c) for c in itertools.islice(found.chunks(points), CHUNKS)
    ]
    records = 0
    for number, (chunk, offset) in enumerate(places):
        records += len(chunk)
        again = seekable(open_source())
        assert again is not None
        assert again.continues(found.identity, offset)
        rest = again.places(points, offset, records)
        expected = places[number + 1 :]
        got = list(itertools.islice(rest, len(expected)))
        assert [(_content(c), end) for c, end in got] == [(_content(c), e) for c, e in expected]
        if len(places) < CHUNKS:
            assert next(rest, None) is None


def all_checks() -> Iterator[Callable[[Open], None]]:
    """Yield every check of this module."""
    for name, value in sorted(globals().items()):
        if name.startswith("check_"):
            yield value
