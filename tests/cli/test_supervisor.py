import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streammac import processes, supervisor
from streammac.config import Settings
from streammac.exit_codes import ExitCode, Failure
from streammac.run_directory import RunDirectory
from streammac.supervisor import LocalCluster, Run, supervise

PROGRAM = (sys.executable, str(Path(__file__).with_name("stand_in.py")))
pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def cluster(root: Path, workers: int = 2, **behaviour: str) -> LocalCluster:
    root.mkdir(exist_ok=True)
    (root / "roles.json").write_text(json.dumps(behaviour))
    settings = Settings.model_validate({"cluster": {"workers": workers}})
    return LocalCluster(RunDirectory(root), settings, PROGRAM)


def until(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # an orphan that nobody has waited for
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def run_until_first_status(local: LocalCluster) -> tuple[Run, list[Any]]:
    """Run a cluster; interrupt it once all members are alive."""
    seen: list[Any] = []

    def show(status: Any, _: float) -> None:
        seen.append(status)
        members = status["workers"] + status["ingest"] if status else []
        if len(members) == len(local.workers) + 1 and all(m["state"] == "alive" for m in members):
            local.interrupt()

    return supervise(local, show, duration_s=20.0), seen


def test_a_cluster_starts_is_shown_and_ends_from_the_front(tmp_path: Path) -> None:
    local = cluster(tmp_path / "run", workers=3)
    run, seen = run_until_first_status(local)
    assert run.failure is None
    assert run.seconds < 10
    assert seen[-1]["points"]["sent"] == 96  # all four members alive
    assert run.running == seen[-1]
    assert run.status is not None
    assert run.status["points"]["sent"] == 100  # everybody's last words are in it
    order = (tmp_path / "run" / "ended").read_text().split()
    assert order[0] == "i1"
    assert sorted(order[1:4]) == ["w1", "w2", "w3"]
    assert order[4:] == ["coordinator"]
    assert [child.exit_code for child in local.children] == [0] * 5
    stored = Settings.model_validate_json(local.directory.settings.read_text())
    assert stored == local.settings


def test_the_time_given_ends_the_run(tmp_path: Path) -> None:
    run = supervise(cluster(tmp_path), lambda *_: None, duration_s=0.6)
    assert 0.6 <= run.seconds < 5
    assert run.failure is None


def test_children_do_not_hear_the_terminal(tmp_path: Path) -> None:
    with cluster(tmp_path, workers=1) as local:
        facts = until(lambda: local.directory.announced("w1"))
        assert facts["sid"] == facts["pid"] != os.getsid(0)


def test_a_directory_takes_one_cluster_at_a_time(tmp_path: Path) -> None:
    with cluster(tmp_path, workers=1):
        with pytest.raises(Failure, match="runs there already") as caught:
            supervise(cluster(tmp_path), lambda *_: None, duration_s=1)
        assert caught.value.code is ExitCode.NOT_RUNNING
    assert supervise(cluster(tmp_path), lambda *_: None, duration_s=0.1).failure is None


def test_a_process_that_dies_ends_the_cluster_with_its_last_words(tmp_path: Path) -> None:
    local = cluster(tmp_path, w2="die")
    run = supervise(local, lambda *_: None, duration_s=20)
    assert run.seconds < 10
    assert run.failure is not None
    assert run.failure.code is ExitCode.PROCESS_DIED
    assert "w2 (process" in str(run.failure)
    assert "exit status 3" in str(run.failure)
    assert "w2 has a reason to die" in str(run.failure)
    assert all(child.exit_code is not None for child in local.children)


def test_a_killed_process_is_told_by_its_signal(tmp_path: Path) -> None:
    local = cluster(tmp_path)

    def show(status: Any, _: float) -> None:
        if local.directory.announced("w1"):
            local.workers[0].process.send_signal(signal.SIGKILL)

    run = supervise(local, show, duration_s=20)
    assert "w1" in str(run.failure)
    assert "signal SIGKILL" in str(run.failure)


def test_a_process_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "WORKER_PATIENCE_S", 0.2)
    local = cluster(tmp_path, w1="stubborn")
    run, _ = run_until_first_status(local)
    assert run.failure is None
    assert [child.exit_code for child in local.workers] == [-signal.SIGKILL, 0]


def test_a_second_interrupt_ends_the_patience(tmp_path: Path) -> None:
    local = cluster(tmp_path, w1="stubborn", i1="stubborn")
    local.start()
    until(lambda: local.directory.announced("w1") and local.directory.announced("i1"))
    local.interrupt()
    local.interrupt()
    begin = time.monotonic()
    local.stop()
    assert time.monotonic() - begin < 5
    assert all(child.exit_code is not None for child in local.children)


def test_signals_interrupt_and_handlers_come_back(tmp_path: Path) -> None:
    local = cluster(tmp_path, workers=1)
    before = signal.getsignal(signal.SIGINT)
    sent: list[float] = []

    def show(status: Any, _: float) -> None:
        if status is not None and not sent:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    run = supervise(local, show, duration_s=20)
    assert run.failure is None
    assert run.seconds < 10
    assert signal.getsignal(signal.SIGINT) is before


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from streammac.config import Settings\n"
        "from streammac.run_directory import RunDirectory\n"
        "from streammac.supervisor import LocalCluster\n"
        f"local = LocalCluster(RunDirectory(Path({str(tmp_path)!r})), Settings(), {PROGRAM!r})\n"
        "local.start(); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    directory = RunDirectory(tmp_path)
    names = ("coordinator", "w1", "w2", "w3", "i1")
    pids = [until(lambda n=name: directory.announced(n))["pid"] for name in names]
    parent.kill()
    parent.wait()
    until(lambda: all(gone(pid) for pid in pids))
    assert len((tmp_path / "ended").read_text().split()) == 5


def test_stale_announcements_are_not_believed(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.announce("coordinator", {"control": "tcp://127.0.0.1:1"})
    directory.announce("w9", {})
    run, _ = run_until_first_status(cluster(tmp_path))
    assert run.status is not None
    assert directory.announced("w9") is None


def test_a_dead_process_is_not_announced(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    directory.announce("w1", {"pid": process.pid})
    assert directory.announced("w1") is None
    assert directory.wait_for("w1", 0.05) is None


def test_a_log_is_cut_to_its_end(tmp_path: Path) -> None:
    child = processes.start(
        "c", [sys.executable, "-c", "for i in range(5000): print('line', i)"], tmp_path / "c.log"
    )
    child.process.wait()
    assert child.tail().splitlines() == [f"line {i}" for i in range(4985, 5000)]
