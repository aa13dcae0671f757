"""What the supervisor knows of workers that MPI started: from a file that their shell writes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from streammac.supervisor import mpi_job, mpi_starter
from streammac.supervisor.mpi_job import RankProcess
from tests.patience import wait_for


@pytest.fixture
def job():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(("code", "known"), [(0, 0), (6, 6), (137, -9), (143, -15)])
def test_its_end_is_what_its_shell_wrote(tmp_path, job, code, known):
    record = tmp_path / "w1.rank"
    rank = RankProcess(record, job, tmp_path / "w1.log")
    assert rank.poll() is None
    record.write_text(f"4711\n{code}\n")
    assert (rank.poll(), rank.pid) == (known, 4711)


def test_who_is_being_started_gets_his_signal_when_he_is_there(tmp_path, job, sleeper):
    rank = RankProcess(tmp_path / "w1.rank", job, tmp_path / "w1.log")
    rank.terminate()
    assert (rank.poll(), rank.pid) == (None, None)
    (tmp_path / "w1.rank").write_text(f"{sleeper.pid}\n")
    assert rank.poll() is None
    assert sleeper.wait(5) == -signal.SIGTERM


def test_who_is_killed_with_his_shell_has_been_killed(tmp_path, job, sleeper):
    record = tmp_path / "w1.rank"
    record.write_text(f"{sleeper.pid}\n")
    rank = RankProcess(record, job, tmp_path / "w1.log")
    with pytest.raises(subprocess.TimeoutExpired):
        rank.wait(0.1)
    sleeper.kill()  # nobody has waited for it: it is a zombie
    assert rank.wait(5) == -signal.SIGKILL


def test_who_was_never_started_ends_with_the_job(tmp_path, job):
    rank = RankProcess(tmp_path / "w1.rank", job, tmp_path / "w1.log")
    assert rank.poll() is None
    job.kill()
    assert wait_for(rank.poll) == -signal.SIGKILL
    assert "mpi.log" in (tmp_path / "w1.log").read_text()


def test_without_mpi_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(mpi_starter.shutil, "which", lambda *_, **__: None)
    assert not mpi_starter.is_usable()
    with pytest.raises(mpi_job.Failure, match=r"pip install 'streammac\[mpi\]'"):
        mpi_job.MpiJob(("streammac",), None, 0, 0)
