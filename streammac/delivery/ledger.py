"""The file of a sender's records: what it must know after it was killed.

`Sender` and the readers of feeds make records (`streammac.delivery.records`); the shell writes them before it sends
anything that they speak of. The file is handed to the kernel at each write, so it survives a killed process; a tail
that is torn is dropped, and with it only what was never acted on. A file that is damaged, or gone, is refused: what was
settled would be sent again, and stored twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgpack

from streammac.delivery.records import Record, State
from streammac.errors import StreammacError
from streammac.files.disk import Disk
from streammac.files.lock import lock
from streammac.files.log import Contents, Log

COMPACT_BYTES = 1 << 20
"""A file that has grown by so much since it was last written anew, and to twice its length, is written anew."""

REMEDY = (
    "put it back from a copy; `streammac check --repair` goes on with what is readable, and then points "
    "may be stored twice"
)
S = TypeVar("S", bound=State)


class LedgerError(StreammacError):
    """The file is damaged, gone, or holds what this version does not know; the message says what to do."""


def pack(record: Record, kinds: Sequence[type[Record]]) -> bytes:
    """Return the bytes of a record of one of these kinds."""
    names: tuple[str, ...] = record.__match_args__
    values = [getattr(record, name) for name in names]
    body: bytes = msgpack.packb([kinds.index(type(record)), *values])
    return body


def unpack(body: bytes | memoryview, kinds: Sequence[type[Record]]) -> Record:
    """Return the record that was packed; raise ValueError, TypeError or IndexError where none was."""
    kind, *values = msgpack.unpackb(body)
    record: Record = kinds[kind](*values)
    return record


class Ledger(Generic[S]):
    """The file. One process has it at a time: whoever holds the name of the sender.

    Parameters
    ----------
    path : Path
        Where it is; made if need be.
    state : State
        Without any records; it says which kinds there are.
    disk : Disk, optional
        The file system, for tests.

    Attributes
    ----------
    state : State
        What all written records add up to.

    Raises
    ------
    Locked
        If another process has it.
    LedgerError
        If it is damaged or gone, or holds records of another version.
    OSError
        If it cannot be read or made.
    """

    def __init__(self, path: Path, state: S, disk: Disk | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock(
            path.with_name(path.name + ".lock"),
            f"{path}: another process of this name runs - use another name",
        )
        self._log = Log(disk or Disk(), path)
        self._pending: list[Record] = []
        self.state = state
        contents = self._log.read()
        try:
            self._check(path, contents)
            for body, _ in contents.entries:
                self.state.apply(unpack(body, state.kinds))
        except (ValueError, TypeError, IndexError) as error:
            self._lock.close()
            raise LedgerError(
                f"{path}: holds records this version does not know - use the version that made it"
            ) from error
        except LedgerError:
            self._lock.close()
            raise
        self._log.end = self._compacted = contents.end

    def _check(self, path: Path, contents: Contents) -> None:
        self._begun = os.fstat(self._lock.fileno()).st_size > 0
        if self._begun and not contents.entries:
            raise LedgerError(f"{path}: is {'empty' if path.exists() else 'missing'} - {REMEDY}")
        if contents.damage is not None:
            raise LedgerError(f"{path}: is damaged at byte {contents.damage} - {REMEDY}")

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
        self._log.append(map(self._pack, self._pending))
        if not self._begun:
            self._lock.write(b"begun\n")  # from now on there is something to miss
            self._lock.flush()
            self._begun = True
        for record in self._pending:
            self.state.apply(record)
        self._pending.clear()
        if self._log.end - self._compacted > max(COMPACT_BYTES, self._compacted):
            with contextlib.suppress(OSError):  # a full disk: it stays as long as it is
                self._log.rewrite(map(self._pack, self.state.records()))
            self._compacted = self._log.end

    def _pack(self, record: Record) -> bytes:
        return pack(record, self.state.kinds)

    def close(self) -> None:
        """Close the file."""
        self._log.close()
        self._lock.close()
