"""The few things that logs and shards ask of a file system, so that tests can put a failing one in its place.

Writes go through `os.pwrite` and never through a memory mapping: a full disk is then an `OSError` that the
caller survives, and not a SIGBUS.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from streammac.files.replace import replace, sync_directory

COPY_BYTES = 1 << 20


class File:
    """A file open for writing at given offsets."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data`` at an offset, or raise OSError (a part may have been written)."""
        view = memoryview(data).cast("B")
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, size: int) -> None:
        """Make the file so long: what is new reads as zeros."""
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """Make what was written durable."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Disk:
    """The real file system."""

    def open(self, path: Path) -> File:
        """Open a file for writing; create it if need be."""
        return File(path)

    def scratch(self, path: Path, size: int) -> mmap.mmap:
        """Return ``size`` bytes of zeros on disk to store into; they vanish with the mapping.

        The space is taken beforehand, or OSError raised: a store into a hole on a full disk would be a SIGBUS.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, size)
            return mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def reserve(self, path: Path, size: int) -> None:
        """Take ``size`` bytes of the disk with a file of no content, or raise OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        """Replace a small file: after a crash, be it of the machine, it is the old one or the new one."""
        replace(path, data, sync=True)

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files in this order, those that exist."""
        for path in paths:
            path.unlink(missing_ok=True)

    def move(self, paths: Iterable[Path], directory: Path) -> None:
        """Move files in this order, those that exist, into a directory that may have to be made."""
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.exists():
                path.rename(directory / path.name)

    def copy(self, files: Mapping[Path, int | None], directory: Path) -> None:
        """Copy files that exist, all of them or their first so many bytes, into a new directory."""
        directory.mkdir(parents=True)
        for path, size in files.items():
            if path.exists():
                with path.open("rb") as source, (directory / path.name).open("wb") as target:
                    left = path.stat().st_size if size is None else size
                    while left > 0 and (part := source.read(min(left, COPY_BYTES))):
                        left -= target.write(part)

    def sync_directory(self, path: Path) -> None:
        """Make the names of a directory durable."""
        sync_directory(path)
