"""The lines of a file that may be compressed, damaged, or written anywhere."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from ingest.sources.base import SourceError

MAX_LINE_BYTES = 64 << 20
"""A longer line is cut into pieces, which then are dead letters: memory stays bounded."""
READ_BYTES = 1 << 16
DAMAGES = (OSError, EOFError, zlib.error)
"""What reading raises where a file is damaged, cut off or not readable any more."""


class Readable(io.RawIOBase):
    """What can be read of a file, decompressed: where it is damaged it ends, and ``damage`` says why.

    Raises
    ------
    SourceError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.damage = ""
        try:
            opened = gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
        self._file = cast(io.BufferedReader, opened)

    def readable(self) -> bool:
        """Return True: it is here to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what comes next into a buffer; return how many bytes that is."""
        try:
            data = self._file.read1(len(buffer))
        except DAMAGES as error:
            self.damage = str(error) or type(error).__name__
            return 0
        buffer[: len(data)] = data
        return len(data)

    def reaches(self, offset: int) -> bool:
        """Go to an offset; return whether the file is as long as that."""
        try:
            return self._file.seek(offset) == offset
        except DAMAGES as error:
            self.damage = str(error) or type(error).__name__
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def lines(file: IO[bytes]) -> Iterator[bytes]:
    r"""Yield lines with their ends, which may be LF, CR LF or CR; the last one perhaps without.

    >>> list(lines(io.BytesIO(b"1,2\r\n3,4\r5,6\n7")))
    [b'1,2\r\n', b'3,4\r', b'5,6\n', b'7']
    """
    rest = b""
    while block := file.read(max(READ_BYTES, len(rest))):  # so that a long line takes few turns
        found = (rest + block).splitlines(keepends=True)
        # of the last one there may be more to come, if only the LF of its CR
        rest = b"" if found[-1].endswith(b"\n") else found.pop()
        for line in found:
            yield from _pieces(line) if len(line) > MAX_LINE_BYTES else (line,)
        while len(rest) > MAX_LINE_BYTES:
            yield rest[:MAX_LINE_BYTES]
            rest = rest[MAX_LINE_BYTES:]
    if rest:
        yield rest


def _pieces(line: bytes) -> Iterator[bytes]:
    for first in range(0, len(line), MAX_LINE_BYTES):
        yield line[first : first + MAX_LINE_BYTES]
