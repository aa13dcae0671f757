"""The interface of a feed.

To add one: write a class with these members, register it in `ingest.sources.registry`, and run
`ingest.sources.checks` on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import parse_qsl

from ingest.records import Chunk
from streammac.errors import StreammacError


class SourceError(StreammacError, ValueError):
    """A source's URI is wrong or what it names cannot be read; the message names the part and the remedy."""


class Source(Protocol):
    """A feed of records.

    Contract: `chunks` may be called again after it ended (for a loop) if `finite`; it yields without
    waiting longer than it must; whatever cannot be decoded is yielded raw and never raised; an array
    that was yielded is not modified afterwards.
    """

    @property
    def name(self) -> str:
        """What people call it, for logs and dead letters."""
        ...

    @property
    def format(self) -> str:
        """How raw bytes of dead letters are to be read: ``json``, ``csv``, or an array type."""
        ...

    @property
    def finite(self) -> bool:
        """Return whether it ends by itself."""
        ...

    @property
    def seekable(self) -> bool:
        """Return whether it is a `Seekable`."""
        ...

    def chunks(self, points: int) -> Iterator[Chunk]:
        """Yield the records in order, at most ``points`` at a time."""
        ...


class Seekable(Source, Protocol):
    """A feed that has the same records the next time, and can be read from the middle."""

    @property
    def identity(self) -> str:
        """What tells it from another content under the same name."""
        ...

    def continues(self, identity: str, offset: int) -> bool:
        """Return whether it is the feed of this identity, and may be read from an offset."""
        ...

    def chunk_points(self, points: int) -> int:
        """Return how many records to read at a time where ``points`` are wanted."""
        ...

    def places(self, points: int, offset: int, records: int) -> Iterator[tuple[Chunk, int]]:
        """Yield chunks like `chunks`, each with the offset behind it.

        Parameters
        ----------
        points : int
            Most records at a time. From a place between two chunks the same number makes the same chunks.
        offset, records : int
            Where to begin, and how many records came before it.
        """
        ...


def seekable(source: Source) -> Seekable | None:
    """Return the source as one that can be read from the middle, if it can."""
    return cast(Seekable, source) if source.seekable else None


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URI: ``scheme:rest?options``."""

    uri: str
    scheme: str
    rest: str
    options: dict[str, str]

    @property
    def path(self) -> Path:
        """The rest as a file that must exist.

        Raises
        ------
        SourceError
            If it does not.
        """
        path = Path(self.rest)
        try:
            there = path.is_file()
        except OSError as error:  # a name that is too long, say
            raise SourceError(f"{self.uri[:200]}: {error.strerror}") from None
        if not there:
            raise SourceError(f"{self.uri}: no file {path} - give the path of an existing file")
        return path


def parse(uri: str) -> Address:
    """Split a source's URI; what has no scheme is a path.

    >>> parse("feed.npy?rate=100").options
    {'rate': '100'}
    """
    head, _, query = uri.partition("?")
    scheme, colon, rest = head.partition(":")
    if not colon or "/" in scheme or "." in scheme:
        scheme, rest = "file", head
    try:
        options = (
            dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
        )
    except ValueError:
        raise SourceError(f"{uri}: {query!r} is not of the form name=value&name=value") from None
    if scheme == "file" and rest.startswith("//"):
        rest = rest[2:]
    return Address(uri, scheme, rest, options)
