"""A disk that fails as real ones do: it dies between any two changes, tears writes, fills up, loses power.

What a process sees are real files, as it would through the kernel's cache. Beside them stands a model of what
the platters hold: synced bytes, changes that may or may not have reached them, names that may be lost.
"""

from __future__ import annotations

import errno
from pathlib import Path

from streammac.files.disk import Disk, File


class Died(BaseException):
    """The process was killed here. No `except OSError` may survive it."""


class Platter:
    """One file: its durable bytes, and the changes since, in order."""

    def __init__(self, content=b"", named=False) -> None:
        self.content = bytearray(content)
        self.named = named
        self.pending: list[
            tuple[int, bytes | None]
        ] = []  # (offset, data), (size, None): truncation

    def apply(self, at, data) -> None:
        self.content.extend(bytes(max(0, at - len(self.content))))
        if data is None:
            del self.content[at:]
        else:
            self.content[at : at + len(data)] = data

    def sync(self) -> None:
        for change in self.pending:
            self.apply(*change)
        self.pending.clear()


class FailingFile(File):
    def __init__(self, disk, path) -> None:
        super().__init__(path)
        self._disk = disk
        self._platter = disk.platters.setdefault(path, Platter())

    def write(self, offset, data):
        data = bytes(data)
        torn = self._disk.fate(len(data))
        kept = data if torn is None else data[:torn]
        super().write(offset, kept)
        self._platter.pending.append((offset, kept))
        if torn is not None:
            self._disk.fail()

    def truncate(self, size):
        self._disk.step()
        super().truncate(size)
        self._platter.pending.append((size, None))

    def sync(self):
        self._disk.step()
        self._platter.sync()


class FailingDisk(Disk):
    """``steps``: changes until the process is killed; ``room``: bytes until the disk is full."""

    def __init__(self) -> None:
        self.platters: dict[Path, Platter] = {}
        self.unlinked: dict[Path, Platter] = {}
        self.steps: int | None = None
        self.room: int | None = None
        self.spare = False
        """Whether a reserve was given up, and what is replaced has room."""

    def step(self) -> None:
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise Died

    def fate(self, size: int) -> int | None:
        """Return after how many bytes a write stops, None if it does not."""
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                return size // 2
        if self.room is not None:
            if size > self.room:
                return self.room
            self.room -= size
        return None

    def fail(self) -> None:
        if self.steps is not None and self.steps < 0:
            raise Died
        self.room = 0
        raise OSError(errno.ENOSPC, "No space left on device")

    def open(self, path):
        self.step()
        return FailingFile(self, path)

    def reserve(self, path, size):
        if self.room is not None:
            self.fail()
        path.touch()
        self.spare = False

    def replace(self, path, data):
        self.step()
        if self.room is not None and len(data) > self.room and not self.spare:
            self.fail()
        path.write_bytes(data)
        self.platters[path] = Platter(data, named=True)
        self.sync_directory(path.parent)

    def remove(self, paths):
        for path in paths:
            self.step()
            super().remove([path])
            self.spare |= path.name == "reserve"
            if path in self.platters:
                self.unlinked[path] = self.platters.pop(path)

    def sync_directory(self, path):
        self.step()
        self.unlinked.clear()
        for platter in self.platters.values():
            platter.named = True

    def lose_power(self, source: Path, target: Path, rng) -> FailingDisk:
        """Fill ``target`` with what the platters may hold of ``source`` afterwards; return the disk to go on with."""
        target.mkdir()
        after = FailingDisk()
        for path, platter in (self.unlinked | self.platters).items():
            if path.parent != source:
                continue
            if (path in self.unlinked or not platter.named) and rng.random() < 0.5:
                continue
            # a kernel writes back file by file: often all of one and none of another
            kept, torn = rng.choice([(1.0, 0.0), (0.0, 0.0), (0.4, 0.2)])
            for at, data in platter.pending:
                fate = rng.random()
                if fate < kept:
                    platter.apply(at, data)
                elif fate < kept + torn and data:
                    platter.apply(at, data[: rng.randrange(len(data))])
            (target / path.name).write_bytes(platter.content)
            after.platters[target / path.name] = Platter(platter.content, named=True)
        return after
