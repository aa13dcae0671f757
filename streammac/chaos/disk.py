"""What is done to the disk of a cluster: filled up for a while, and bytes that rot.

Only a file system that a run directory has to itself is filled; `streammac.chaos.testbed` gives its cluster one.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streammac.run_directory import RunDirectory

BLOCK = 4096
SEGMENT_FILES = "[0-9]" * 8 + ".*"


def has_own_file_system(directory: RunDirectory) -> bool:
    """Return whether filling it up hurts nobody else."""
    return os.path.ismount(directory.root)


@contextmanager
def own_file_system(path: Path, size: int) -> Iterator[None]:
    """Give a new directory a file system of so many bytes, in memory; in the end its files are moved to the disk.

    Raises
    ------
    OSError
        If that cannot be done, mostly for want of permission.
    """
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "streammac-chaos", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        path.rmdir()
        raise OSError(errno.EPERM, done.stderr.strip(), str(path))
    try:
        yield
    finally:
        copy = path.with_name(f"{path.name}.copy")
        shutil.copytree(path, copy)
        subprocess.run(["umount", str(path)], check=True)
        path.rmdir()
        copy.rename(path)


def fill(directory: RunDirectory) -> None:
    """Leave no room."""
    with _filler(directory).open("wb") as file:
        room = os.statvfs(directory.root)
        size, step = 0, room.f_bavail * room.f_frsize
        while step >= BLOCK:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError:  # others write, too
                step //= 2


def make_room(directory: RunDirectory) -> None:
    """Take back what `fill` took."""
    _filler(directory).unlink(missing_ok=True)


def _filler(directory: RunDirectory) -> Path:
    return directory.root / "filler"


def rot(shards: Sequence[Path], draw: int) -> None:
    """Flip one bit of what some shards hold; nobody may have them open. Nothing happens where there is next to nothing.

    The newest block of each file is left alone: what is not acknowledged yet is not lost with it.
    """
    files = [file for shard in shards for file in sorted(shard.glob(SEGMENT_FILES))]
    sizes = [max(0, _written(file) - BLOCK) for file in files]
    if not sum(sizes):
        return
    chance = random.Random(draw)
    (file,) = chance.choices(files, sizes)
    at = chance.randrange(sizes[files.index(file)])
    with file.open("r+b") as opened:
        opened.seek(at)
        (byte,) = opened.read(1)
        opened.seek(at)
        opened.write(bytes([byte ^ (1 << chance.randrange(8))]))


def _written(file: Path) -> int:
    """Return the bytes that were written; files are longer than that at once, and filled from the front."""
    found = file.stat()
    return min(found.st_size, found.st_blocks * 512)
