"""The file of a sender's records: what it must know after it was killed (`streammac.delivery.records`).

The file is handed to the kernel at each write, so it survives a killed process; a tail that is torn is dropped, and
with it only what was never acted on.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Generic, TypeVar

import msgpack

from streammac.delivery.records import Record, State

HEADER = struct.Struct("<II")  # length of the body, its CRC-32
COMPACT_BYTES = 1 << 20
"""A file that has grown by so much since it was last written anew is written anew."""
MAX_RECORD_BYTES = 64 << 20

S = TypeVar("S", bound=State)


class LedgerError(Exception):
    """The file cannot be read; the message says what to do."""


def pack(record: Record, kinds: Sequence[type[Record]]) -> bytes:
    """Return the bytes of a record of one of these kinds."""
    body: bytes = msgpack.packb([kinds.index(type(record)), *astuple(record)])
    return HEADER.pack(len(body), zlib.crc32(body)) + body


def unpack(content: bytes, kinds: Sequence[type[Record]]) -> Iterator[tuple[Record, int]]:
    """Yield the records and where each ends, up to the first that is torn."""
    offset = 0
    while offset + HEADER.size <= len(content):
        length, checksum = HEADER.unpack_from(content, offset)
        end = offset + HEADER.size + length
        body = content[offset + HEADER.size : end]
        if length > MAX_RECORD_BYTES or end > len(content) or zlib.crc32(body) != checksum:
            return
        kind, *values = msgpack.unpackb(body)
        yield kinds[kind](*values), end
        offset = end


class Ledger(Generic[S]):
    """The file. One process has it at a time: whoever holds the name of the sender.

    Parameters
    ----------
    path : Path
        Where it is; made if need be.
    state : State
        Without any records; it says which kinds there are.

    Attributes
    ----------
    state : State
        What all written records add up to.

    Raises
    ------
    LedgerError
        If another process has it, or it holds records of another version.
    OSError
        If it cannot be read or made.
    """

    def __init__(self, path: Path, state: S) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path)
        self._path = path
        self.state = state
        self._pending: list[Record] = []
        content = path.read_bytes() if path.exists() else b""
        self._end = 0
        try:
            for record, end in unpack(content, state.kinds):
                self.state.apply(record)
                self._end = end
        except (ValueError, TypeError, IndexError) as error:
            raise LedgerError(
                f"{path}: holds records this version does not know - use the version that made it"
            ) from error
        self._compacted = self._end
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._fd, self._end)

    def write(self, records: Iterable[Record]) -> None:
        """Write records, after those that could not be written before.

        Raises
        ------
        OSError
            If the disk takes no more. They are kept for the next time; nothing that they speak of may be done
            before.
        """
        self._pending += records
        if not self._pending:
            return
        data = b"".join(pack(record, self.state.kinds) for record in self._pending)
        try:
            self._write(data)
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._end += len(data)
        for record in self._pending:
            self.state.apply(record)
        self._pending.clear()
        if self._end - self._compacted > COMPACT_BYTES:
            self._compact()

    def _write(self, data: bytes) -> None:
        view, offset = memoryview(data), self._end
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def _compact(self) -> None:
        data = b"".join(pack(record, self.state.kinds) for record in self.state.records())
        scratch = self._path.with_name(self._path.name + ".new")
        try:
            scratch.write_bytes(data)
            scratch.replace(self._path)
            descriptor = os.open(self._path, os.O_RDWR)
        except OSError:
            scratch.unlink(missing_ok=True)  # a full disk: it stays as long as it is
            self._compacted = self._end
            return
        os.close(self._fd)
        self._fd = descriptor
        self._end = self._compacted = len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        os.close(self._lock)


def _locked(path: Path) -> int:
    """Return a descriptor that holds the file for this process until it is closed."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerError(
            f"{path}: another process of this name runs - use another name"
        ) from error
    return descriptor
