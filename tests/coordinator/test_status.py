"""What the coordinator's state machine tells of itself in the status."""

from __future__ import annotations

from msgspec.structs import asdict

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.status import status
from streammac.wire.messages import Heartbeat
from streammac.wire.reports import IngestReport, LateCounts
from streammac.wire.status import IngestStatus, WorkerStatus
from tests.coordinator.test_coordinator import (
    answer,
    cluster,
    finish,
    report_of,
    settings,
)


def test_before_anybody_came_there_is_nothing_to_tell():
    told = status(Coordinator(settings(), "c"))
    assert (told.cluster, told.view, told.epoch, told.workers, told.ingest) == ("c", 0, 0, (), ())
    assert (told.objective, told.mu, told.epoch_seconds) == (None, None, {})


def test_an_epoch_is_told_by_point():
    core, _ = cluster()
    finish(core, 0)
    told = status(core)
    assert (told.view, told.epoch) == (1, 1)
    # both reports: 20 points, nested 10, penalised 6, violated 2
    assert (told.objective, told.penalised, told.violated) == (0.5, 0.3, 0.1)
    assert (told.mu, told.age) == (0.5, 0)
    assert told.epoch_seconds.keys() == {"train", "z_step", "wait"}


def test_a_worker_is_told_as_it_reports_and_one_that_is_gone_holds_nothing():
    core, _ = cluster()
    answer(core, "w1")
    answer(core, "w2")
    ring = {"epoch": 3, "view": 1, "hops": 7, "holding": ("x",)}
    said = report_of(70, ring=ring, busy_share=0.5, rate=9.0, train_s=2.0, z_step_s=1.0)
    core.handle(b"w2", Heartbeat("w2", 1, said), now=0.3)
    expected = WorkerStatus(
        name="w2", pid=11, host="here", state="alive", metrics_url=None, weight=1.0, points=70,
        busy_share=0.5, epoch=3, view=1, rate=9.0, hops=7, train_s=2.0, z_step_s=1.0,
        holding=("x",), data="data of w2",
    )  # fmt: skip
    assert status(core).workers[1] == expected
    core.disconnected("w2", 1, since=0.4, now=0.5)
    gone = status(core).workers[1]
    assert (gone.state, gone.points, gone.holding) == ("lost", 70, ())


def test_an_ingest_node_is_told_as_it_reports():
    core, _ = cluster()
    said = IngestReport(
        finished=True,
        rate=9.0,
        first_ack_s=5.0,
        blocked_s=2.0,
        unacknowledged=3,
        revoked=1,
        late=LateCounts(7),
    )
    core.handle(b"i1", Heartbeat("i1", 1, ingest=said), now=0.3)
    (node,) = status(core).ingest
    assert status(core).points.waiting == 7
    assert node == IngestStatus(
        name="i1", pid=11, host="here", state="alive", metrics_url=None, http_url=None,
        client="client of i1", finished=True, rate=9.0, first_ack_s=5.0, blocked_s=2.0, unacknowledged=3, revoked=1,
        late=asdict(LateCounts(7)),
    )  # fmt: skip
