"""What a shard's directory holds besides segments: a lock, a description, a checkpoint, withdrawals, and a reserve.

The shard takes the lock and compares the description when it opens, and writes the checkpoint before
retention deletes segments.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from streammac.files import document
from streammac.files.disk import Disk
from streammac.files.lock import lock
from streammac.points.batch_id_set import BatchIdSet
from streammac.store.description import NAME, Description
from streammac.store.errors import StoreError
from streammac.store.points import Schema
from streammac.store.withdrawals import Withdrawals

RESERVE_BYTES = 256 << 10
"""Space kept for a checkpoint: at least so much, and twice the last one."""


class ShardDirectory:
    """The directory of an open shard.

    Attributes
    ----------
    checkpoint : Checkpoint
        What no segment says any more.
    withdrawals : Withdrawals
        What was withdrawn.
    identity : str
        Of this shard: its segments bear it.

    Raises
    ------
    Locked
        If another process has it.
    StoreError
        If it is not the directory of a shard of such points, or is damaged.
    """

    def __init__(self, disk: Disk, path: Path, schema: Schema, owner: str = "") -> None:
        self.disk = disk
        self.path = path
        new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(
            path / "lock", f"{path}: another process has this shard open - stop it first"
        )
        try:
            if new:
                disk.sync_directory(path.parent)
            self.identity = self._describe(schema, owner)
            self.checkpoint = Checkpoint.load(path)
            self.withdrawals = Withdrawals(disk, path)
        except BaseException:
            self._lock.close()
            raise

    def _describe(self, schema: Schema, owner: str) -> str:
        """Describe a new directory, or compare it with what an old one says; return the shard's identity."""
        path = self.path / NAME
        found = Description.load(self.path)
        if found is None and any(self.path.glob("*.journal")):
            raise StoreError(f"{path}: is missing beside its segments - {document.REMEDY}")
        known = found or Description(schema)
        if known.schema != schema:
            raise StoreError(
                f"{self.path}: holds points of {_said(known.schema)}, the stream has {_said(schema)} - use another "
                "directory for another stream"
            )
        if owner and known.owner not in ("", owner):
            raise StoreError(
                f"{self.path}: is the shard of {known.owner}, not of {owner} - put the right one back, or "
                "use another directory"
            )
        described = Description(schema, known.shard or uuid.uuid4().hex, known.owner or owner)
        if described != found:
            self.disk.replace(path, described.encode())
        return described.shard

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, for which a full disk has a reserve: only what follows frees space.

        Raises
        ------
        OSError
            If the disk fails; the former one holds then.
        """
        path, data = self.path / "checkpoint.json", checkpoint.encode()
        try:
            self.disk.replace(path, data)
        except OSError:
            self.disk.remove([self.path / "reserve"])
            self.disk.replace(path, data)
        self.checkpoint = checkpoint

    def keep_reserve(self) -> None:
        """Take the space of the next checkpoint, if the disk has it."""
        path = self.path / "checkpoint.json"
        size = path.stat().st_size if path.exists() else 0
        with contextlib.suppress(OSError):  # a shard on a full disk must open, read and expire
            self.disk.reserve(self.path / "reserve", max(RESERVE_BYTES, 2 * size))

    def sync(self) -> None:
        """Make the names of new files durable."""
        self.disk.sync_directory(self.path)

    @property
    def is_open(self) -> bool:
        """Whether this process has it."""
        return not self._lock.closed

    def close(self) -> None:
        """Leave it to others."""
        self.withdrawals.close()
        self._lock.close()


def _said(schema: Schema) -> str:
    targets = "" if schema.y_shape is None else f" with y {schema.y_dtype}{list(schema.y_shape)}"
    return f"{schema.dtype}[{schema.dim}]{targets}"


@dataclass(slots=True)
class Checkpoint:
    """What no segment says any more.

    Attributes
    ----------
    first_segment : int
        Segments of smaller numbers have expired, whether their files are gone already or not.
    expired : int
        Points in them.
    withdrawn : int
        Points in them that had been withdrawn before; these are not counted as expired.
    dropped : int
        Points in them that were given up; neither are these.
    damaged : int
        Points in them that were damaged; nor these.
    rows : int
        Rows that they had.
    batch_ids : BatchIdSet
        Those of their batches alone: the batch ids of the others live and die with their journals, so that a
        batch which power loss takes back is not mistaken for one that was kept.
    """

    first_segment: int = 1
    expired: int = 0
    batch_ids: BatchIdSet = field(default_factory=BatchIdSet)
    withdrawn: int = 0
    dropped: int = 0
    damaged: int = 0
    rows: int = 0

    @classmethod
    def load(cls, directory: Path) -> Checkpoint:
        """Read it; a new directory has an empty one.

        Raises
        ------
        StoreError
            If it is there but unreadable.
        """
        path = directory / "checkpoint.json"
        try:
            value = document.decode(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValueError as error:
            raise StoreError(f"{path}: is damaged ({error}) - {document.REMEDY}") from error
        try:
            counts = [value[name] for name in ("expired", "withdrawn", "dropped")]
            return cls(
                value["first_segment"],
                value["expired"],
                BatchIdSet(value["batch_ids"]),
                value["withdrawn"],
                value["dropped"],
                value.get("damaged", 0),
                value.get("rows", sum(counts)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path}: is no checkpoint - {document.REMEDY}") from error

    def encode(self) -> bytes:
        """Return its file."""
        value = {
            "first_segment": self.first_segment,
            "expired": self.expired,
            "withdrawn": self.withdrawn,
            "dropped": self.dropped,
            "damaged": self.damaged,
            "rows": self.rows,
            "batch_ids": self.batch_ids.to_json(),
        }
        return document.encode(value)
