"""The four answers: the same for the page, the terminal and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from streammac.coordinator.health import SAMPLE_S, Health, failures
from streammac.wire.status import (
    Answer,
    ChildStatus,
    ClusterStatus,
    Event,
    FailureCounts,
    IngestStatus,
    PointCounts,
    Recovery,
    SupervisorStatus,
    WorkerStatus,
)

NODE = IngestStatus("i1", rate=50.0)
STATUS = ClusterStatus(
    epoch=3,
    points=PointCounts(accepted=100, stored=90),
    workers=tuple(WorkerStatus(f"w{n}", train_s=1.0, z_step_s=1.0) for n in (1, 2, 3)),
    ingest=(NODE,),
    model_version=2,
)


@dataclass
class Watched:
    """A cluster that is looked at again and again."""

    health: Health
    now: float = 0.0

    def see(self, status: ClusterStatus, seconds: float = 1.0) -> tuple[Answer, ...]:
        self.now += seconds
        return self.health.answers(status, self.now)


@pytest.fixture
def watched() -> Watched:
    return Watched(Health())


def said(answers: tuple[Answer, ...]) -> list[str]:
    return [f"{answer.tone}: {answer.text}" for answer in answers]


def answers(**changes: Any) -> list[str]:
    """What is said of a cluster at first sight."""
    return said(Health().answers(replace(STATUS, **changes), 0.0))


def test_all_is_well() -> None:
    found = Health().answers(STATUS, 0.0)
    assert said(found) == [
        "good: Training",
        "good: Keeps up, 50 points/s",
        "good: Balanced",
        "good: No failures",
    ]
    assert [answer.id for answer in found] == ["training", "feed", "slow", "failures"]
    assert all(answer.question.endswith("?") for answer in found)
    assert [answer.more for answer in found] == [
        "epoch 3, model version 2",
        "100 points",
        "w1: 0 points, 0% busy",
        "",
    ]


def test_whether_it_trains() -> None:
    waiting = "waiting for workers: 1 of 3 are here"
    assert answers(workers=())[0] == "bad: No workers"
    assert answers(epoch=0)[0] == "warn: Not training yet"
    assert Health().answers(replace(STATUS, epoch=0), 0.0)[0].more == "90 points stored so far"
    assert answers(waiting=waiting)[0] == "warn: Waiting for workers: 1 of 3 are here"
    assert answers(waiting=waiting, workers=())[0] == "bad: Waiting for workers: 1 of 3 are here"


def test_a_stall_is_told_by_its_length(watched: Watched) -> None:
    for second in range(31):
        found = watched.see(replace(STATUS, epoch=min(second, 10)))
    assert said(found)[0] == "warn: No epoch for 20 s"


def test_the_pace_is_told_and_slow_epochs_in_seconds(watched: Watched) -> None:
    for half in range(60):
        found = watched.see(replace(STATUS, epoch=half), 0.5)
    assert said(found)[0] == "good: Training, 2.0 epochs/s"
    for second in range(60):
        found = watched.see(replace(STATUS, epoch=60 + second // 4))
    assert said(found)[0] == "good: Training, an epoch in 4.0 s"


def test_an_epoch_that_takes_long_is_no_stall(watched: Watched) -> None:
    for second in range(100):
        found = watched.see(replace(STATUS, epoch=second // 20))
        assert found[0].tone == "good" or second < 20, "before it is known how long they take"
    assert said(found)[0] == "good: Training, an epoch in 20.0 s"
    for _ in range(80):
        found = watched.see(replace(STATUS, epoch=4))
    assert found[0].tone == "warn"


def test_a_ring_that_rests_is_no_stall(watched: Watched) -> None:
    for second in range(10):
        watched.see(replace(STATUS, epoch=second))
    for _ in range(100):
        found = watched.see(replace(STATUS, epoch=10, resting="nothing new to train on"))
        assert said(found)[0] == "good: Resting: nothing new to train on"
    assert found[0].more == "epoch 10, model version 2"
    assert said(watched.see(replace(STATUS, epoch=11)))[0] == "good: Training, 1.0 epochs/s"


def test_whether_the_feed_keeps_up(watched: Watched) -> None:
    assert answers(ingest=())[1] == "warn: No ingest node"
    assert answers(ingest=(replace(NODE, state="lost"),))[1] == "warn: No ingest node"
    assert answers(ingest=(replace(NODE, finished=True),))[1] == "good: Feed has ended"
    failed = replace(NODE, finished=True, failed=("a.csv.gz: damaged",))
    assert answers(ingest=(failed,))[1] == "bad: A feed failed"
    watched.see(STATUS)
    held_up = replace(STATUS, ingest=(replace(NODE, blocked_s=5.0),))
    assert said(watched.see(held_up, 10.0))[1] == "warn: Held up 50%, 50 points/s"
    dead = Health().answers(replace(STATUS, points=PointCounts(accepted=9, dead_lettered=1)), 0.0)
    assert dead[1].more == "9 points, 1 dead letters"


def test_a_node_that_begins_anew_has_not_made_up_for_waiting(watched: Watched) -> None:
    watched.see(replace(STATUS, ingest=(replace(NODE, blocked_s=5.0),)))
    assert said(watched.see(STATUS, 10.0))[1] == "good: Keeps up, 50 points/s"


def with_efforts(*seconds: float) -> ClusterStatus:
    workers = tuple(WorkerStatus(f"w{n}", train_s=s, points=7) for n, s in enumerate(seconds, 1))
    return replace(STATUS, workers=workers)


def test_who_is_slow() -> None:
    found = Health().answers(with_efforts(2.0, 6.0), 0.0)
    assert said(found)[2] == "warn: w2 slow, 1.5 x mean"
    assert found[2].more == "w2: 7 points, 0% busy"
    for status in (with_efforts(2.0), with_efforts(2.0, 0.0)):
        assert said(Health().answers(status, 0.0))[2] == "none: Nothing to compare"


def test_one_slow_epoch_does_not_make_a_slow_worker(watched: Watched) -> None:
    watched.see(with_efforts(1.0, 1.0, 1.0))
    assert said(watched.see(with_efforts(1.0, 3.0, 1.0)))[2] == "good: Balanced"
    for _ in range(20):
        found = watched.see(with_efforts(1.0, 3.0, 1.0))
    assert found[2].text.startswith("w2 slow, 1.")


def test_it_is_no_matter_how_often_the_status_is_asked_for(watched: Watched) -> None:
    watched.see(with_efforts(1.0, 1.0, 1.0))
    for _ in range(100):
        found = watched.see(with_efforts(1.0, 3.0, 1.0), SAMPLE_S / 200)
    assert said(found)[2] == "good: Balanced"


LOST = tuple(WorkerStatus(f"w{n}", state="lost") for n in range(5))


def event(number: int, kind: str) -> Event:
    return Event(number, float(number), kind, "w1", "")


def test_what_failed() -> None:
    assert answers(workers=LOST)[3] == "bad: Lost: w0, w1, w2 and 2 more"
    lost_node = answers(workers=(), ingest=(replace(NODE, state="lost"),))
    assert lost_node[3] == "bad: Lost: i1"
    counts = FailureCounts(crash=3, hang=1)
    assert answers(failures=counts)[3] == "warn: 4 died, all back"
    recovered = answers(failures=counts, recovery=Recovery(1, 0.25))
    assert recovered[3] == "warn: 4 died, recovered in 0.2 s"
    assert Health().answers(replace(STATUS, drift_events=2), 0.0)[3].more == "2 drifts seen"


def test_a_loss_is_less_bad_once_the_others_go_on() -> None:
    lost = replace(STATUS, workers=LOST[:1], events=(event(1, "recovered"), event(2, "lost")))
    assert failures(lost) == replace(
        failures(STATUS), tone="bad", text="Lost: w0", more="not recovered yet"
    )
    on = replace(lost, events=(*lost.events, event(3, "recovered")), recovery=Recovery(2, 0.4))
    assert (failures(on).tone, failures(on).text) == ("warn", "Lost: w0")
    assert failures(on).more == "recovered in 0.4 s"


def test_what_the_supervisor_knows_counts_where_it_is_told() -> None:
    def supervised(restarts: int, **process: Any) -> ClusterStatus:
        child = ChildStatus("w1", "worker", restarts=restarts, **process)
        supervisor = SupervisorStatus(restarts=restarts, processes=(child,))
        return STATUS.supervised(supervisor)

    assert failures(supervised(10, state="down")).text == "Down: w1"
    assert failures(supervised(10, state="down")).tone == "bad"
    again = supervised(2)
    assert said((failures(again),)) == ["warn: 2 died, all back"]
    more = replace(again, failures=FailureCounts(3, 1), recovery=Recovery(3, 0.25))
    assert said((failures(more),)) == ["warn: 4 died, recovered in 0.2 s"]


def test_a_run_that_has_ended(watched: Watched) -> None:
    for _ in range(40):
        watched.see(with_efforts(1.0, 3.0, 1.0))
    left = with_efforts(0.0, 0.0, 0.0)
    left = replace(
        left,
        workers=tuple(replace(worker, state="left") for worker in left.workers),
        points=PointCounts(accepted=1000, dead_lettered=2),
    )
    watched.see(left)
    found = watched.health.ended(left)
    assert said(found)[0] == "none: Ended after 3 epochs"
    assert (found[1].text, found[1].more) == ("1,000 points taken", "2 dead letters")
    assert (found[2].tone, found[2].text) == ("none", "w2 slow, 1.8 x mean"), "as it was at work"
    assert {answer.tone for answer in found} <= {"none", "good"}
    assert watched.health.ended(replace(left, waiting="waiting for points"))[0].tone == "none"
