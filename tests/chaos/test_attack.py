"""The shell: what it reads from statuses, and once the whole thing against a real cluster."""

import copy
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from streammac.chaos import attack
from streammac.chaos.attack import Attack, first_turn, is_over, restarts, visits, whole
from streammac.chaos.faults import HANGS, Fault, Injection, Plan
from streammac.chaos.inject import injected
from streammac.chaos.verdict import PointAudit
from streammac.cli.chaos import audit_of_a_running_one
from streammac.link.attached import Attached
from streammac.link.http_server import serve_process
from streammac.link.pulse import Pulse
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Network
from streammac.telemetry.exporter import WorkerMetrics
from streammac.wire.reports import RingProgress, WorkerReport
from streammac.wire.status import ClusterStatus, Event
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture


def process(name: str, role: str, pid: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "pid": pid, "state": "running", "restarts": 0} | more


STATUS: dict[str, Any] = {
    "view": 4,
    "epoch": 9,
    "workers": [
        {"name": "w1", "state": "alive", "pid": 11, "view": 4, "points": 5},
        {"name": "w2", "state": "alive", "pid": 12, "view": 4, "points": 5},
    ],
    "ingest": [{"name": "i1", "state": "alive", "pid": 13, "unacknowledged": 0, "rate": 100.0}],
    "events": [],
    "points": {"sent": 100, "dead_lettered": 5, "accepted": 95},
    "supervisor": {
        "processes": [
            process("coordinator", "coordinator", 10),
            process("w1", "worker", 11),
            process("w2", "worker", 12),
            process("i1", "ingest", 13),
            process("w3", "worker", 0, state="left"),
        ]
    },
}


def typed(status: dict[str, Any]) -> ClusterStatus:
    return convert(status, ClusterStatus)


def test_a_cluster_is_whole():
    assert whole(typed(STATUS))


@pytest.mark.parametrize(
    ("where", "change"),
    [
        (("supervisor", "processes", 1), {"state": "waiting"}),
        (("supervisor", "processes", 2), {"state": "down"}),
        (("supervisor", "processes", 3), {"pid": 99}),  # the coordinator knows the former one
        (("workers", 0), {"state": "lost"}),
        (("workers", 0), {"pid": 99}),
        (("workers", 1), {"view": 3}),
        (("workers", 1), {"view": 0}),
        (("workers", 1), {"name": "w9"}),
        (("ingest", 0), {"state": "lost"}),
    ],
)
def test_a_cluster_is_not_whole(where, change):
    status = copy.deepcopy(STATUS)
    part: Any = status
    for key in where:
        part = part[key]
    part.update(change)
    assert not whole(typed(status))


def test_the_turn_that_counts_is_the_first_in_a_view_made_since():
    def event(time: int, kind: str) -> Event:
        return Event(time, float(time), kind, "", "")

    events = [event(1, "view"), event(2, "turns"), event(3, "turns"), event(4, "view")]
    assert first_turn(ClusterStatus(events=tuple(events)), since=2.5) is None
    events += [event(5, "turns"), event(6, "turns")]
    assert first_turn(ClusterStatus(events=tuple(events)), since=2.5) == event(5, "turns")
    assert first_turn(ClusterStatus(events=tuple(events)), since=0.5) == event(2, "turns")


@pytest.mark.parametrize(
    ("fault", "target", "change"),
    [
        (Fault.KILL_WORKER, "w1", lambda s: s["supervisor"]["processes"][1].update(restarts=1)),
        (Fault.ADD, "", lambda s: s["workers"].append(s["workers"][0] | {"name": "w4"})),
        (Fault.REMOVE, "w2", lambda s: s["supervisor"]["processes"][2].update(state="left")),
        (Fault.MOVE, "w2", lambda s: s["supervisor"]["processes"][2].update(state="left")),
        (Fault.HANG_WORKER, "w2", lambda s: None),
        (Fault.FULL_DISK, "i1", lambda s: s["supervisor"]["processes"][3].update(restarts=1)),
        (Fault.ROT, "w1", lambda s: s["supervisor"]["processes"][1].update(restarts=1)),
    ],
)
def test_an_injection_is_over_when_its_work_is_done_and_an_epoch_has_passed(fault, target, change):
    injection, now = Injection(1, fault, (target,) if target else (), 0.0), copy.deepcopy(STATUS)
    before, later = typed(STATUS), typed(STATUS | {"epoch": 10})
    change(now)
    assert not is_over(injection, before, typed(now))
    now["epoch"] += 1
    assert is_over(injection, before, typed(now))
    assert fault in HANGS or not is_over(injection, before, later)


def test_two_killed_at_once_are_both_awaited():
    injection, now = Injection(1, Fault.KILL_TWO, ("w1", "i1"), 0.0), copy.deepcopy(STATUS)
    now["epoch"] += 1
    for number in (1, 3):
        assert not is_over(injection, typed(STATUS), typed(now))
        now["supervisor"]["processes"][number].update(restarts=1)
    assert is_over(injection, typed(STATUS), typed(now))


