import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from streammac.errors import ExitCode, Failure
from streammac.files.document import decode
from streammac.link.attached import Attached
from streammac.link.request import Asker, ask
from streammac.run_directory import RunDirectory
from streammac.security import KeyFolder
from streammac.settings.schema import Settings
from streammac.supervisor import ending, processes
from streammac.supervisor.local_cluster import LocalCluster
from streammac.supervisor.roster import Roster
from streammac.supervisor.run import Run, supervise
from streammac.wire.codec import Message, encode
from streammac.wire.messages import (
    AddWorkers,
    ForgetWorker,
    StatusRequest,
    WorkerForgotten,
    WorkersAdded,
)
from streammac.wire.status import ChildStatus, ClusterStatus

PROGRAM = (sys.executable, str(Path(__file__).with_name("stand_in.py")))
pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def cluster(
    root: Path, workers: int = 2, limits: dict[str, Any] | None = None, **behaviour: str
) -> LocalCluster:
    root.mkdir(exist_ok=True)
    (root / "roles.json").write_text(json.dumps(behaviour))
    settings = Settings.model_validate(
        {"cluster": {"workers": workers} | (limits or {"restart": "never"})}
    )
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
        members = (*status.workers, *status.ingest) if status else ()
        if len(members) == len(local.workers) + 1 and all(m.state == "alive" for m in members):
            local.interrupt()

    return supervise(local, show, duration_s=20.0), seen


def test_a_cluster_starts_is_shown_and_ends_from_the_front(tmp_path: Path) -> None:
    local = cluster(tmp_path / "run", workers=3)
    run, seen = run_until_first_status(local)
    assert run.failure is None
    assert run.seconds < 10
    assert seen[-1].points.sent == 96  # all four members alive
    assert run.running == seen[-1]
    assert run.status is not None
    assert run.status.points.sent == 100  # everybody's last words are in it
    order = (tmp_path / "run" / "ended").read_text().split()
    assert order[0] == "i1"
    assert sorted(order[1:4]) == ["w1", "w2", "w3"]
    assert order[4:] == ["coordinator"]
    assert [child.exit_code for child in local.children] == [0] * 5
    stored = Settings.model_validate(decode(local.directory.settings.read_bytes()))
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
    told_the_end = tmp_path / "shutdown"
    with cluster(tmp_path, workers=1) as local:
        until(lambda: local.directory.announced("coordinator"))
        with pytest.raises(Failure, match="runs there already") as caught:
            supervise(cluster(tmp_path), lambda *_: None, duration_s=1)
        assert caught.value.code is ExitCode.NOT_RUNNING
        assert not told_the_end.exists(), "the cluster that runs there goes on"
    assert told_the_end.exists()
    assert supervise(cluster(tmp_path), lambda *_: None, duration_s=0.1).failure is None


def test_a_process_that_dies_ends_the_cluster_with_its_last_words(tmp_path: Path) -> None:
    local = cluster(tmp_path, w2="die")
    run = supervise(local, lambda *_: None, duration_s=20)
    assert run.seconds < 10
    assert run.failure is not None
    assert run.failure.code is ExitCode.PROCESS_DIED
    assert "w2 (process" in str(run.failure)
    assert "exit status 1" in str(run.failure)
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
    monkeypatch.setattr(ending, "WORKER_PATIENCE_S", 2.0)
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_interrupt_and_handlers_come_back(tmp_path: Path, number: signal.Signals) -> None:
    local = cluster(tmp_path, workers=1)
    before = signal.getsignal(number)
    sent: list[float] = []

    def show(status: Any, _: float) -> None:
        if status is not None and not sent:
            sent.append(time.monotonic())
            os.kill(os.getpid(), number)
            raise OSError(errno.EIO, "the terminal is gone")

    run = supervise(local, show, duration_s=20)
    assert run.failure is None
    assert run.seconds < 10
    assert signal.getsignal(number) is before


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from streammac.settings.schema import Settings\n"
        "from streammac.run_directory import RunDirectory\n"
        "from streammac.supervisor.local_cluster import LocalCluster\n"
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


# -- restarts --------------------------------------------------------------------------------------

ALWAYS = {"restart": "always"}


