"""The coordinator's state machine: registrations, views, schema, epochs, restarts, accounting."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from streammac.config import Settings
from streammac.models.base import Objective
from streammac.ring.continuation import Continuation
from streammac.ring.coordinator import QUIET_S, Coordinator, Finished, Tell
from streammac.ring.membership import SILENT_BEATS
from streammac.ring.status import status
from streammac.wire.messages import (
    Drift,
    EpochPlan,
    EpochReport,
    Goodbye,
    Heartbeat,
    Register,
    Registered,
    Restart,
    Routes,
    StreamSchema,
    View,
)


def settings(**training) -> Settings:
    return Settings(cluster={"workers": 2}, training={"start_points": 100} | training)


def register(name, role="worker", incarnation=1) -> Register:
    addresses = {"ring": f"ring of {name}", "data": f"data of {name}"}
    return Register(role, name, incarnation, 11, "here", addresses)


def facts(points=0, **more) -> dict[str, float]:
    return {"points": points, "appended": points, "expired": 0, "held_out": 0} | more


def sent(orders, kind):
    """Messages of a kind, as (receiver, message)."""
    return [
        (o.identity.decode(), o.message)
        for o in orders
        if isinstance(o, Tell) and isinstance(o.message, kind)
    ]


def cluster(points=100, core=None):
    """A coordinator whose two workers hold some points each, and the orders of its first view."""
    core = core or Coordinator(settings(), "c")
    for name in ("w1", "w2"):
        core.handle(name.encode(), register(name), now=0.0)
    core.handle(b"i1", register("i1", "ingest"), now=0.0)
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    for name in ("w1", "w2"):
        core.handle(name.encode(), Heartbeat(name, 1, facts(points)), now=0.1)
    return core, core.tick(0.2)


def report(core, name, epoch, *, tensors=None, following=None, busy=1.0) -> EpochReport:
    return EpochReport(
        view=core.view.number,
        epoch=epoch,
        plan=EpochPlan(age=epoch),
        following=following or EpochPlan(age=epoch + 1),
        name=name,
        mu=0.5,
        sums=asdict(Objective(points=10, penalised=3.0, nested=5.0)),
        seconds={"train": busy, "z_step": 0.0, "wait": 0.5},
        tensors=tensors or {},
    )


def finish(core, epoch, **more):
    core.handle(b"w1", report(core, "w1", epoch, tensors={"w": np.ones(2)}, **more), now=1.0)
    return core.handle(b"w2", report(core, "w2", epoch, **more), now=1.0)


def test_a_registration_is_answered_with_settings_schema_and_routes():
    core, _ = cluster()
    orders = core.handle(b"i2", register("i2", "ingest"), now=1.0)
    ((_, registered),) = sent(orders, Registered)
    assert Settings.model_validate_json(registered.settings) == core.settings
    assert sent(orders, StreamSchema) == [("i2", StreamSchema(8, "float32"))]
    routes = [m for to, m in sent(orders, Routes) if to == "i2"]
    assert [w.address for w in routes[0].workers] == ["data of w1", "data of w2"]


def test_the_first_schema_holds_for_everybody():
    core, _ = cluster()
    orders = core.handle(b"i1", StreamSchema(99, "uint8"), now=1.0)
    assert {message for _, message in sent(orders, StreamSchema)} == {StreamSchema(8, "float32")}


def test_settings_override_the_proposed_schema():
    core = Coordinator(
        settings().model_copy(update={"stream": Settings(stream={"dtype": "float32"}).stream}), "c"
    )
    core.handle(b"i1", StreamSchema(8, "uint8"), now=0.0)
    assert core.schema == StreamSchema(8, "float32")


def test_training_waits_for_the_workers_and_the_points():
    core = Coordinator(settings(), "c")
    core.handle(b"w1", register("w1"), now=0.0)
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    core.handle(b"w1", Heartbeat("w1", 1, facts(1000)), now=0.0)
    assert sent(core.tick(0.1), View) == []
    core.handle(b"w2", register("w2"), now=0.2)
    views = sent(core.tick(0.3), View)
    assert [to for to, _ in views] == ["w1", "w2"]
    assert views[0][1].plan.fresh
    assert [m.address for m in views[0][1].members] == ["ring of w1", "ring of w2"]


def test_a_short_feed_that_has_dried_up_is_trained_on_too():
    core, orders = cluster(points=20)
    assert sent(orders, View) == []
    assert sent(core.tick(0.2 + QUIET_S / 2), View) == []
    assert len(sent(core.tick(0.3 + QUIET_S), View)) == 2


def test_nothing_is_trained_on_nothing():
    core, _ = cluster(points=0)
    assert sent(core.tick(1000.0), View) == []


def test_a_finished_epoch_needs_every_report_and_the_model():
    core, _ = cluster()
    first = core.handle(b"w1", report(core, "w1", 0, tensors={"w": np.ones(2)}, busy=3.0), 1.0)
    assert not [o for o in first if isinstance(o, Finished)]
    orders = core.handle(b"w2", report(core, "w2", 0), now=1.0)
    (done,) = [o.result for o in orders if isinstance(o, Finished)]
    assert done.sums["nested"] == 10.0
    assert done.imbalance == pytest.approx(1.5)
    assert core.epoch == 1
    told = status(core)
    assert (told["epoch"], told["objective"], told["imbalance"]) == (1, 0.5, pytest.approx(1.5))


def test_a_new_worker_brings_a_new_view_from_the_newest_model():
    core, _ = cluster()
    finish(core, 0)
    orders = core.handle(b"w3", register("w3"), now=2.0)
    views = sent(orders, View)
    assert [to for to, _ in views] == ["w1", "w2", "w3"]
    view = views[0][1]
    assert (view.number, view.epoch, view.plan) == (2, 1, EpochPlan(age=1))
    np.testing.assert_array_equal(view.tensors["w"], np.ones(2))


def test_a_repeated_registration_changes_nothing():
    core, _ = cluster()
    assert sent(core.handle(b"w1", register("w1"), now=2.0), View) == []
    assert core.views == 1


def test_a_silent_worker_leaves_the_view_and_comes_back():
    core, _ = cluster()
    late = SILENT_BEATS * core.settings.cluster.heartbeat_s + 1.0
    core.handle(b"w1", Heartbeat("w1", 1, facts(100)), now=late)
    views = sent(core.tick(late), View)
    assert [[m.name for m in v.members] for _, v in views] == [["w1"]]
    assert {w["name"]: w["state"] for w in status(core)["workers"]} == {
        "w1": "alive",
        "w2": "silent",
    }
    back = sent(core.handle(b"w2", Heartbeat("w2", 1, facts(100)), now=late + 1), View)
    assert [m.name for m in back[0][1].members] == ["w1", "w2"]


def test_reports_of_an_older_view_do_not_count():
    core, _ = cluster()
    old = report(core, "w1", 0, tensors={"w": np.ones(2)})
    core.handle(b"w3", register("w3"), now=2.0)
    core.handle(b"w1", old, now=2.0)
    core.handle(b"w2", report(core, "w2", 0), now=2.0)
    core.handle(b"w3", report(core, "w3", 0), now=2.0)
    assert core.epoch == 0


def test_growth_restarts_from_new_statistics_and_insists_until_heeded():
    core, _ = cluster(points=100)
    finish(core, 0)
    for name in ("w1", "w2"):
        core.handle(name.encode(), Heartbeat(name, 1, facts(100 * 3)), now=1.0)
    orders = finish(core, 1)
    assert sent(orders, Restart) == [(n, Restart(1, fresh=True)) for n in ("w1", "w2")]
    again = core.handle(b"w1", report(core, "w1", 2), now=2.0)
    assert sent(again, Restart) == [("w1", Restart(1, fresh=True))]
    heeded = report(core, "w1", 3, following=EpochPlan(fresh=True, restart=1))
    assert sent(core.handle(b"w1", heeded, now=2.0), Restart) == []


def test_drift_takes_a_majority():
    rule = Continuation(growth=2.0, points=100)
    assert rule.vote("w1", 5, members=4, points=100, appended=100) is None
    assert rule.vote("w1", 6, members=4, points=100, appended=100) is None
    assert rule.vote("w2", 6, members=4, points=100, appended=100) is None
    assert rule.vote("w3", 7, members=4, points=100, appended=100) == Restart(1, fresh=False)
    assert rule.drifts == 1
    assert rule.vote("w4", 8, members=4, points=100, appended=100) is None


def test_old_votes_do_not_count():
    rule = Continuation(growth=2.0, points=100)
    assert rule.vote("w1", 5, members=3, points=100, appended=100) is None
    assert rule.vote("w2", 50, members=3, points=100, appended=100) is None


def test_a_deterministic_run_never_restarts():
    rule = Continuation(growth=2.0, enabled=False)
    assert rule.grown(100, 100) is None
    assert rule.grown(1000, 1000) is None
    assert rule.vote("w1", 1, members=1, points=1, appended=1) is None
    assert rule.drifts == 1


def test_drift_restarts_the_ring():
    core, _ = cluster()
    core.handle(b"w1", Drift("w1", 3, 0.1), now=1.0)
    orders = core.handle(b"w2", Drift("w2", 3, 0.1), now=1.0)
    assert [m for _, m in sent(orders, Restart)] == [Restart(1, fresh=False)] * 2


def test_the_accounting_adds_up_over_incarnations():
    core, _ = cluster(points=100)
    counts = {"sent": 150.0, "dead_lettered": 5.0, "duplicate": 2.0}
    core.handle(b"i1", Goodbye("i1", 1, counts), now=1.0)
    core.handle(b"i1", register("i1", "ingest", incarnation=2), now=2.0)
    core.handle(b"i1", Heartbeat("i1", 2, {"sent": 55.0, "dead_lettered": 0.0}), now=3.0)
    points = status(core)["points"]
    assert points == {
        "sent": 205,
        "accepted": 200,
        "duplicate": 2,
        "dead_lettered": 5,
        "stored": 200,
        "expired": 0,
    }


def test_a_restarted_coordinator_goes_on_where_it_was():
    core, _ = cluster()
    finish(core, 4)
    after = Coordinator(settings(), core.durable()["cluster"], core.durable(), {"w": np.ones(2)})
    after, orders = cluster(core=after)
    (_, view), *_ = sent(orders, View)
    assert (view.number, view.epoch, view.plan) == (2, 5, EpochPlan(age=5))
    assert after.schema == StreamSchema(8, "float32")


def test_without_a_model_version_a_restart_begins_at_epoch_0():
    core, _ = cluster()
    finish(core, 4)
    _, orders = cluster(core=Coordinator(settings(), "c", core.durable(), {}))
    (_, view), *_ = sent(orders, View)
    assert (view.epoch, view.plan.fresh) == (0, True)


def test_a_worker_that_is_replaced_is_told_apart_by_its_incarnation():
    core, _ = cluster()
    orders = core.handle(b"w1'", register("w1", incarnation=2), now=1.0)
    assert "w1'" in [to for to, _ in sent(orders, View)]
    core.handle(b"w1", register("w1", incarnation=1), now=1.5)
    assert core.membership.peers["w1"].registration.incarnation == 2


def test_a_window_that_has_been_replaced_is_trained_on_from_where_the_model_is():
    rule = Continuation(growth=2.0)
    assert rule.grown(1000, 1000) is None
    assert rule.grown(1000, 2900) is None
    assert rule.grown(1000, 3000) == Restart(1, fresh=False)
    assert rule.grown(1000, 4900) is None
    assert rule.grown(2000, 4900) == Restart(2, fresh=True)
