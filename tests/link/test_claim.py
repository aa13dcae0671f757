"""The claim to a name: one process at a time in a directory, and no other directory looks the same."""

from __future__ import annotations

import shutil

import pytest

from streammac.errors import ExitCode, Failure
from streammac.link.claim import Claim
from streammac.run_directory import RunDirectory


def taken(directory: RunDirectory) -> Claim:
    claim = Claim.take(directory, "w1")
    claim.release()
    return claim


def test_the_name_is_taken_as_long_as_its_process_runs(tmp_path):
    directory = RunDirectory(tmp_path)
    claim = Claim.take(directory, "w1")
    directory.announce("w1", {})
    with pytest.raises(Failure, match=r"w1 runs already in .* \(process \d+\) - .*--name") as error:
        Claim.take(directory, "w1")
    assert error.value.code is ExitCode.REFUSED
    Claim.take(directory, "w2")
    claim.release()
    assert taken(directory).incarnation > claim.incarnation


def test_a_directory_is_the_same_ever_after_and_unlike_its_copies(tmp_path):
    first = taken(RunDirectory(tmp_path / "a"))
    assert taken(RunDirectory(tmp_path / "a")).home == first.home
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    others = [taken(RunDirectory(tmp_path / name)).home for name in ("copy", "b")]
    assert len({first.home, *others}) == 3


@pytest.mark.parametrize("rot", [b"", b"\xff" * 32, b"x" * 1000])
def test_a_damaged_file_makes_another_directory_of_it_and_nothing_worse(tmp_path, rot):
    directory = RunDirectory(tmp_path)
    first = taken(directory)
    (directory.processes / "w1.lock").write_bytes(rot)
    assert taken(directory).home != first.home
    assert taken(directory).home == taken(directory).home
