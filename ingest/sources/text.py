"""Feeds of text lines: NDJSON and CSV files (also gzip) and standard input."""

from __future__ import annotations

import gzip
import hashlib
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ingest.formats import decode_csv, decode_json, is_header
from ingest.records import Chunk, Decode, Raw

MAX_LINE_BYTES = 64 << 20
"""A longer line is cut into pieces, which then are dead letters: memory stays bounded."""
READ_BYTES = 1 << 16
IDENTITY_BYTES = 4096
"""A file is known by so much of its beginning."""
CHUNK_BYTES = 16 << 20
"""A chunk of more bytes is handed on before it has all its lines."""


class TextFileSource:
    """A file of records, one a line.

    Parameters
    ----------
    path : Path
        The file; ``.gz`` is decompressed.
    form : str
        ``json`` or ``csv``.
    """

    finite = True
    seekable = True

    def __init__(self, path: Path, form: str) -> None:
        self.name = str(path)
        self.format = form
        self._path = path
        self._decode: Decode = decode_csv if form == "csv" else decode_json

    @property
    def identity(self) -> str:
        """See `Seekable.identity`: how it begins, so that a file that grows stays the same."""
        with self._open() as file:
            return _beginning(file.read(IDENTITY_BYTES))

    def continues(self, identity: str, offset: int) -> bool:
        """See `Seekable.continues`."""
        length = identity.partition(" ")[0]
        with self._open() as file:
            same = length.isdecimal() and _beginning(file.read(int(length))) == identity
            return same and file.seek(offset) == offset and self._holds(offset)

    def _holds(self, offset: int) -> bool:
        return self._path.suffix == ".gz" or self._path.stat().st_size >= offset

    def chunk_points(self, points: int) -> int:
        """See `Seekable.chunk_points`."""
        return points

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        for chunk, _ in self.places(points, 0, 0):
            yield chunk

    def places(self, points: int, offset: int, records: int) -> Iterator[tuple[Chunk, int]]:
        """See `Seekable.places`; offsets are bytes, of what is decompressed."""
        with self._open() as file:
            file.seek(offset)
            lines: list[bytes] = []
            size = 0
            while line := file.readline(MAX_LINE_BYTES):
                first = offset == 0
                offset += len(line)
                line = line.rstrip(b"\r\n")
                header = first and self.format == "csv" and is_header(line)
                if header or not line.strip():
                    continue
                lines.append(line)
                size += len(line)
                if len(lines) == points or size >= CHUNK_BYTES:
                    yield Raw(tuple(lines), self._decode), offset
                    lines.clear()
                    size = 0
            if lines:
                yield Raw(tuple(lines), self._decode), offset

    def _open(self) -> IO[bytes]:
        if self._path.suffix == ".gz":
            return gzip.open(self._path)  # type: ignore[return-value]  # typed as GzipFile
        return self._path.open("rb")


def _beginning(content: bytes) -> str:
    return f"{len(content)} {hashlib.blake2b(content, digest_size=16).hexdigest()}"


class StdinSource:
    """NDJSON from standard input, until it ends.

    Parameters
    ----------
    linger_s : float
        A part of a chunk is handed on after so long.
    """

    name = "stdin:"
    format = "json"
    finite = True
    seekable = False

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        descriptor = sys.stdin.fileno()
        rest = b""
        lines: list[bytes] = []
        since = time.monotonic()
        while True:
            ready, _, _ = select.select([descriptor], [], [], self._linger_s)
            data = os.read(descriptor, READ_BYTES) if ready else None
            if data:
                *whole, rest = (rest + data).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    whole, rest = [*whole, rest], b""
                lines += [line for line in whole if line.strip()]
            elif data == b"" and rest.strip():
                lines.append(rest)
            while len(lines) >= points:
                yield Raw(tuple(lines[:points]), decode_json)
                del lines[:points]
            if lines and (data == b"" or time.monotonic() - since > self._linger_s):
                yield Raw(tuple(lines), decode_json)
                lines.clear()
            if not lines:
                since = time.monotonic()
            if data == b"":
                return
