"""The interface of a feed.

To add one: write a class with these members, register it in `ingest.sources.registry`, and run
`ingest.sources.checks` on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl

from ingest.records import Chunk


class SourceError(ValueError):
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
    def length(self) -> int | None:
        """Number of records, if known beforehand."""
        ...

    def chunks(self, points: int) -> Iterator[Chunk]:
        """Yield the records in order, at most ``points`` at a time."""
        ...


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
        if not path.is_file():
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
