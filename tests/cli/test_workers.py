"""``workers add | remove | list``, ``top`` and ``worker --join``: with stand-ins, and what they say."""

import os
import pty
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streammac.cli import open_files
from streammac.cli import workers as cli_workers
from streammac.cli.own_name import own_name
from streammac.cli.workers import exit_message, listing
from streammac.errors import ExitCode, Failure
from streammac.link.attached import Attached
from streammac.run_directory import RunDirectory
from streammac.terminal.keyboard import Keyboard
from streammac.wire.status import (
    ChildStatus,
    ClusterStatus,
    Event,
    SupervisorStatus,
    WorkerStatus,
)
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture
from tests.supervisor.test_supervisor import ALWAYS, cluster, turn_until


def test_a_generated_name_is_kept_and_one_s_own(tmp_path: Path) -> None:
    first = own_name("worker", tmp_path / "a")
    assert own_name("worker", tmp_path / "a") == first
    assert own_name("worker", tmp_path / "b") != first
    assert len(first) <= 64
    assert own_name("ingest", tmp_path / "a") not in (first, own_name("ingest", tmp_path / "b"))


def test_a_name_in_the_directory_that_is_a_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "worker-name").write_text("../../x\n")
    with pytest.raises(Failure, match="worker-name: name: expected up to 64 letters"):
        own_name("worker", tmp_path)


def test_a_wild_host_name_becomes_a_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "../été.example.org")
    name = own_name("worker", tmp_path)
    assert name.startswith("worker-")
    assert name.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("events", "left", "said"),
    [
        ([], 0, "w2 has left"),
        (["drained, 5 points are given up"], 0, "w2 has left: drained, 5 points are given up"),
        (
            ["drained", "drained, 7 points wait in its directory"],
            7,
            "w2 has left: drained, 7 points wait in its directory - `streammac worker --name w2 "
            "--dir d`, or the next `streammac up`, brings them back",
        ),
    ],
)
def test_who_leaves_says_what_became_of_its_points(events: list[str], left: int, said: str) -> None:
    happened = [Event(1, 0.0, "left", "w2", text) for text in events]
    happened += [Event(1, 0.0, "left", "w3", "x"), Event(1, 0.0, "lost", "w2", "y")]
    workers = (WorkerStatus("w2", points=left),)
    status = ClusterStatus(workers=workers, events=tuple(happened))
    assert exit_message(status, "w2", Path("d")) == said


def test_the_list_has_what_either_of_the_two_knows() -> None:
    children = (
        ChildStatus("w2", "worker", state="waiting", restarts=1),
        ChildStatus("w10", "worker", state="running", restarts=1),
        ChildStatus("i1", "ingest", restarts=1),
    )
    workers = (WorkerStatus("w10", 7, "a", points=5),)
    rows = listing(ClusterStatus(workers=workers, supervisor=SupervisorStatus(processes=children)))
    assert [row["name"] for row in rows] == ["w2", "w10"]
    assert rows[0] | {"state": "unknown", "points": None, "supervised": "waiting"} == rows[0]
    assert rows[1] | {"state": "alive", "points": 5, "pid": 7, "restarts": 1} == rows[1]


