"""Replacement, locks, and the real disk."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from streammac.files.disk import Disk
from streammac.files.lock import Locked, lock
from streammac.files.replace import replace, replacing


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """Files and directories that were synced, by name."""
    names: list[str] = []

    def fsync(descriptor):
        names.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync)
    return names


def names(path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


class TestReplace:
    def test_readers_find_the_old_file_until_the_new_one_is_whole(self, tmp_path):
        path = tmp_path / "f"
        replace(path, b"old")
        with replacing(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
            (scratch,) = set(names(tmp_path)) - {"f"}
            assert str(os.getpid()) in scratch, "others that replace it write another"
            assert scratch.endswith(".new")
        assert path.read_bytes() == b"new"
        assert names(tmp_path) == ["f"]

    def test_the_old_file_stays_if_anything_is_raised(self, tmp_path):
        path = tmp_path / "f"
        replace(path, b"old")

        def killed():
            with replacing(path) as file:
                file.write(b"new")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            killed()
        assert (names(tmp_path), path.read_bytes()) == (["f"], b"old")

    def test_what_a_killed_process_left_is_in_nobodys_way(self, tmp_path):
        (tmp_path / f"f.{os.getpid()}.new").write_bytes(b"a longer half of something")
        replace(tmp_path / "f", b"new")
        assert (names(tmp_path), (tmp_path / "f").read_bytes()) == (["f"], b"new")

    def test_the_file_is_synced_before_its_name(self, tmp_path, synced):
        replace(tmp_path / "f", b"new")
        assert synced == []
        replace(tmp_path / "f", b"newer", sync=True)
        assert synced == [f"f.{os.getpid()}.new", tmp_path.name]

    def test_it_has_its_permissions_from_the_start(self, tmp_path):
        with replacing(tmp_path / "f", mode=0o600) as file:
            assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
        replace(tmp_path / "g", b"", mode=0o600)
        assert (tmp_path / "g").stat().st_mode & 0o777 == 0o600
        umask = os.umask(0o022)
        try:
            replace(tmp_path / "f", b"")
        finally:
            os.umask(umask)
        assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


class TestLock:
    def test_is_had_by_one_until_it_is_closed(self, tmp_path):
        path = tmp_path / "lock"
        held = lock(path)
        with pytest.raises(Locked, match=f"{path}: another process holds this lock"):
            lock(path)
        with pytest.raises(Locked, match=r"^go away$"):
            lock(path, "go away")
        held.close()
        lock(path).close()

    def test_leaves_what_the_file_holds(self, tmp_path):
        (tmp_path / "lock").write_bytes(b"content")
        lock(tmp_path / "lock").close()
        assert (tmp_path / "lock").read_bytes() == b"content"

    def test_goes_with_its_process_and_can_be_waited_for(self, tmp_path):
        path = tmp_path / "lock"
        code = "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.flock(file, 2); print(); input()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", code, path], **pipes) as other:
            other.stdout.readline()
            with pytest.raises(Locked):
                lock(path)
            other.kill()
            lock(path, wait=True).close()


class TestDisk:
    def test_writes_where_it_is_told_and_makes_room(self, tmp_path, synced):
        file = Disk().open(tmp_path / "f")
        file.write(4, b"abcd")
        file.write(6, memoryview(b"xyz"))
        assert (tmp_path / "f").read_bytes() == b"\0\0\0\0abxyz"
        file.truncate(12)
        assert (tmp_path / "f").read_bytes() == b"\0\0\0\0abxyz\0\0\0"
        file.sync()
        file.close()
        assert synced == ["f"]
        again = Disk().open(tmp_path / "f")
        again.truncate(6)
        again.close()
        assert (tmp_path / "f").read_bytes() == b"\0\0\0\0ab"

    def test_writes_the_rest_of_what_was_written_in_part(self, tmp_path, monkeypatch):
        pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:2], at))
        file = Disk().open(tmp_path / "f")
        file.write(1, b"abcde")
        file.close()
        assert (tmp_path / "f").read_bytes() == b"\0abcde"

    def test_memory_on_disk_vanishes_with_its_mapping(self, tmp_path):
        (tmp_path / "z").write_bytes(b"left behind")
        memory = Disk().scratch(tmp_path / "z", 5000)
        assert (len(memory), bytes(memory)) == (5000, bytes(5000))
        assert names(tmp_path) == []
        memory[4999] = 1

    def test_memory_that_there_is_no_room_for_is_refused(self, tmp_path, monkeypatch):
        def full(descriptor, offset, size):
            raise OSError("full")

        monkeypatch.setattr(os, "posix_fallocate", full)
        open_files = len(os.listdir("/proc/self/fd"))
        for take in (Disk().scratch, Disk().reserve):
            with pytest.raises(OSError, match="full"):
                take(tmp_path / "z", 10)
        assert len(os.listdir("/proc/self/fd")) == open_files

    def test_a_reserve_takes_its_room_and_keeps_it(self, tmp_path):
        Disk().reserve(tmp_path / "reserve", 10_000)
        Disk().reserve(tmp_path / "reserve", 10_000)
        size = (tmp_path / "reserve").stat()
        assert size.st_size == 10_000
        assert size.st_blocks * 512 >= 10_000

    def test_only_their_owner_writes_its_files(self, tmp_path, monkeypatch):
        modes = []
        opened = os.open
        monkeypatch.setattr(os, "open", lambda *args: modes.append(args[2:]) or opened(*args))
        Disk().open(tmp_path / "f").close()
        Disk().reserve(tmp_path / "reserve", 1)
        Disk().scratch(tmp_path / "z", 1)
        assert modes == [(0o644,)] * 3

    def test_files_are_removed_and_moved_if_they_are_there(self, tmp_path, synced):
        disk, there = Disk(), tmp_path / "there"
        for name in "abc":
            disk.replace(tmp_path / name, name.encode())
        assert synced[-1] == tmp_path.name
        disk.remove([tmp_path / "a", tmp_path / "x"])
        disk.move([tmp_path / "x", tmp_path / "b"], there)
        disk.move([tmp_path / "c"], there)
        assert names(tmp_path) == ["there"]
        assert names(there) == ["b", "c"]
        synced.clear()
        disk.sync_directory(there)
        assert synced == ["there"]
