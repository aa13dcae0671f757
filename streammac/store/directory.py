"""What a shard's directory holds besides segments: a lock, a description, a checkpoint, and a reserve.

The shard takes the lock and compares the description when it opens, and writes the checkpoint before
retention deletes segments.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streammac.points.batch_id_set import BatchIdSet
from streammac.store.disk import Disk
from streammac.store.errors import ShardLocked, StoreError
from streammac.store.points import Schema

FORMAT = 2
"""Of everything in the directory. Version 1 had journals in another encoding."""
RESERVE_BYTES = 256 << 10
"""Space kept for a checkpoint: at least so much, and twice the last one."""


def lock(path: Path) -> int:
    """Take the directory for this process; return the descriptor that holds it until it is closed.

    Raises
    ------
    ShardLocked
        If it is taken.
    """
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ShardLocked(f"{path}: another process has this shard open - stop it first") from error
    return descriptor


def describe(disk: Disk, directory: Path, schema: Schema) -> None:
    """Write what the points look like into a new directory, or compare it with what an old one says.

    Raises
    ------
    StoreError
        If the directory is not a shard of such points.
    """
    path = directory / "schema.json"
    if not path.exists():
        if any(directory.glob("*.journal")):
            raise StoreError(f"{path}: missing beside its segments - put it back")
        disk.replace(path, json.dumps({"format": FORMAT, **schema.to_json()}).encode())
        return
    value = _read(path)
    version = value.pop("format", 1)
    if version != FORMAT:
        raise StoreError(
            f"{path}: expected format {FORMAT}, got {version} - use another directory, or the version that made it"
        )
    try:
        found = Schema.from_json(value)
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path}: does not describe a shard - put it back") from error
    if found != schema:
        raise StoreError(
            f"{directory}: holds points of {_said(found)}, the stream has {_said(schema)} - use another "
            "directory for another stream"
        )


def _said(schema: Schema) -> str:
    targets = "" if schema.y_shape is None else f" with y {schema.y_dtype}{list(schema.y_shape)}"
    return f"{schema.dtype}[{schema.dim}]{targets}"


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise StoreError(f"{path}: is not JSON - put it back from a copy") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: expected an object - put it back from a copy")
    return value


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
    batch_ids : BatchIdSet
        Those of their batches alone: the batch ids of the others live and die with their journals, so that a
        batch which power loss takes back is not mistaken for one that was kept.
    """

    first_segment: int = 1
    expired: int = 0
    batch_ids: BatchIdSet = field(default_factory=BatchIdSet)
    withdrawn: int = 0
    dropped: int = 0

    @property
    def rows(self) -> int:
        """Rows that the segments had which are gone."""
        return self.expired + self.withdrawn + self.dropped

    @classmethod
    def load(cls, directory: Path) -> Checkpoint:
        """Read it; a new directory has an empty one.

        Raises
        ------
        StoreError
            If it is there but unreadable.
        """
        path = directory / "checkpoint.json"
        if not path.exists():
            return cls()
        value = _read(path)
        try:
            return cls(
                value["first_segment"],
                value["expired"],
                BatchIdSet(value["marks"]),
                value.get("withdrawn", 0),
                value.get("dropped", 0),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path}: is no checkpoint - put it back from a copy") from error

    def save(self, disk: Disk, directory: Path) -> None:
        """Write it, for which a full disk has a reserve: only what follows frees space."""
        value = {
            "first_segment": self.first_segment,
            "expired": self.expired,
            "withdrawn": self.withdrawn,
            "dropped": self.dropped,
            "marks": self.batch_ids.to_json(),
        }
        data = json.dumps(value).encode()
        path = directory / "checkpoint.json"
        try:
            disk.replace(path, data)
        except OSError:
            disk.remove([directory / "reserve"])
            disk.replace(path, data)


def keep_reserve(disk: Disk, directory: Path) -> None:
    """Take the space of the next checkpoint, if the disk has it."""
    path = directory / "checkpoint.json"
    size = path.stat().st_size if path.exists() else 0
    with contextlib.suppress(OSError):  # a shard on a full disk must open, read and expire
        disk.reserve(directory / "reserve", max(RESERVE_BYTES, 2 * size))
