"""The coordinator's state machine: registrations, views, schema, epochs, restarts, accounting."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streammac.coordinator.awake_clock import BLINK_S, AwakeClock
from streammac.coordinator.continuation import VOTE_S
from streammac.coordinator.coordinator import BANNED_S, Coordinator
from streammac.coordinator.coordinator_actions import Finished, Note, Tell
from streammac.coordinator.failure_detector import CAP_S
from streammac.coordinator.health import failures
from streammac.coordinator.moves import REPEAT_S
from streammac.coordinator.stall import STALL_S
from streammac.coordinator.start_condition import QUIET_S, StartCondition
from streammac.coordinator.status import status
from streammac.coordinator.verdict import Verdict
from streammac.coordinator.view_manager import RETURN_S
from streammac.models.base import Objective
from streammac.settings.schema import Settings
from streammac.wire.messages import (
    Copy,
    Drain,
    DrainReply,
    DrainRequest,
    Drift,
    EpochPlan,
    EpochReport,
    Goodbye,
    Heartbeat,
    Holdings,
    Leaving,
    Move,
    PleaseRegister,
    Register,
    Registered,
    RestartContinuation,
    Resume,
    RingMoving,
    Routes,
    Shutdown,
    Stop,
    StreamSchema,
    View,
)
from streammac.wire.reports import (
    IngestReport,
    Lasting,
    MoveState,
    RingProgress,
    ShardCounts,
    Trouble,
    WorkerReport,
)
from streammac.wire.status import PointCounts


def settings(**training) -> Settings:
    return Settings(cluster={"workers": 2}, training={"start_points": 100} | training)


def register(name, role="worker", incarnation=1) -> Register:
    addresses = {socket: f"{socket} of {name}" for socket in ("ring", "data", "client")}
    return Register(role, name, incarnation, 11, "here", addresses)


def report_of(points=0, *, ring=(), shard=(), moves=(), **more) -> WorkerReport:
    """What a worker that is ready says, with so many points."""
    return WorkerReport(
        RingProgress(**{"ready": True, **dict(ring)}),
        ShardCounts(**{"points": points, "appended": points, **dict(shard)}),
        MoveState(**dict(moves)),
        **more,
    )


def sent(orders, kind):
    """Messages of a kind, as (receiver, message)."""
    return [
        (o.identity.decode(), o.message)
        for o in orders
        if isinstance(o, Tell) and isinstance(o.message, kind)
    ]


def answer(core, name, epoch=0, state="training", copies=()) -> list:
    """Answer the newest view as a member that is at an epoch."""
    number, names = core.view.number, tuple(core.views.change.names)
    plan = EpochPlan(age=epoch)
    return core.handle(
        name.encode(),
        Holdings(number, name, state, epoch, plan, names, copies, number - 1, former=epoch > 0),
        now=2.0,
    )


def cluster(points=100, core=None):
    """A coordinator whose two workers hold some points each, and the orders of its first view."""
    core = core or Coordinator(settings(), "c")
    for name in ("w1", "w2"):
        core.handle(name.encode(), register(name), now=0.0)
    core.handle(b"i1", register("i1", "ingest"), now=0.0)
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    for name in ("w1", "w2"):
        core.handle(name.encode(), Heartbeat(name, 1, report_of(points)), now=0.1)
    return core, core.tick(0.2)


def later(core, now) -> list:
    """Let time pass in which everybody is heard."""
    for name, peer in core.membership.peers.items():
        core.handle(name.encode(), Heartbeat(name, 1, peer.worker, peer.ingest), now)
    return core.tick(now)


def report(core, name, epoch, *, tensors=None, following=None, busy=1.0) -> EpochReport:
    return EpochReport(
        view=core.view.number,
        epoch=epoch,
        plan=EpochPlan(age=epoch),
        following=following or EpochPlan(age=epoch + 1),
        trainers=("w1", "w2"),
        name=name,
        mu=0.5,
        sums=Objective(points=10, penalised=3.0, nested=5.0, violated=1.0).sums(),
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
    assert sent(core.handle(b"w3", register("w3"), now=1.0), StreamSchema) != []
    again = core.handle(b"i2", register("i2", "ingest"), now=2.0)
    assert [to for to, _ in sent(again, Routes)] == ["i2"], "what was lost is told again"


def test_the_first_schema_holds_for_everybody():
    core, _ = cluster()
    orders = core.handle(b"i1", StreamSchema(99, "uint8"), now=1.0)
    told = StreamSchema(8, "float32")
    assert sent(orders, StreamSchema) == [("w1", told), ("w2", told), ("i1", told)]


def test_settings_override_the_proposed_schema():
    core = Coordinator(
        settings().model_copy(update={"stream": Settings(stream={"dtype": "float32"}).stream}), "c"
    )
    core.handle(b"i1", StreamSchema(8, "uint8"), now=0.0)
    assert core.schema == StreamSchema(8, "float32")


def test_settings_that_say_everything_need_no_proposal():
    wanted = Settings(stream={"dim": 8, "dtype": "uint8"})
    assert Coordinator(wanted, "c").schema == StreamSchema(8, "uint8")


@pytest.mark.parametrize(
    ("stream", "proposed", "agreed"),
    [
        ({}, 2, (2, 0)),
        ({"targets": 0}, 2, (0, 0)),
        ({"classes": 3}, 0, (1, 3)),
        ({"classes": 3, "targets": 0}, 1, None),
        ({"targets": 2}, 0, (2, 0)),
    ],
)
def test_targets_are_what_the_settings_say_and_else_what_is_proposed(stream, proposed, agreed):
    if agreed is None:
        with pytest.raises(ValueError, match="targets"):
            Settings.model_validate({"stream": stream})
        return
    core = Coordinator(Settings.model_validate({"stream": stream}), "c")
    core._agree(StreamSchema(8, "float32", proposed))
    assert core.schema == StreamSchema(8, "float32", *agreed)
    assert Coordinator(Settings(stream={"dim": 8}), "c").schema is None


def test_training_waits_for_the_workers_and_the_points():
    core = Coordinator(settings(), "c")
    core.handle(b"w1", register("w1"), now=0.0)
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    core.handle(b"w1", Heartbeat("w1", 1, report_of(1000)), now=0.0)
    assert sent(core.tick(0.1), View) == []
    core.handle(b"w2", register("w2"), now=0.2)
    assert sent(core.tick(0.3), View) == [], "it is not ready to train yet"
    core.handle(b"w2", Heartbeat("w2", 1, report_of(0)), now=0.4)
    orders = core.tick(0.5)
    views = sent(orders, View)
    assert [to for to, _ in views] == ["w1", "w2"]
    assert [m.address for m in views[0][1].members] == ["ring of w1", "ring of w2"]
    resumes = sent(orders, Resume)
    assert [to for to, _ in resumes] == ["w1", "w2"], (
        "nobody has anything to tell: it begins at once"
    )
    assert resumes[0][1].plan.fresh
    assert resumes[0][1].cold


def test_training_does_not_wait_for_workers_that_leave():
    core = Coordinator(settings(), "c")
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    for name in ("w1", "w2"):
        core.handle(name.encode(), register(name), now=0.0)
    core.handle(b"w2", Heartbeat("w2", 1, report_of(1000, leaving=True)), now=0.1)
    core.handle(b"w1", Heartbeat("w1", 1, report_of(1000)), now=0.1)
    assert [to for to, _ in sent(core.tick(0.2), View)] == ["w1"]


def test_a_short_feed_that_has_dried_up_is_trained_on_too():
    core, orders = cluster(points=20)
    assert sent(orders, View) == []
    assert sent(later(core, 0.2 + QUIET_S / 2), View) == []
    assert len(sent(later(core, 0.3 + QUIET_S), View)) == 2


def test_what_training_waits_for_is_told_until_it_begins():
    core = Coordinator(settings(), "c")
    told = [status(core).waiting]

    def hear(name, points):
        core.handle(name.encode(), Heartbeat(name, 1, report_of(points)), now=0.0)
        core.tick(0.0)
        told.append(status(core).waiting)

    for name in ("w1", "w2"):
        core.handle(name.encode(), register(name), now=0.0)
        told.append(status(core).waiting)
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    hear("w1", 0)
    hear("w2", 0)
    hear("w1", 40)
    hear("w2", 60)
    begins = "training begins without the others in 15 s"
    assert told == [
        "waiting for workers: 0 of 2 are here",
        "waiting for workers: 1 of 2 are here",
        "waiting for points",
        f"waiting for workers: 1 of 2 are ready; {begins}",
        "waiting for points",
        "waiting for points: 40 of 100 to begin with",
        None,
    ]
    for name in ("w1", "w2"):
        core.disconnected(name, 1, since=1.0, now=1.0)
    assert status(core).waiting == "waiting for a worker", "one is enough to go on with"
    again = Coordinator(settings(), "c", cluster()[0].durable())
    assert status(again).waiting == "waiting for 2 of 2 workers to come back"
    core.ending = True
    assert status(core).waiting is None


def test_workers_that_do_not_come_are_not_waited_for():
    core = Coordinator(settings(), "c")
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    core.handle(b"w1", register("w1"), now=0.0)
    views = [sent(turn(core, now), View) for now in (1.0, 10.0, 15.5)]
    assert views == [[], [], []], "it became ready after a second"
    assert status(core).waiting == (
        "waiting for workers: 1 of 2 are here; training begins without the others in 1 s"
    )
    assert [to for to, _ in sent(turn(core, 16.1), View)] == ["w1"]
    core.handle(b"w2", register("w2"), now=17.0)
    core.handle(b"w2", Heartbeat("w2", 1, report_of(100)), now=17.0)
    assert {one.name for one in core.view.members} == {"w1", "w2"}, "who comes later joins"


def test_a_worker_that_never_gets_ready_holds_nobody_up():
    core = Coordinator(settings(), "c")
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    for name in ("w1", "w2"):
        core.handle(name.encode(), register(name), now=0.0)
    for now in (1.0, 15.0, 16.1):
        core.handle(b"w2", Heartbeat("w2", 1, WorkerReport()), now)
        orders = turn(core, now)
    assert [to for to, _ in sent(orders, View)] == ["w1"]


def test_workers_that_come_and_go_are_not_waited_for_anew():
    condition = StartCondition(start_points=1, join_s=15.0)
    for now in range(20):
        condition.gather(1 + now % 2, 1, float(now), fed=True)
    assert condition.left_s <= 0


def test_a_deterministic_run_waits_for_all_its_workers():
    core = Coordinator(settings(deterministic=True), "c")
    core.handle(b"i1", StreamSchema(8, "float32"), now=0.0)
    core.handle(b"w1", register("w1"), now=0.0)
    assert [sent(turn(core, now), View) for now in (1.0, 1000.0)] == [[], []]
    assert status(core).waiting == "waiting for workers: 1 of 2 are here"


def turn(core, now) -> list:
    """Let w1 be heard with enough points, and time pass."""
    core.handle(b"w1", Heartbeat("w1", 1, report_of(1000)), now)
    return core.tick(now)


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
    assert core.progress.epoch == 1
    told = status(core)
    assert (told.epoch, told.objective, told.imbalance) == (1, 0.5, pytest.approx(1.5))


def test_a_new_worker_joins_when_it_is_ready_and_nobody_begins_anew():
    core, _ = cluster()
    finish(core, 0)
    assert sent(core.handle(b"w3", register("w3"), now=2.0), View) == []
    orders = core.handle(b"w3", Heartbeat("w3", 1, report_of()), now=2.5)
    assert [to for to, _ in sent(orders, View)] == ["w1", "w2", "w3"]
    assert answer(core, "w1", epoch=2, copies=(Copy("x", 0, False, ("w2",)),)) == []
    resumes = sent(answer(core, "w2", epoch=1), Resume)
    assert [to for to, _ in resumes] == ["w1", "w2", "w3"]
    resume = resumes[0][1]
    assert (resume.epoch, resume.cold) == (2, False)
    assert resume.trainers == ("w1", "w2")
    assert (resume.joining, resume.donors) == (("w3",), {"w2": "w1", "w3": "w1"})


def test_points_go_to_a_new_worker_at_once():
    core, _ = cluster()
    orders = core.handle(b"w3", register("w3"), now=2.0)
    ((to, routes),) = sent(orders, Routes)
    assert to == "i1"
    assert [w.name for w in routes.workers] == ["w1", "w2", "w3"]


def test_a_repeated_registration_changes_nothing():
    core, _ = cluster()
    assert sent(core.handle(b"w1", register("w1"), now=2.0), View) == []
    assert core.views.number == 1


def states(core) -> dict[str, str]:
    return {worker.name: worker.state for worker in status(core).workers}


def test_a_silent_worker_is_lost_and_comes_back_as_a_new_one():
    core, _ = cluster()
    core.tick(0.5)
    late = 0.1 + CAP_S + 0.1
    orders = []
    for when in np.arange(0.6, late + 0.1, 0.5):
        core.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=when)
        core.handle(b"i1", Heartbeat("i1", 1, ingest=IngestReport()), now=when)
        orders += core.tick(when)
    ((to, view),) = sent(orders, View)
    assert (to, [m.name for m in view.members]) == ("w1", ["w1"])
    ((_, routes),) = sent(orders, Routes)
    assert [w.name for w in routes.workers] == ["w1"]
    assert states(core) == {"w1": "alive", "w2": "lost"}
    told = status(core)
    assert told.failures.hang == 1
    assert (told.points.stored, told.points.away) == (100, 100)
    answer(core, "w1", epoch=3)
    back = core.handle(b"w2", Heartbeat("w2", 1, report_of(100)), now=late + 1)
    assert [m.name for m in sent(back, View)[0][1].members] == ["w1", "w2"]
    resumes = sent(answer(core, "w1", epoch=3), Resume)
    assert resumes[0][1].joining == ("w2",)
    assert status(core).failures.fenced == 1


def test_a_broken_connection_is_a_death_at_once():
    core, _ = cluster()
    orders = core.disconnected("w2", 1, since=1.0, now=1.2)
    assert [to for to, _ in sent(orders, View)] == ["w1"]
    assert core.disconnected("w2", 1, since=1.1, now=1.1) == [], "once"
    assert core.disconnected("w1", 7, since=1.1, now=1.1) == [], "another incarnation"
    answer(core, "w1")
    core.handle(b"w1", RingMoving("w1", core.views.number), now=1.4)
    told = status(core)
    assert told.failures.crash == 1
    assert told.recovery.count == 1
    assert told.recovery.last_s == told.recovery.seconds == pytest.approx(0.4)
    kinds = [event.kind for event in told.events]
    assert kinds[-4:] == ["lost", "view", "turns", "recovered"]
    core.handle(b"w1", RingMoving("w1", core.views.number), now=1.5)
    assert status(core).recovery.count == 1
    lost, _, _, recovered = told.events[-4:]
    assert (lost.name, recovered.name) == ("w2", "w1")
    assert recovered.text == "the ring turns again after 0.40 s"
    assert lost.text == "crash: its connection broke 0.20 s ago"
    assert recovered.seconds == pytest.approx(0.4)
    turns = [event for event in status(core).events if event.kind == "turns"]
    assert turns[-1].seconds == pytest.approx(0.2), "since the view was made; and once"
    assert len(turns) == 1


def test_a_coordinator_that_slept_takes_nobody_for_lost_and_knows_it_if_somebody_is():
    core, _ = cluster()
    reading = 0.3
    clock = AwakeClock(lambda: reading)
    reading = 3600.0  # with everybody else, who have said nothing since
    assert core.tick(clock.turn()) == []
    assert states(core) == {"w1": "alive", "w2": "alive"}
    while reading < 3600.0 + 1.2 * CAP_S:
        reading += 0.1
        now = clock.turn()
        core.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=now)
        core.tick(now)
    assert states(core) == {"w1": "alive", "w2": "lost"}, "it never woke, and that is soon known"


def test_a_coordinator_that_slept_goes_on_waiting_for_its_ring():
    core, _ = cluster()
    again = Coordinator(settings(), "c", json.loads(json.dumps(core.durable())))
    reading = 0.0
    clock = AwakeClock(lambda: reading)
    again.tick(clock.turn())
    reading = 10 * RETURN_S
    again.tick(clock.turn())
    assert again.views.expected == {"w1", "w2"}


def test_a_machine_too_busy_for_quick_turns_finds_out_who_is_silent():
    reading = 0.0
    clock = AwakeClock(lambda: reading)
    for _ in range(100):
        reading += 2 * BLINK_S
        now = clock.turn()
    assert now > 2 * CAP_S


def test_what_a_member_missed_is_told_again_with_its_heartbeat():
    core, _ = cluster()
    (_, view), *_ = sent(core.disconnected("w2", 1, since=1.0, now=1.0), View)
    beat = Heartbeat("w1", 1, report_of(100, ring={"view": 1}))
    assert sent(core.handle(b"w1", beat, now=1.1), View) == [("w1", view)]
    answer(core, "w1")
    beat = Heartbeat("w1", 1, report_of(100, ring={"view": 2, "frozen": True}))
    assert len(sent(core.handle(b"w1", beat, now=1.2), Resume)) == 1
    beat = Heartbeat("w1", 1, report_of(100, ring={"view": 2}))
    assert core.handle(b"w1", beat, now=1.3) == []


def test_where_nothing_moves_a_new_view_gathers_the_copies():
    core, _ = cluster()
    now = 0.5
    views = 1
    for _ in range(int(2.8 * STALL_S / 0.5)):
        now += 0.5
        for name in ("w1", "w2"):
            beat = Heartbeat(name, 1, report_of(100, ring={"view": core.views.number, "hops": 7}))
            core.handle(name.encode(), beat, now)
        core.handle(b"i1", Heartbeat("i1", 1, ingest=IngestReport()), now)
        orders = core.tick(now)
        if sent(orders, View):
            views += 1
            answer(core, "w1")
            answer(core, "w2")
    assert views == 3
    for name, more in (("w1", {"working": True}), ("w2", {})):
        core.handle(name.encode(), Heartbeat(name, 1, report_of(100, ring=more)), now)
    for step in range(20):
        for name in ("w1", "w2", "i1"):
            more = {"working": True} if name == "w1" else {}
            core.handle(name.encode(), Heartbeat(name, 1, report_of(100, ring=more)), now + step)
        assert sent(core.tick(now + step), View) == [], "somebody is at work"


def rest(core, now, points=100, epoch=6):
    """Have both workers say that they rest before an epoch; return the orders that follow."""
    ring = {"view": core.views.number, "hops": 7, "epoch": epoch, "resting": True}
    orders = []
    for name in ("w1", "w2"):
        beat = Heartbeat(name, 1, report_of(points, ring=ring))
        orders += core.handle(name.encode(), beat, now)
    core.handle(b"i1", Heartbeat("i1", 1, ingest=IngestReport()), now)
    return orders + core.tick(now)


def at_rest():
    core, _ = cluster()
    answer(core, "w1")
    answer(core, "w2")
    finish(core, 5, following=EpochPlan(6, rest=True))
    return core


def test_a_ring_that_rests_is_no_stall():
    core = at_rest()
    for step in range(100):
        assert rest(core, now=2.0 + step) == []
        assert status(core).resting == "nothing new to train on"
    # whoever is woken has not moved anything yet
    core.handle(b"w1", Heartbeat("w1", 1, report_of(100, ring={"epoch": 6, "hops": 7})), 102.5)
    assert core.tick(102.5) == []
    assert status(core).resting is None


def test_a_ring_that_rests_though_an_epoch_is_not_known_to_be_done_is_woken():
    core = at_rest()
    orders = [order for step in range(5) for order in rest(core, now=2.0 + step, epoch=7)]
    assert status(core).resting is None
    assert sent(orders, View)


def test_a_ring_that_has_done_all_epochs_says_so_and_is_left_alone():
    core = Coordinator(settings(epochs=6), "c")
    core, _ = cluster(core=core)
    answer(core, "w1")
    answer(core, "w2")
    for step in range(10):  # the report of the last one is lost
        assert sent(rest(core, now=2.0 + step, points=900), View) == []
    assert status(core).resting == "all 6 epochs are done"


def test_new_data_begins_the_continuation_of_a_ring_that_rests_and_an_order_that_is_lost_is_repeated():
    core = at_rest()
    rest(core, now=2.0)
    orders = rest(core, now=3.0, points=130)
    order = RestartContinuation(1, fresh=False)
    assert ("w1", order) in sent(orders, RestartContinuation)
    assert sent(rest(core, now=3.5, points=130), RestartContinuation) == [
        ("w1", order),
        ("w2", order),
    ]
    finish(core, 6, following=EpochPlan(2, restart=1))
    assert sent(rest(core, now=4.0, points=130, epoch=7), RestartContinuation) == []


def test_a_worker_that_leaves_hands_over_what_it_holds():
    core, _ = cluster()
    orders = core.handle(b"w2", Leaving("w2", 1), now=1.0)
    assert [to for to, _ in sent(orders, View)] == ["w1", "w2"]
    view = sent(orders, View)[0][1]
    assert ([m.name for m in view.members], [m.name for m in view.leaving]) == (["w1"], ["w2"])
    ((_, routes),) = sent(orders, Routes)
    assert [(w.name, w.weight) for w in routes.workers] == [("w1", 1.0), ("w2", 0.0)]
    assert states(core)["w2"] == "draining"
    copies = (Copy("x", 0, False, ("w2",), held=True),)
    assert answer(core, "w1") == []
    resumes = sent(answer(core, "w2", copies=copies), Resume)
    assert [to for to, _ in resumes] == ["w1", "w2"]
    assert resumes[0][1].holders == {"x": "w2"}
    orders = core.handle(b"w2", Goodbye("w2", 1, report_of(100)), now=2.0)
    assert sent(orders, View) == []
    assert states(core)["w2"] == "left"
    told = status(core)
    assert (told.points.away, told.failures.drained) == (100, 1)


def test_the_last_worker_need_not_wait_for_a_ring_to_leave():
    core, _ = cluster()
    core.disconnected("w2", 1, since=1.0, now=1.0)
    answer(core, "w1")
    orders = core.handle(b"w1", Leaving("w1", 1), now=1.5)
    assert [to for to, _ in sent(orders, Stop)] == ["w1"]
    assert core.view is None


def test_when_the_cluster_ends_workers_just_end():
    core, _ = cluster()
    assert sent(core.handle(b"cli", Shutdown(), now=1.0), Shutdown) == [("cli", Shutdown())]
    orders = core.handle(b"w2", Leaving("w2", 1), now=1.0)
    assert [to for to, _ in sent(orders, Stop)] == ["w2"]
    assert sent(orders, View) == []
    core.tick(now=1.0 + 10 * CAP_S)
    assert core.failures.counts["hang"] == 0, "one that takes its time to end is not lost"
    core.handle(b"w2", Goodbye("w2", 1, report_of(100)), now=1.0)
    assert status(core).points.stored == 200, "points of a cluster at rest are not away"


def test_a_cluster_ends_from_the_front():
    core, _ = cluster()
    assert [to for to, _ in sent(core.end(), Stop)] == ["i1"], "what it has under way is stored"
    orders = core.handle(b"w2", Goodbye("w2", 1, report_of(100)), now=1.0)
    assert sent(orders, Stop) == []
    orders = core.handle(b"i1", Goodbye("i1", 1, ingest=IngestReport()), now=1.0)
    assert [to for to, _ in sent(orders, Stop)] == ["w1"]
    assert not core.deserted
    again = core.handle(b"w2", register("w2", incarnation=2), now=1.0)
    assert [to for to, _ in sent(again, Stop)] == ["w2"], "whoever comes back now"
    core.handle(b"w1", Goodbye("w1", 1, report_of(100)), now=1.0)
    assert core.deserted


def test_an_ingest_node_that_dies_at_the_end_is_not_waited_for():
    core, _ = cluster()
    core.end()
    orders = core.disconnected("i1", 1, since=1.0, now=1.3)
    assert [to for to, _ in sent(orders, Stop)] == ["w1", "w2"]


@pytest.mark.parametrize(
    ("name", "points", "accepted", "reason"),
    [
        ("w2", "keep", True, ""),
        ("w2", "move", True, ""),
        ("w9", "keep", False, "no worker 'w9' is running: there are w1, w2"),
        ("i1", "keep", False, "no worker 'i1' is running: there are w1, w2"),
    ],
)
def test_a_request_to_drain_is_answered(name, points, accepted, reason):
    core, _ = cluster()
    orders = core.handle(b"cli", DrainRequest(name, 5.0, points), now=1.0)
    assert sent(orders, DrainReply) == [("cli", DrainReply(accepted, reason))]
    expected = [(name, Drain(5.0, points))] if accepted else []
    assert sent(orders, Drain) == expected


def test_the_points_of_the_only_worker_cannot_move():
    core, _ = cluster()
    core.disconnected("w2", 1, since=1.0, now=1.0)
    ((_, reply),) = sent(core.handle(b"cli", DrainRequest("w1", 5.0, "move"), now=1.0), DrainReply)
    assert "only worker" in reply.reason


def test_reports_of_those_who_left_are_not_waited_for():
    core, _ = cluster()
    core.handle(b"w1", report(core, "w1", 0, tensors={"w": np.ones(2)}), now=1.0)
    core.disconnected("w2", 1, since=1.1, now=1.1)
    orders = answer(core, "w1", epoch=1)
    (done,) = [o.result for o in orders if isinstance(o, Finished)]
    assert done.epoch == core.progress.epoch - 1 == 0


def test_a_report_on_an_epoch_that_is_done_comes_too_late():
    core, _ = cluster()
    finish(core, 3)
    assert not [o for o in finish(core, 2) if isinstance(o, Finished)]
    assert core.progress.epoch == 4


def test_growth_restarts_from_new_statistics_and_insists_until_it_is_carried_out():
    core, _ = cluster(points=100)
    finish(core, 0)
    for name in ("w1", "w2"):
        core.handle(name.encode(), Heartbeat(name, 1, report_of(100 * 3)), now=1.0)
    orders = finish(core, 1)
    assert sent(orders, RestartContinuation) == [
        (n, RestartContinuation(1, fresh=True)) for n in ("w1", "w2")
    ]
    again = core.handle(b"w1", report(core, "w1", 2), now=2.0)
    assert sent(again, RestartContinuation) == [("w1", RestartContinuation(1, fresh=True))]
    carried_out = report(core, "w1", 3, following=EpochPlan(fresh=True, restart=1))
    assert sent(core.handle(b"w1", carried_out, now=2.0), RestartContinuation) == []


def alike(workers: int) -> dict[str, int]:
    return {f"w{n}": 100 for n in range(1, workers + 1)}


def test_a_worker_that_is_gone_for_good_does_not_keep_what_comes_from_being_new():
    core, _ = cluster(points=100)
    shard = {"appended": 10_100, "expired": 10_000}
    core.handle(b"w2", Heartbeat("w2", 1, report_of(100, shard=shard)), now=0.5)
    finish(core, 0)
    core.handle(b"w2", Goodbye("w2", 1, worker=report_of(100, shard=shard)), now=1.0)
    core.handle(b"w1", Heartbeat("w1", 1, report_of(200)), now=1.0)
    answer(core, "w1", epoch=1)
    orders = core.handle(b"w1", report(core, "w1", 1, tensors={"w": np.ones(2)}), now=2.0)
    assert [m for _, m in sent(orders, RestartContinuation)] == [
        RestartContinuation(1, fresh=False)
    ]


def test_drift_restarts_the_ring():
    core, _ = cluster()
    core.handle(b"w1", Drift("w1", 3, 0.1), now=1.0)
    orders = core.handle(b"w2", Drift("w2", 3, 0.1), now=1.0)
    assert [m for _, m in sent(orders, RestartContinuation)] == [
        RestartContinuation(1, fresh=False)
    ] * 2


def test_the_ring_goes_on_from_what_the_publisher_found_best():
    core, _ = cluster()
    answer(core, "w1")
    answer(core, "w2")
    finish(core, 3)
    best = Verdict(restart=0, version=2, better=False, tensors={"w": np.full(2, 7.0)}, newest=3)
    assert len(sent(core.judged(best, now=2.0), View)) == 2
    assert core.judged(best, now=2.1) == []
    answer(core, "w1", epoch=4)
    orders = answer(core, "w2", epoch=5)
    resumes = [m for _, m in sent(orders, Resume)]
    assert [(r.epoch, r.plan, r.cold) for r in resumes] == [(5, EpochPlan(age=5), True)] * 2
    assert resumes[0].tensors["w"][0] == 7.0
    assert [o.event.kind for o in orders if isinstance(o, Note)] == ["adopted"]
    core.tick(9.0)
    assert core.views.number == 2, "once"


def test_while_a_drift_is_voted_on_nothing_else_is_adopted():
    core, _ = cluster()
    answer(core, "w1")
    answer(core, "w2")
    finish(core, 3)
    core.handle(b"w1", Drift("w1", 3, 0.1), now=1.0)
    best = Verdict(restart=0, version=2, better=False, tensors={"w": np.full(2, 7.0)}, newest=3)
    assert core.judged(best, now=2.0) == []
    assert core.judged(best, now=1.0 + VOTE_S) == []
    assert len(sent(core.judged(best, now=1.1 + VOTE_S), View)) == 2, "nobody else has noticed any"


def test_without_a_ring_there_is_nothing_to_adopt():
    core = Coordinator(settings(), "c")
    assert core.judged(Verdict(0, 2, False, {}, newest=3), now=1.0) == []


def test_the_accounting_adds_up_over_incarnations():
    core, _ = cluster(points=100)
    counts = IngestReport(sent=150, dead_lettered=5, duplicate=2)
    core.handle(b"i1", Goodbye("i1", 1, ingest=counts), now=1.0)
    core.handle(b"i1", register("i1", "ingest", incarnation=2), now=2.0)
    core.handle(b"i1", Heartbeat("i1", 2, ingest=IngestReport(sent=55)), now=3.0)
    points = status(core).points
    assert points == PointCounts(
        sent=205,
        accepted=200,
        duplicate=2,
        dead_lettered=5,
        stored=200,
        away=0,
        expired=0,
        dropped=0,
        damaged=0,
    )


def test_an_ingest_node_that_ends_before_it_has_begun_changes_nothing():
    core, _ = cluster(points=100)
    counts = IngestReport(sent=200, unacknowledged=3, lasting=Lasting(200, settled=200))
    core.handle(b"i1", Heartbeat("i1", 1, ingest=counts), now=1.0)
    core.handle(b"i1", register("i1", "ingest", incarnation=2), now=2.0)
    orders = core.handle(b"i1", Goodbye("i1", 2), now=3.0)
    assert status(core).points.sent == 200
    assert core.accounts.open_feeds == {"i1"}, "the former may still send something elsewhere"
    assert [o.event.text for o in orders if isinstance(o, Note)] == [
        "ended before it had begun: its log says why"
    ]


def test_a_worker_that_has_not_opened_its_shard_changes_nothing():
    core, _ = cluster(points=100)
    core.handle(b"w1", register("w1", incarnation=2), now=1.0)
    core.handle(b"w1", Heartbeat("w1", 2, WorkerReport()), now=1.1)
    assert status(core).points.stored == 200


def restarted(core, params=None) -> Coordinator:
    return Coordinator(settings(), "c", json.loads(json.dumps(core.durable())), params or {})


def test_a_restarted_coordinator_finds_the_ring_as_it_was():
    core, _ = cluster()
    finish(core, 4)
    after = restarted(core, {"w": np.ones(2)})
    assert after.schema == StreamSchema(8, "float32")
    assert sent(after.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=0.0), PleaseRegister)
    after.handle(b"w1", register("w1"), now=0.0)
    after.handle(b"w2", register("w2"), now=0.0)
    assert after.tick(0.1) == []
    assert after.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=0.2) == []
    orders = after.handle(b"w2", Heartbeat("w2", 1, report_of(100)), now=0.2)
    assert [v.number for _, v in sent(orders, View)] == [2, 2], "numbers only grow"
    assert sent(orders, Resume) == []
    answer(after, "w1", epoch=9)
    resume = sent(answer(after, "w2", epoch=9), Resume)[0][1]
    assert (resume.epoch, resume.joining, resume.cold) == (9, (), False)


def test_a_restarted_coordinator_does_not_wait_for_ever():
    core, _ = cluster()
    after = restarted(core)
    after.handle(b"w1", register("w1"), now=0.0)
    after.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=0.1)
    after.tick(0.2)
    after.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=RETURN_S)
    orders = after.tick(0.3 + RETURN_S)
    assert [to for to, _ in sent(orders, View)] == ["w1"]
    assert sent(orders, Resume) == [], "w1 carries the ring on"


def test_after_all_were_gone_the_newest_version_is_gone_on_from():
    core, _ = cluster()
    finish(core, 4)
    after = restarted(core, {"w": np.ones(2)})
    for name in ("w1", "w2"):
        after.handle(name.encode(), register(name, incarnation=2), now=0.0)
        after.handle(name.encode(), Heartbeat(name, 2, report_of(100)), now=0.1)
    after.handle(b"i1", StreamSchema(8, "float32"), now=0.1)
    (_, resume), *_ = sent(after.tick(0.2), Resume)
    assert (resume.epoch, resume.plan, resume.cold) == (5, EpochPlan(age=5), True)
    np.testing.assert_array_equal(resume.tensors["w"], np.ones(2))


def test_without_a_model_version_a_restart_begins_at_epoch_0():
    core, _ = cluster()
    finish(core, 4)
    core.views.ring = {}
    _, orders = cluster(core=restarted(core))
    (_, resume), *_ = sent(orders, Resume)
    assert (resume.epoch, resume.plan.fresh) == (0, True)


def test_a_worker_that_is_replaced_is_told_apart_by_its_incarnation():
    core, _ = cluster()
    core.handle(b"w1'", register("w1", incarnation=2), now=1.0)
    orders = core.handle(b"w1'", Heartbeat("w1", 2, report_of(100)), now=1.1)
    assert "w1'" in [to for to, _ in sent(orders, View)]
    resume = sent(answer(core, "w2"), Resume)[0][1]
    assert resume.joining == ("w1",)
    core.handle(b"w1", register("w1", incarnation=1), now=1.5)
    assert core.membership.peers["w1"].incarnation == 2


def test_versions_are_events_and_only_the_newest_in_a_row_is_kept():
    core, _ = cluster()
    core.published(1, 1, "the first version")
    core.published(2, 2, "better")
    assert core.published(2, 2, "better") == []
    core.published(3, 2, "worse")
    told = [(e.kind, e.text) for e in status(core).events][-2:]
    assert told == [("promoted", "version 2: better"), ("kept_back", "version 3: worse")]
    core.published(3, 3, "best of the continuation")
    assert status(core).events[-1].text == "version 3: best of the continuation"


def test_a_pin_is_told_and_that_it_is_taken_out_again():
    core, _ = cluster()
    core.published(2, 2, "better")
    core.published(2, 1, "better", pinned=True)
    assert core.published(2, 1, "better", pinned=True) == []
    core.published(2, 1, "better")
    told = [(e.kind, e.text) for e in status(core).events][-2:]
    pinned = "version 1 is the current one until it is unpinned"
    assert told == [("pinned", pinned), ("unpinned", "better versions are promoted again")]


def test_a_slow_worker_gets_less_of_the_feed():
    core, _ = cluster()
    for epoch in range(3):
        core.handle(b"w1", report(core, "w1", epoch, tensors={"w": np.ones(2)}, busy=3.0), now=1.0)
        core.handle(b"w2", report(core, "w2", epoch, busy=1.0), now=1.0)
    ((to, routes),) = sent(later(core, 2.5), Routes)
    assert to == "i1"
    shares = {route.name: route.weight for route in routes.workers}
    assert shares["w2"] > 1.4
    assert shares["w1"] < 0.6
    assert {worker.weight for worker in status(core).workers} == set(shares.values())
    assert sent(core.tick(2.6), Routes) == []


def test_troubles_with_a_disk_are_told_once():
    core, _ = cluster()
    for _ in range(2):
        beat = Heartbeat("w1", 1, report_of(100, shard={"refusing": True, "quarantined": 2}))
        core.handle(b"w1", beat, now=1.0)
    kinds = [event.kind for event in status(core).events]
    assert (kinds.count("disk_full"), kinds.count("quarantined")) == (1, 1)
    core.handle(b"w1", Heartbeat("w1", 1, report_of(100, shard={"quarantined": 2})), now=2.0)
    core.handle(
        b"w1",
        Heartbeat("w1", 1, report_of(100, shard={"refusing": True, "quarantined": 2})),
        now=2.5,
    )
    kinds = [event.kind for event in status(core).events]
    assert (kinds.count("disk_full"), kinds.count("quarantined")) == (2, 1)
    again = restarted(core)
    again.handle(b"w1", register("w1"), now=0.5)
    again.handle(b"w1", Heartbeat("w1", 1, report_of(100, shard={"quarantined": 2})), now=1.0)
    assert "quarantined" not in [event.kind for event in status(again).events]


def test_steps_that_fail_on_numbers_are_told_of_each_time():
    core, _ = cluster()
    for failed in (1, 1, 3):
        failing = report_of(100, failed_steps=failed, failed_step=f"training b, {failed}")
        core.handle(b"w1", Heartbeat("w1", 1, failing), now=1.0)
    said = [event.text for event in status(core).events if event.kind == "step_failed"]
    assert said == ["training b, 1", "training b, 3"]
    assert [w.failed_steps for w in status(core).workers if w.name == "w1"] == [3]
    assert failures(status(core)).text == "3 steps failed: w1"


def test_trouble_with_publishing_is_told_once():
    core, _ = cluster()
    for trouble in ("epoch 1: no room", "epoch 2: no room", "", "epoch 4: no room"):
        core.published(0, 0, "", trouble)
    said = [event.text for event in status(core).events if event.kind == "not_published"]
    assert said == ["epoch 1: no room", "epoch 4: no room"]


@pytest.mark.parametrize("end", ["goodbye", "death"])
def test_nobody_waits_for_one_that_wanted_to_leave_and_is_gone(end):
    core, _ = cluster()
    core.handle(b"w2", Leaving("w2", 1), now=1.0)
    assert answer(core, "w1", epoch=4) == []
    if end == "goodbye":
        orders = core.handle(b"w2", Goodbye("w2", 1, report_of(100)), now=1.5)
    else:
        orders = core.disconnected("w2", 1, since=1.4, now=1.5)
    ((to, view),) = sent(orders, View)
    assert (to, view.leaving) == ("w1", ())
    assert len(sent(answer(core, "w1", epoch=4), Resume)) == 1


def test_one_that_dies_while_it_leaves_is_recovered_from():
    core, _ = cluster()
    core.handle(b"w2", Leaving("w2", 1), now=1.0)
    answer(core, "w1")
    assert sent(answer(core, "w2", copies=(Copy("x", 0, False, ("w2",), held=True),)), Resume)
    orders = core.disconnected("w2", 1, since=1.4, now=1.5)
    assert [to for to, _ in sent(orders, View)] == ["w1"]
    core.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=1.6)
    assert core.views.number == 3, "once"


def test_two_workers_that_do_not_reach_each_other_are_not_kept_in_one_ring():
    core, _ = cluster()
    stuck = (Copy("x", 0, False, ("w2",)),)  # w1 has sent it, twice, and w2 never got it
    now, lost = 0.5, []
    while not lost and now < 20:
        now += 0.5
        for name in ("w1", "w2"):
            beat = Heartbeat(name, 1, report_of(100, ring={"view": core.views.number, "hops": 7}))
            core.handle(name.encode(), beat, now)
        core.handle(b"i1", Heartbeat("i1", 1, ingest=IngestReport()), now)
        if sent(core.tick(now), View):
            answer(core, "w1", copies=stuck)
            answer(core, "w2")
        lost = [name for name, state in states(core).items() if state == "lost"]
    assert len(lost) == 1
    assert status(core).failures.unreachable == 1
    name = lost[0]
    core.handle(name.encode(), Heartbeat(name, 1, report_of(100)), now + BANNED_S / 2)
    assert states(core)[name] == "lost", "not yet"
    core.handle(name.encode(), Heartbeat(name, 1, report_of(100)), now + BANNED_S + 1)
    assert states(core)[name] == "alive"


def test_a_worker_that_moves_its_points_is_told_first_where_they_may_go_and_who_sends():
    core, _ = cluster()
    core.handle(b"i2", register("i2", "ingest"), now=0.3)
    core.handle(b"i2", Heartbeat("i2", 1, ingest=IngestReport(sent=1)), now=0.3)
    core.handle(b"i1", Heartbeat("i1", 1, ingest=IngestReport(sent=1)), now=0.3)
    core.handle(b"i2", Goodbye("i2", 1, ingest=IngestReport()), now=0.4)
    orders = core.handle(b"op", DrainRequest("w1", 9.0, "move"), now=1.0)
    told = [type(o.message) for o in orders if isinstance(o, Tell) and o.identity == b"w1"]
    assert told == [Routes, Drain]
    routes = dict(sent(orders, Routes))
    assert {r.name: r.weight for r in routes["w1"].workers} == {"w1": 0.0, "w2": 1.0}
    assert routes["w1"].senders == ("i1",), "the other one ended with an answer to everything"
    assert routes["i1"].senders == ()


def test_an_order_to_hand_over_points_that_was_lost_is_given_again():
    core, _ = cluster()
    core.handle(b"op", DrainRequest("w1", 9.0, "move"), now=1.0)
    assert sent(core.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=2.0), Drain) == []
    late = core.handle(b"w1", Heartbeat("w1", 1, report_of(100)), now=1.0 + REPEAT_S + 0.1)
    told = [type(o.message) for o in late if isinstance(o, Tell) and o.identity == b"w1"]
    assert [kind for kind in told if kind is not View] == [Routes, Drain]
    heard = Heartbeat("w1", 1, report_of(100, moves={"orders": 1, "giving": True}))
    assert sent(core.handle(b"w1", heard, now=20.0), Drain) == []


def test_a_worker_that_has_acknowledged_an_order_is_told_the_routes_once_more():
    """It may have forgotten them between `Routes` and the order: it had nothing to move then."""
    core, _ = cluster()
    core.handle(b"op", DrainRequest("w1", 9.0, "move"), now=1.0)
    heard = Heartbeat("w1", 1, report_of(100, moves={"orders": 1, "giving": True}))
    assert "w1" in dict(sent(core.handle(b"w1", heard, now=2.0), Routes))
    assert sent(core.handle(b"w1", heard, now=3.0), Routes) == []


def test_a_worker_that_died_with_an_order_counts_as_a_sender_until_its_ledger_says_otherwise():
    """It may have handed over a batch, and told nobody."""
    core, _ = cluster()
    core.handle(b"w3", register("w3"), now=0.5)
    core.handle(b"op", DrainRequest("w1", 9.0, "move"), now=1.0)
    core.disconnected("w1", 1, since=1.2, now=1.2)
    orders = core.handle(b"op", DrainRequest("w2", 9.0, "move"), now=1.4)
    assert dict(sent(orders, Routes))["w2"].senders == ("w1",)
    core.handle(
        b"w2", Heartbeat("w2", 1, report_of(100, moves={"orders": 1, "giving": True})), now=1.5
    )
    core.handle(b"w1", register("w1", incarnation=2), now=2.0)
    orders = core.handle(b"w1", Heartbeat("w1", 2, report_of(100)), now=2.1)
    assert dict(sent(orders, Routes))["w2"].senders == ()


def test_who_is_ordered_to_hand_over_points_is_known_to_the_next_coordinator():
    core, _ = cluster()
    before = core.fences
    core.handle(b"op", DrainRequest("w1", 9.0, "move"), now=1.0)
    assert core.fences != before, "it is on disk before the order goes out"
    again = Coordinator(settings(), "c", json.loads(json.dumps(core.durable())))
    assert again.moves.unsettled == {"w1"}


def test_a_worker_with_batches_under_way_counts_as_a_sender_until_they_are_settled():
    core, _ = cluster()
    core.handle(b"w2", Heartbeat("w2", 1, report_of(100, moves={"handing": 3})), now=0.5)
    orders = core.handle(b"op", DrainRequest("w1", 9.0, "move"), now=1.0)
    routes = dict(sent(orders, Routes))
    assert "w2" in routes["w1"].senders
    assert {r.name: r.weight for r in routes["w2"].workers} == {"w1": 0.0, "w2": 1.0}
    orders = core.handle(b"w2", Heartbeat("w2", 1, report_of(100)), now=1.5)
    assert dict(sent(orders, Routes))["w1"].senders == ()


def test_a_worker_that_leaves_is_taken_for_leaving_though_the_word_was_lost():
    core, _ = cluster()
    core.handle(b"w2", Heartbeat("w2", 1, report_of(100, leaving=True)), now=0.5)
    assert states(core)["w2"] == "draining"


def test_a_worker_that_was_given_up_while_it_left_is_told_that_the_ring_does_without_it():
    core, _ = cluster()
    core.handle(b"w2", Leaving("w2", 1), now=1.0)
    core.disconnected("w2", 1, since=1.1, now=1.1)
    orders = core.handle(b"w2", Heartbeat("w2", 1, report_of(100, leaving=True)), now=2.0)
    assert states(core)["w2"] == "draining"
    (view,) = {view.number: view for to, view in sent(orders, View) if to == "w2"}.values()
    assert {m.name for m in view.members + view.leaving} == {"w1"}


def test_what_became_of_its_points_is_said_when_a_worker_has_left():
    core, _ = cluster()
    core.handle(b"w2", Leaving("w2", 1), now=1.0)
    last = report_of(
        20, shard={"withdrawn": 80, "appended": 100}, moves={"moved": 80, "in_doubt": 2}
    )
    core.handle(b"w2", Goodbye("w2", 1, last), now=2.0)
    text = next(e.text for e in status(core).events if e.kind == "left")
    assert text == (
        "drained, 80 points went to the others, 20 points wait in its directory, "
        "2 of its batches may be with workers that are gone, too"
    )
    points = status(core).points
    assert (points.accepted, points.stored, points.away) == (120, 100, 20)


def test_points_that_were_dropped_are_counted():
    core, _ = cluster()
    core.handle(b"w2", Leaving("w2", 1), now=1.0)
    gone = report_of(0, shard={"appended": 100, "dropped": 100}, given_up=100)
    core.handle(b"w2", Goodbye("w2", 1, gone), now=2.0)
    points = status(core).points
    assert (points.accepted, points.stored, points.dropped) == (200, 100, 100)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_slow_worker_hands_points_to_a_fast_one_if_that_is_wanted(wanted):
    core, _ = cluster(core=Coordinator(settings(rebalance=wanted), "c"))
    core.handle(b"w1", report(core, "w1", 0, tensors={"w": np.ones(2)}, busy=9.0), now=1.0)
    core.handle(b"w2", report(core, "w2", 0, busy=1.0), now=1.0)
    orders = []
    for check in range(4):
        orders += later(core, 3.0 + 2.0 * check)
    if not wanted:
        assert sent(orders, Move) == []
        return
    assert sent(orders, Move) == [("w1", Move(80, ("w2",)))]
    assert {r.name: r.weight for r in sent(orders, Routes)[-1][1].workers}["w1"] == 0.0
    core.handle(
        b"w1",
        Heartbeat(
            "w1",
            1,
            report_of(
                60,
                shard={"appended": 100, "withdrawn": 40},
                moves={"orders": 1, "giving": True, "handing": 2},
            ),
        ),
        now=11.0,
    )
    moved = report_of(
        20, shard={"appended": 100, "withdrawn": 80}, moves={"orders": 1, "moved": 80}
    )
    done = core.handle(b"w1", Heartbeat("w1", 1, moved), now=12.0)
    assert {r.name: r.weight for r in sent(done, Routes)[-1][1].workers}["w1"] > 0.0
    assert [e.kind for e in status(core).events if e.name == "w1"][-2:] == [
        "moving",
        "moved",
    ]


def test_what_happens_to_processes_is_told_by_kind_and_name_and_counted():
    core, _ = cluster()
    core.disconnected("i1", 1, since=0.3, now=0.4)
    core.disconnected("w2", 1, since=0.3, now=0.4)
    core.handle(b"w2", Heartbeat("w2", 1, report_of(100)), now=0.5)
    core.handle(b"w1", Leaving("w1", 1), now=0.6)
    told = [(event.kind, event.name) for event in core.events.newest if event.name]
    expected = [("ingest_lost", "i1"), ("lost", "w2"), ("returned", "w2"), ("draining", "w1")]
    assert told[-4:] == expected
    assert {kind: core.events.counts[kind] for kind, _ in expected} == dict.fromkeys(
        ("ingest_lost", "lost", "returned", "draining"), 1
    )
    (going,) = core.view.leaving
    assert (going.name, going.address) == ("w1", "ring of w1")


def test_the_next_coordinator_knows_how_often_the_ring_recovered():
    core, _ = cluster()
    core.disconnected("w2", 1, since=1.0, now=1.2)
    answer(core, "w1")
    core.handle(b"w1", RingMoving("w1", core.views.number), now=1.4)
    again = Coordinator(settings(), "c", json.loads(json.dumps(core.durable())))
    assert status(again).recovery == status(core).recovery
    assert status(again).recovery.count == 1


def test_what_is_wrong_with_a_feed_is_an_event_once():
    core, _ = cluster()
    failed, lost = Trouble("feed_failed", "a: damaged"), Trouble("letters_lost", "full")

    def hear(kind, *troubles):
        core.handle(b"i1", kind("i1", 1, ingest=IngestReport(troubles=troubles)), now=0.3)
        return [(e.kind, e.name, e.text) for e in core.events.newest if e.name == "i1"][1:]

    first = ("feed_failed", "i1", "a: damaged")
    assert hear(Heartbeat, failed) == [first]
    assert hear(Heartbeat, failed) == [first]
    assert hear(Goodbye, failed, lost)[1:2] == [("letters_lost", "i1", "full")]
    assert status(core).ingest[0].failed == ("a: damaged",)