def turn_until(local: LocalCluster, what: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Let the supervisor work until something is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "did not happen in time"
        local.step(0.02)
    return found


def kill(local: LocalCluster, name: str) -> None:
    os.kill(turn_until(local, lambda: local.directory.announced(name))["pid"], signal.SIGKILL)


def announced(local: LocalCluster, name: str) -> ChildStatus:
    """What the supervisor has announced of a process."""
    supervisor = Attached(local.directory).supervisor_status()
    assert supervisor is not None
    return next(child for child in supervisor.processes if child.name == name)


@pytest.mark.parametrize("name", ["w1", "i1", "coordinator"])
def test_a_process_that_dies_comes_back_and_the_others_stay(tmp_path: Path, name: str) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:
        turn_until(local, lambda: (local.status() or ClusterStatus()).workers)
        before = {kept.name: kept.process.pid for kept in local.children}
        address = local.address
        kill(local, name)
        turn_until(local, lambda: announced(local, name).restarts == 1)
        turn_until(local, lambda: local.directory.announced(name))
        turn_until(local, lambda: local.status())
        after = {kept.name: kept.process.pid for kept in local.children}
        assert {one for one in before if before[one] != after[one]} == {name}
        assert local.address == address
        again = local.directory.announced("coordinator")
        assert again is not None
        assert again["control"] == address  # where everybody knows it
        assert local.last is not None
        assert local.last.supervisor is not None
        kinds = [(e.kind, e.name) for e in local.last.supervisor.events]
        assert kinds == [("process_died", name), ("process_restarted", name)]
        assert "signal SIGKILL" in announced(local, name).reason
        assert announced(local, name).state == "running"
        assert announced(local, name).budget_left == local.settings.cluster.restart_budget - 1


def test_a_coordinator_that_dies_as_soon_as_it_is_known_comes_back_there(tmp_path: Path) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:
        before = until(lambda: local.directory.announced("coordinator"))  # and no turn since
        os.kill(before["pid"], signal.SIGKILL)
        turn_until(local, lambda: announced(local, "coordinator").restarts == 1)
        again = turn_until(local, lambda: local.directory.announced("coordinator"))
        assert again["control"] == before["control"]


def test_a_spent_budget_leaves_a_worker_down_and_the_rest_goes_on(tmp_path: Path) -> None:
    with cluster(tmp_path, limits={"restart_budget": 2}, w2="die") as local:
        turn_until(local, lambda: announced(local, "w2").state == "down")
        for _ in range(20):
            local.step(0.01)
        assert (announced(local, "w2").pid, announced(local, "w2").restarts) == (None, 2)
        assert (tmp_path / "started").read_text().split().count("w2") == 3
        status = local.status()
        assert status is not None
        assert status.supervisor is not None
        last = status.supervisor.events[-1]
        assert last.kind == "process_down"
        assert "w2 has a reason to die" in last.text


def test_a_coordinator_that_cannot_be_helped_ends_the_cluster(tmp_path: Path) -> None:
    run = supervise(
        cluster(tmp_path, limits={"restart_budget": 1}, coordinator="die"), lambda *_: None, 20
    )
    assert run.seconds < 10
    assert run.failure is not None
    assert run.failure.code is ExitCode.PROCESS_DIED
    assert "1 restarts within 600 s did not help" in str(run.failure)
    assert "coordinator has a reason to die" in str(run.failure)
    assert sorted((tmp_path / "ended").read_text().split()) == ["i1", "w1", "w2"]


def test_a_former_generation_of_the_roster_is_told_of(tmp_path: Path) -> None:
    with cluster(tmp_path):
        pass
    (tmp_path / "workers.json").write_text("{")
    with cluster(tmp_path) as local:
        status = local.last_known()
        assert status.supervisor is not None
        [event] = status.supervisor.events
        assert event.kind == "damaged"
        assert "its former generation is used" in event.text


def test_a_coordinator_that_would_end_in_the_same_way_again_is_not_said_to_be_restarted(
    tmp_path: Path,
) -> None:
    run = supervise(cluster(tmp_path, coordinator="hopeless"), lambda *_: None, 20)
    assert str(run.failure).startswith("coordinator (process ")


def test_who_would_die_of_the_same_again_is_not_restarted(tmp_path: Path) -> None:
    run = supervise(cluster(tmp_path, limits=ALWAYS, i1="hopeless"), lambda *_: None, 20)
    assert run.failure is not None
    assert "exit status 6" in str(run.failure)
    assert (tmp_path / "started").read_text().split().count("i1") == 1


@pytest.mark.parametrize("restart", ["always", "never"])
def test_a_worker_that_left_as_it_was_asked_stays_away(tmp_path: Path, restart: str) -> None:
    with cluster(tmp_path, limits={"restart": restart}, w2="leave") as local:
        turn_until(local, lambda: announced(local, "w2").state == "left")
        for _ in range(20):
            local.step(0.02)
        assert (tmp_path / "started").read_text().split().count("w2") == 1
        assert local.status() is not None


def test_a_cluster_that_waits_for_its_coordinator_stops_at_once(tmp_path: Path) -> None:
    local = cluster(tmp_path, limits=ALWAYS)
    local.start()
    kill(local, "coordinator")
    turn_until(local, lambda: announced(local, "coordinator").state == "waiting")
    begin = time.monotonic()
    local.stop()
    assert time.monotonic() - begin < 10
    assert all(child.exit_code is not None for child in local.children)
    assert local.directory.announced("supervisor") is None


# -- a disk that takes nothing ---------------------------------------------------------------------


def kinds(local: LocalCluster) -> list[str]:
    assert local.last is not None
    assert local.last.supervisor is not None
    return [event.kind for event in local.last.supervisor.events]


def test_a_supervisor_that_cannot_write_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [False]
    announce = RunDirectory.announce

    def perhaps(directory: RunDirectory, name: str, facts: dict[str, Any]) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        announce(directory, name, facts)

    monkeypatch.setattr(RunDirectory, "announce", perhaps)
    with cluster(tmp_path, limits=ALWAYS) as local:
        turn_until(local, lambda: (local.status() or ClusterStatus()).workers)
        full[0] = True
        kill(local, "w1")
        turn_until(local, lambda: "process_restarted" in (local.status() and kinds(local)))
        assert local.last.supervisor.unsaved == (
            "processes/supervisor.json cannot be written: No space left on device"
        )
        assert announced(local, "w1").restarts == 0, "nobody else knows it yet"
        full[0] = False
        turn_until(local, lambda: "disk_room" in (local.status() and kinds(local)))
        turn_until(local, lambda: announced(local, "w1").restarts == 1)
        assert local.status().supervisor.unsaved == ""


def test_a_worker_that_cannot_be_remembered_is_not_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:

        def fail(roster: Roster) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Roster, "save", fail)
            answer = request(local, AddWorkers(1), WorkersAdded)
        assert answer.names == ()
        assert "No space left on device" in answer.reason
        turn_until(local, lambda: "w3" not in local.directory.roster.read_text())
        assert len(local.workers) == 2


