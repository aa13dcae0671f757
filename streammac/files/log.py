"""A log: records one after the other in a file, each with its length and checksums.

A process that is killed leaves a prefix of the last record; power loss may leave anything in its place. What does not
verify and is followed by a record that does was whole once: it is damaged, and reading goes on behind it. The header
has a checksum of its own, so zeros are no record, and a record can be found where the one before it is not readable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from isal.isal_zlib import crc32  # zlib's CRC-32, with the processor's instructions

from streammac.files.disk import Disk, File

FIELDS = struct.Struct("<II")  # length of the body, its CRC-32
CHECK = struct.Struct("<I")  # CRC-32 of these two
HEADER_BYTES = FIELDS.size + CHECK.size


class Stop(Enum):
    """Why nothing is read behind the last good record."""

    END = "everything was read"
    TORN = "the file ends in the middle of a record"
    DAMAGED = "a record is not as it was written"


class Gap(NamedTuple):
    """Bytes between two good records that are none."""

    start: int
    end: int


class Entry(NamedTuple):
    """A record's body, and where the record ends in the file."""

    body: memoryview
    end: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The good records of a log, what is damaged between them, and why they stop where they stop.

    ``damage`` is where the first bytes are that no crash explains: a tail may be torn, or zeros after a power cut.
    """

    entries: list[Entry]
    stop: Stop
    gaps: tuple[Gap, ...] = ()
    damage: int | None = None

    @property
    def end(self) -> int:
        """Where the last good record ends."""
        return self.entries[-1].end if self.entries else 0


def framed(body: bytes) -> bytes:
    """Return the bytes of a record."""
    fields = FIELDS.pack(len(body), crc32(body))
    return fields + CHECK.pack(crc32(fields)) + body


class _Bad(NamedTuple):
    """No record: why, and from where on the next one may begin."""

    why: Stop
    resume: int


def read(content: bytes) -> Contents:
    """Return the records in the content of a log."""
    entries: list[Entry] = []
    gaps: list[Gap] = []
    view, offset = memoryview(content), 0
    while offset < len(view):
        found = _record(view, offset)
        if isinstance(found, _Bad):
            bad, start = found, offset
            while isinstance(found, _Bad) and found.resume < len(view):
                offset = found.resume
                found = _record(view, offset)
            if isinstance(found, _Bad):
                is_damage = bad.why is Stop.DAMAGED and any(view[start:])
                return _contents(entries, bad.why, gaps, start if is_damage else None)
            gaps.append(Gap(start, offset))
        entries.append(found)
        offset = found.end
    return _contents(entries, Stop.END, gaps, None)


def _contents(entries: list[Entry], stop: Stop, gaps: list[Gap], tail: int | None) -> Contents:
    return Contents(entries, stop, tuple(gaps), gaps[0].start if gaps else tail)


def _record(view: memoryview, offset: int) -> Entry | _Bad:
    header = view[offset : offset + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        return _Bad(Stop.TORN, len(view))
    length, checksum = FIELDS.unpack_from(header)
    if CHECK.unpack_from(header, FIELDS.size) != (crc32(header[: FIELDS.size]),):
        return _Bad(Stop.DAMAGED, offset + 1)
    start, end = offset + HEADER_BYTES, offset + HEADER_BYTES + length
    if end > len(view):
        return _Bad(Stop.TORN, len(view))
    body = view[start:end]
    if crc32(body) != checksum:
        # not inside it: a body may hold what looks like a record
        return _Bad(Stop.DAMAGED, end)
    return Entry(body, end)


class Log:
    """A log on disk, for one writer. Its file is opened when it is first written to.

    Attributes
    ----------
    end : int
        So many bytes count. What the file holds beyond is dropped when it is opened.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._file: File | None = None
        self.end = 0

    def read(self) -> Contents:
        """Return what the file holds; a missing one holds nothing."""
        return read(self._path.read_bytes() if self._path.exists() else b"")

    def open(self) -> File:
        """Open the file for writing, make it if need be."""
        if self._file is None:
            file = self._disk.open(self._path)
            try:
                file.truncate(self.end)
            except OSError:
                file.close()
                raise
            self._file = file
        return self._file

    def append(self, bodies: Iterable[bytes]) -> None:
        """Write records: all of them, or none.

        Raises
        ------
        OSError
            If the disk takes no more.
        """
        data = b"".join(map(framed, bodies))
        file = self.open()
        try:
            file.write(self.end, data)
        except OSError:
            # a body may hold anything: no half of one may pass for a record behind a shorter one
            self.close()
            self.open()
            raise
        self.end += len(data)

    def rewrite(self, bodies: Iterable[bytes]) -> None:
        """Put these records in the place of all others, durably.

        Raises
        ------
        OSError
            If the disk fails; the log holds the former records or these.
        """
        self.close()
        try:
            self._disk.replace(self._path, b"".join(map(framed, bodies)))
        finally:
            self.end = self.read().end

    def sync(self) -> None:
        """Make what was written durable."""
        self.open().sync()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
