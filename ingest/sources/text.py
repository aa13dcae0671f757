"""Feeds of text lines: NDJSON and CSV files (also gzip) and standard input."""

from __future__ import annotations

import hashlib
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ingest.csv_lines import Header, decode_csv
from ingest.formats import decode_json
from ingest.records import Chunk, Decode, Raw
from ingest.sources.base import SourceError
from ingest.sources.lines import MAX_LINE_BYTES, READ_BYTES, Readable, lines

IDENTITY_BYTES = 4096
"""A file is known by so much of its beginning."""
CHUNK_BYTES = 16 << 20
"""A chunk of more bytes is handed on before it has all its lines."""
MARK = b"\xef\xbb\xbf"
"""How some programs begin a file in UTF-8; another encoding begins with one of `OTHER_MARKS`."""
OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")


class TextFileSource:
    """A file of records, one a line.

    Parameters
    ----------
    path : Path
        The file; ``.gz`` is decompressed.
    form : str
        ``json`` or ``csv``.
    header : bool, optional
        Whether a CSV file has one, see `Header`.
    targets : int
        So many of the last columns of a CSV file are targets.
    keyed : bool
        Its first column is the key.

    Raises
    ------
    SourceError
        If it cannot be opened, or is not in UTF-8.
    """

    finite = True
    seekable = True

    def __init__(
        self,
        path: Path,
        form: str,
        header: bool | None = None,
        targets: int = 0,
        *,
        keyed: bool = False,
    ) -> None:
        self.name = str(path)
        self.format = f"{form}:{targets}" if targets or keyed else form
        if keyed:
            self.format = f"keyed {self.format}"
        self._form = form
        self._path = path
        self._header = header
        of_csv = partial(decode_csv, targets=targets, keyed=keyed)
        self._decode: Decode = of_csv if form == "csv" else decode_json
        if self._start(2) in OTHER_MARKS:
            raise SourceError(f"{path}: is in UTF-16 - save it as UTF-8")

    @property
    def identity(self) -> str:
        """See `Seekable.identity`: how it begins, so that a file that grows stays the same."""
        return _beginning(self._start(IDENTITY_BYTES))

    def continues(self, identity: str, offset: int) -> bool:
        """See `Seekable.continues`."""
        length = identity.partition(" ")[0]
        if not length.isdecimal() or _beginning(self._start(int(length))) != identity:
            return False
        with Readable(self._path) as file:
            longer = file.reaches(offset) and self._holds(offset)
            if file.damage:
                raise self._damaged(file.damage)
        return longer

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
        """See `Seekable.places`; offsets are bytes, of what is decompressed.

        Raises
        ------
        SourceError
            Where the file is damaged, behind all that is intact before.
        """
        with Readable(self._path) as raw:
            if not raw.reaches(offset):
                raise self._damaged(raw.damage or f"it ends before byte {offset}")
            header = Header(self._header) if offset == 0 and self._form == "csv" else None
            kept: list[bytes] = []
            size = 0
            for line in lines(io.BufferedReader(raw, READ_BYTES)):
                if raw.damage and not line.endswith((b"\n", b"\r")):
                    break  # what is cut off may look like a record and be another one
                text = line.rstrip(b"\r\n")
                if offset == 0:
                    text = text.removeprefix(MARK)
                offset += len(line)
                if not text or text.isspace():
                    continue
                if header is not None:
                    if header.takes(text):
                        continue
                    header = None
                kept.append(text)
                size += len(text)
                if len(kept) == points or size >= CHUNK_BYTES:
                    yield Raw(tuple(kept), self._decode), offset
                    kept.clear()
                    size = 0
            if kept:
                yield Raw(tuple(kept), self._decode), offset
            if raw.damage:
                raise self._damaged(raw.damage)

    def _start(self, count: int) -> bytes:
        with Readable(self._path) as raw:
            return io.BufferedReader(raw).read(count)

    def _damaged(self, why: str) -> SourceError:
        return SourceError(
            f"{self._path}: damaged: {why} - the whole file under the same name is read on from there"
        )


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
