"""What a run came to, from how its processes ended."""

import sys
from pathlib import Path

import pytest

from streammac.supervisor import processes
from streammac.supervisor.restart_policy import HEALTHY_S, RestartPolicy
from streammac.supervisor.run import supervise
from streammac.supervisor.supervised_process import SupervisedProcess
from streammac.supervisor.verdict import LONG_S, verdict
from streammac.wire.status import ClusterStatus, PointCounts
from tests.supervisor.test_supervisor import cluster, importable  # noqa: F401 - a fixture

RUNS = ClusterStatus(points=PointCounts(sent=5, accepted=5))


def process(tmp_path: Path, code: int) -> SupervisedProcess:
    words = f"import sys, os; print('a last word'); sys.stdout.flush(); os._exit({code})"
    policy = RestartPolicy(budget=10, window_s=600)
    one = SupervisedProcess.start(
        "w1",
        "worker",
        lambda: processes.start("w1", [sys.executable, "-c", words], tmp_path / "w1.log"),
        policy,
        now=0.0,
    )
    one.process.wait()
    return one


def test_who_ends_as_asked_is_well(tmp_path: Path) -> None:
    assert verdict([process(tmp_path, 0)], RUNS, 100.0) is None


@pytest.mark.parametrize("code", [1, 2, 3, 6])
def test_who_ends_with_an_error_when_asked_to_end_has_failed(tmp_path: Path, code: int) -> None:
    failure = verdict([process(tmp_path, code)], RUNS, 1.0)
    assert "a last word" in str(failure)
    assert f"exit status {code}" in str(failure)


def test_a_source_that_fails_before_the_end_of_a_short_run_is_told(tmp_path: Path) -> None:
    one = process(tmp_path, 6)
    one.ended(now=1.0)
    assert "exit status 6" in str(verdict([one], RUNS, 1.0))


def test_a_spent_budget_is_told(tmp_path: Path) -> None:
    one = process(tmp_path, 1)
    one.policy.budget = 0
    one.ended(now=1.0)
    assert one.state == "down"
    assert "its restarts are spent" in str(verdict([one], RUNS, 1.0))


def test_one_death_is_an_accident_two_in_a_row_are_not(tmp_path: Path) -> None:
    one = process(tmp_path, 1)
    one.ended(now=1.0)
    assert verdict([one], RUNS, 1.0) is None
    assert "it died 1 times" in str(verdict([one], None, 1.0)), "and nobody ever answered"
    one.restart(now=1.2)
    one.process.wait()
    one.ended(now=2.0)
    assert "it died 2 times" in str(verdict([one], RUNS, 1.0))


def test_who_was_killed_twice_and_ends_as_asked_is_well(tmp_path: Path) -> None:
    one = process(tmp_path, 0)
    kill = "import os; os.kill(os.getpid(), 9)"
    well, one.child = one.child, processes.start("w1", [sys.executable, "-c", kill], one.child.log)
    one.process.wait()
    for now in (1.0, 2.0):
        one.ended(now)
        one.policy.restarted(now)
    assert "it died 2 times" in str(verdict([one], RUNS, 3.0)), "and is not back"
    one.child, one.state = well, "running"
    assert verdict([one], RUNS, 3.0) is None
    assert "it died 2 times" in str(verdict([one], None, 3.0)), "and nobody ever answered"
    one.ended(3.0)
    assert one.state == "left", "one that was removed meanwhile"
    assert verdict([one], RUNS, 3.0) is None


def test_a_healthy_while_forgives_deaths(tmp_path: Path) -> None:
    policy = process(tmp_path, 1).policy
    policy.died(1.0)
    policy.restarted(2.0)
    policy.look(2.0 + HEALTHY_S - 0.1)
    assert policy.deaths == 1
    policy.look(2.0 + HEALTHY_S)
    assert policy.deaths == 0


def test_a_long_run_that_stores_nothing_has_failed() -> None:
    waits = ClusterStatus(points=PointCounts(sent=5))
    assert verdict([], waits, LONG_S - 1) is None
    assert "nothing was stored: 5 points" in str(verdict([], waits, LONG_S))
    refused = ClusterStatus(points=PointCounts(sent=5, dead_lettered=5))
    assert verdict([], refused, LONG_S) is None
    assert verdict([], RUNS, LONG_S) is None


def test_a_tail_has_no_frames(tmp_path: Path) -> None:
    log = tmp_path / "w1.log"
    child = processes.start("w1", [sys.executable, "-c", "int('x')"], log)
    child.process.wait()
    assert "Traceback" in log.read_text()
    assert child.tail() == "ValueError: invalid literal for int() with base 10: 'x'"
    log.unlink()
    assert "cannot be read" in child.tail()


@pytest.mark.processes
def test_a_run_that_is_over_before_anybody_looks_tells_its_failure(tmp_path: Path) -> None:
    local = cluster(tmp_path, limits={"restart": "always"}, i1="hopeless")

    def show(*_: object) -> None:
        local.ingest[0].process.wait()
        local.interrupt()

    run = supervise(local, show, duration_s=20)
    assert "i1 has a reason to die" in str(run.failure)
    assert "exit status 6" in str(run.failure)