def test_the_limit_on_open_files_is_as_high_as_it_may_be() -> None:
    program = (
        "import resource; from streammac.cli import open_files; print(open_files.allow_many())"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = subprocess.run(
        ["sh", "-c", f"ulimit -Sn 64; exec {sys.executable} -c '{program}'"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert int(told.stdout) == hard, told.stderr


def test_a_system_that_allows_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 128))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert open_files.allow_many() == 64


def test_keys_are_read_until_the_terminal_is_gone() -> None:
    reading, writing = os.pipe()
    keys = Keyboard(reading)
    assert keys.wait(0.0) == ""
    os.write(writing, b"q")
    assert keys.wait(1.0) == "q"
    os.close(writing)
    assert keys.wait(1.0) == ""
    assert keys.wait(0.0) == ""
    os.close(reading)


# -- with processes --------------------------------------------------------------------------------


@pytest.mark.processes
def test_workers_come_and_go_by_commands(tmp_path: Path, run: Run) -> None:  # noqa: F811
    with cluster(tmp_path / "d", limits=ALWAYS) as local:
        turn_until(local, lambda: len((local.status() or ClusterStatus()).workers) == 2)
        stop, working = threading.Event(), threading.Lock()

        def supervise() -> None:
            while not stop.is_set():
                with working:
                    local.step(0.02)

        thread = threading.Thread(target=supervise)
        thread.start()
        try:
            assert run("workers", "add", 2, "--dir", "d")[:2] == (0, "started w3, w4\n")
            code, out, err = run("workers", "remove", "w2", "--deadline", 5, "--dir", "d")
            assert code == 0, err
            assert "w2 has left" in out
            code, out, _ = run("workers", "list", "--dir", "d")
            assert [row.split()[0] for row in out.splitlines()[1:]] == ["w1", "w2", "w3", "w4"]
            code, out, _ = run("top", "--once", "--dir", "d")
            assert code == 0
            assert "w1" in out
            code, _, err = run("workers", "remove", "w9", "--dir", "d")
            assert code == ExitCode.REFUSED
            assert "no worker 'w9'" in err
            code, _, err = run("workers", "add", 500, "--dir", "d")
            assert code == ExitCode.REFUSED
            assert "got 500" in err
            code, _, _ = run("workers", "remove", "w1", "--move-data", "--drop-data", "--dir", "d")
            assert code == ExitCode.USAGE
        finally:
            stop.set()
            thread.join()
    for command in (["add"], ["remove", "w1"], ["list"]):
        assert run("workers", *command, "--dir", "d")[0] == ExitCode.NOT_RUNNING
    assert run("top", "--dir", "d")[0] == ExitCode.NOT_RUNNING


def test_a_worker_that_dies_while_it_leaves_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = [
        ClusterStatus(workers=(WorkerStatus("w1", state=state, points=3),))
        for state in ("alive", "lost")
    ]
    monkeypatch.setattr(Attached, "status", lambda *_: statuses.pop(0))
    monkeypatch.setattr(cli_workers, "POLL_S", 0.0)
    with pytest.raises(Failure, match="died while it was leaving") as caught:
        cli_workers._wait_until_left(Attached(RunDirectory(tmp_path)), "w1", 5.0)
    assert caught.value.code is ExitCode.PROCESS_DIED


def test_a_worker_that_does_not_leave_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attached, "status", lambda *_: None)
    monkeypatch.setattr(cli_workers, "FAREWELL_S", 0.0)
    with pytest.raises(Failure, match="has not left within 0 s"):
        cli_workers._wait_until_left(Attached(RunDirectory(tmp_path)), "w1", 0.0)


@pytest.mark.processes
def test_top_draws_until_q_is_pressed(tmp_path: Path) -> None:
    with cluster(tmp_path / "d", limits=ALWAYS) as local:
        turn_until(local, lambda: (local.status() or ClusterStatus()).workers)
        ours, theirs = pty.openpty()
        watching = subprocess.Popen(
            [sys.executable, "-m", "streammac", "top", "--dir", str(tmp_path / "d")],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "50"},
        )
        os.close(theirs)
        drawn = b""
        while b"w2" not in drawn:
            drawn += os.read(ours, 4096)
        os.write(ours, b"q")
        try:
            while chunk := os.read(ours, 4096):
                drawn += chunk
        except OSError:  # the other end is closed
            pass
        assert watching.wait(10) == 0
        assert b"\x1b[?1049l" in drawn, "the screen was given back"
        os.close(ours)


@pytest.mark.parametrize("name", ["../../../esc", "a/b", "", ".", "w1\n", "x" * 65, "coordinator"])
@pytest.mark.parametrize("role", ["worker", "ingest"])
def test_a_name_that_is_none_is_refused_before_anything_is_written(
    role: str,
    name: str,
    run: Run,  # noqa: F811
    tmp_path: Path,
) -> None:
    code, _, err = run(role, "--name", name, "--dir", tmp_path / "run")
    assert code == ExitCode.USAGE
    assert "name: " in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e9"])
def test_a_deadline_that_is_no_time_is_refused(seconds: str, run: Run) -> None:  # noqa: F811
    code, _, err = run("workers", "remove", "w1", "--deadline", seconds)
    assert code == ExitCode.USAGE
    assert "--deadline" in err