def test_a_coordinator_that_cannot_be_announced_is_found_where_it_was(tmp_path: Path) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:
        turn_until(local, lambda: local.status())
        local.directory.retract("coordinator")
        assert local.status() is not None


# -- keys that are replaced ------------------------------------------------------------------------


def test_keys_that_are_replaced_end_no_cluster(tmp_path: Path) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:  # stand-ins do not encrypt
        folder = KeyFolder(tmp_path / "keys")
        turn_until(local, lambda: local.status())
        folder.new("host-a")
        (folder.root / "own.key").unlink()
        turn_until(local, lambda: "keys_unreadable" in (local.status() and kinds(local)))
        assert local.last is not None
        text = local.last.supervisor.events[-1].text
        assert "expected own.key" in text


def test_an_asker_uses_the_newest_keys_that_can_be_read(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    asker = Asker(folder.root)
    first = folder.new("host-a")
    for spoil in (
        lambda: (folder.root / "own.key").unlink(),
        lambda: (folder.root / "own.key").write_text("half a line"),
        lambda: shutil.rmtree(folder.root),
    ):
        assert asker._newest() == first
        assert asker.news() == ""
        spoil()
        assert asker._newest() == first
        assert str(folder.root) in asker.news()
        assert asker.news() == "", "it is told once"
        if folder.root.exists():
            (folder.root / "own.key").unlink(missing_ok=True)
        first = folder.new("host-b")


# -- more and fewer workers ------------------------------------------------------------------------


def request(local: LocalCluster, question: Message, reply: type[Message]) -> Any:
    """Ask the supervisor while it works."""
    published = local.directory.announced("supervisor")
    assert published is not None
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(ask(published["control"], question, reply, 5.0))
    )
    asking.start()
    turn_until(local, lambda: not asking.is_alive())
    return answers[0]


def test_workers_are_added_and_come_back_with_the_next_run(tmp_path: Path) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:
        (tmp_path / "shards" / "w4").mkdir(parents=True)  # somebody else's points
        assert request(local, AddWorkers(2), WorkersAdded).names == ("w5", "w6")
        turn_until(local, lambda: local.directory.announced("w6"))
        refused = request(local, AddWorkers(10_000), WorkersAdded)
        assert refused.names == ()
        assert "got 10000" in refused.reason
        assert request(local, ForgetWorker("w2"), WorkerForgotten).known
        assert not request(local, ForgetWorker("w2"), WorkerForgotten).known
    with cluster(tmp_path, limits=ALWAYS) as local:
        assert [kept.name for kept in local.workers] == ["w1", "w5", "w6"]


def test_what_is_no_request_is_ignored(tmp_path: Path) -> None:
    with cluster(tmp_path, limits=ALWAYS) as local:
        published = local.directory.announced("supervisor")
        assert published is not None
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(published["control"])
            socket.send(b"\xff")
            socket.send_multipart(encode(StatusRequest()))
            for _ in range(5):
                local.step(0.02)
            assert not socket.poll(0)
        assert request(local, AddWorkers(1), WorkersAdded).names == ("w3",)
