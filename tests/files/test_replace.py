"""Whatever interrupts it, the old file is there or the new one; and who holds a lock keeps others out."""

from __future__ import annotations

import contextlib
import os
import stat

import pytest

from streammac.files.lock import Locked, lock
from streammac.files.replace import replace, replacing


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced(tmp_path, sync):
    path = tmp_path / "f"
    for content in (b"one", b"two"):
        replace(path, content, sync=sync)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_interrupted_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "f"
    replace(path, b"old")
    with contextlib.suppress(KeyboardInterrupt), replacing(path) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_what_a_killed_process_has_left_is_in_nobodys_way(tmp_path):
    path = tmp_path / "f"
    (tmp_path / f"f.{os.getpid()}.new").write_bytes(b"much longer than the new one")
    replace(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["f"]


def test_a_lock_is_one_process_s_until_it_is_closed(tmp_path):
    first = lock(tmp_path / "lock")
    with pytest.raises(Locked, match=r"lock: another process"):
        lock(tmp_path / "lock")
    with pytest.raises(Locked, match=r"^not now$"):
        lock(tmp_path / "lock", "not now")
    first.close()
    with lock(tmp_path / "lock", wait=True):
        pass