def test_restarts_of_one_and_of_nobody():
    status = typed({"supervisor": {"processes": [process("w1", "worker", 1, restarts=3)]}})
    assert (restarts(status, "w1"), restarts(status, "w2")) == (3, 0)
    assert restarts(ClusterStatus(), "w1") == 0


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """An endpoint of metrics that answers with what is put first into the list."""
    answers: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((answers.pop(0) if len(answers) > 1 else answers[0]).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/metrics", answers
    server.shutdown()
    server.server_close()
    thread.join()


def test_visits_are_read_from_a_worker_s_metrics(endpoint):
    url, answers = endpoint
    answers.append("# HELP x\nstreammac_worker_visit_seconds_count 12.0\n")
    assert visits(url) == 12
    answers[0] = "# nothing\n"
    assert visits(url) is None
    assert visits("http://127.0.0.1:9/metrics") is None


def test_steps_of_copies_are_visits_too():
    worker = WorkerMetrics("w1")
    worker.update(WorkerReport(ring=RingProgress(ready=True, iterations=30)))
    worker.visited(0.1)
    url, close = serve_process(worker, Pulse(), Network())
    try:
        assert visits(f"{url}/metrics") == 31
    finally:
        close()


def injector(tmp_path: Path) -> Attack:
    plan = Plan(0, 2)
    return Attack(Attached(RunDirectory(tmp_path)), plan, lambda _: None)


def test_without_the_coordinator_the_survivors_are_asked(
    tmp_path, monkeypatch, endpoint: tuple[str, list[str]]
):
    url, answers = endpoint
    answers += [f"streammac_worker_visit_seconds_count {n}\n" for n in (5.0, 5.0, 6.0)]
    status = copy.deepcopy(STATUS)
    status["workers"][0]["metrics_url"] = url
    status["workers"][1]["metrics_url"] = "http://127.0.0.1:9/metrics"
    injection = Injection(1, Fault.KILL_COORDINATOR, ("coordinator",), 0.0)
    assert injector(tmp_path)._next_visit(injection, typed(status), attack.time.time()) is not None
    assert answers == ["streammac_worker_visit_seconds_count 6.0\n"]


def test_a_cluster_that_does_not_recover_ends_the_attack(tmp_path, monkeypatch):
    monkeypatch.setattr(attack, "PATIENCE_S", 0.1)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    status = copy.deepcopy(STATUS)
    for one in (status["workers"][0], status["supervisor"]["processes"][1]):
        one["pid"] = child.pid
    monkeypatch.setattr(Attached, "status", lambda *_: typed(status))
    injected = injector(tmp_path)
    injected.plan = Plan(0, 2, {Fault.KILL_WORKER: 1})
    monkeypatch.setattr(
        injected.plan, "next", lambda _: Injection(1, Fault.KILL_WORKER, ("w1",), 0.0)
    )
    injected.run(lambda: False)
    assert child.wait(5) == -signal.SIGKILL
    (outcome,) = injected.outcomes
    assert outcome.next_visit_s is outcome.whole_s is None
    assert injected.kills == 1


def test_who_is_gone_cannot_be_injected_into(tmp_path, monkeypatch):
    monkeypatch.setattr(Attached, "status", lambda *_: typed(STATUS))
    outcome = injector(tmp_path).injection(Injection(1, Fault.KILL_WORKER, ("w9",), 0.0))
    assert outcome.trouble == "w9 is not running here"


def test_what_hangs_goes_on_whatever_happens(tmp_path, monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    status = copy.deepcopy(STATUS)
    status["supervisor"]["processes"][1]["pid"] = child.pid
    injection = Injection(1, Fault.HANG_WORKER, ("w1",), 0.0, 60.0)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it is raised while it hangs
            with injected(injector(tmp_path).cluster, injection, typed(status)):
                os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
                raise KeyboardInterrupt
        assert os.waitid(os.P_PID, child.pid, os.WCONTINUED) is not None
    finally:
        child.kill()
        child.wait()


def test_books_of_a_cluster_that_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("streammac.cli.chaos.SETTLE_S", 0.0)
    books = copy.deepcopy(STATUS)
    monkeypatch.setattr(Attached, "status", lambda *_: typed(books))
    cluster = Attached(RunDirectory(tmp_path))
    audit = audit_of_a_running_one(cluster)
    assert isinstance(audit, PointAudit)
    assert (audit.sent, audit.stored, audit.missing, audit.twice) == (95, 95, 0, 0)
    assert audit.under_way == 100
    books["points"]["accepted"] = 300
    audit = audit_of_a_running_one(cluster)
    assert isinstance(audit, PointAudit)
    assert audit.twice == 205
    monkeypatch.setattr(Attached, "status", lambda *_: None)
    assert audit_of_a_running_one(cluster) == "the cluster does not answer"


def test_commands_that_cannot_work(tmp_path, run: Run):  # noqa: F811
    assert run("chaos", "--only", "earthquake")[0] == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    code, _, err = run("chaos", "full")
    assert code == 6
    assert "is not empty" in err
    directory = RunDirectory(tmp_path / "alone")
    directory.announce("coordinator", {"control": "tcp://127.0.0.1:1"})
    code, _, err = run("chaos", "alone")
    assert code == 7
    assert "no supervisor" in err


@pytest.mark.processes
def test_chaos_injects_faults_into_a_real_cluster_and_counts_every_point(tmp_path, run: Run):  # noqa: F811
    code, out, err = run(
        *("chaos", "arena", "--kills", 3, "--workers", 2, "--seed", 11, "--json"),
        *("--only", "kill-two", "--only", "rot"),
    )
    told = json.loads(out)
    assert told["complaints"] == [], err
    assert code == 0
    assert told["kills"] == 3
    assert {one["injection"]["fault"] for one in told["injections"]} == {"kill-two", "rot"}
    assert all(one["next_visit_s"] > 0 < one["whole_s"] for one in told["injections"])
    points = told["points"]
    assert points["sent"] > 1000
    assert points["stored"] + points["damaged"] == points["sent"]
    assert points["damaged"] == points["missing"]
    assert points["twice"] == 0
    assert told["epochs"][1] > told["epochs"][0]
