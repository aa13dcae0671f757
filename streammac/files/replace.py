"""Atomic replacement: whatever happens, readers find the old file or the new one, and never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SCRATCH = ".new"
"""How names of files end that are not in place yet; nothing ever reads one."""


@contextmanager
def replacing(path: Path, *, sync: bool = False, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``path`` at the end, unless something is raised.

    Parameters
    ----------
    path : Path
        The file; processes that replace it at the same time do not meet.
    sync : bool
        Whether it has to survive power loss, too, and not only a killed process.
    mode : int
        Permissions, less the umask; at no time has it others.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}{SCRATCH}")
    scratch.unlink(missing_ok=True)  # of a process of this number that was killed
    try:
        with open(scratch, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def replace(path: Path, data: bytes, *, sync: bool = False, mode: int = 0o666) -> None:
    """Replace a small file; see `replacing`."""
    with replacing(path, sync=sync, mode=mode) as file:
        file.write(data)


def sync_directory(path: Path) -> None:
    """Make the names of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
