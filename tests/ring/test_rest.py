"""A ring in which nothing is left to train: it rests, and wakes when there is something."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.models.signature import Signature
from streammac.ring.agenda import Agenda
from streammac.ring.epoch import plan_after
from streammac.ring.member import Member
from streammac.ring.member_actions import NewPoints, OpenEpoch, Send
from streammac.wire.messages import EpochPlan, RestartContinuation, View, Wake
from tests.ring.net import Net, begin
from tests.ring.tally import TallyModel

RESTS = 3
"""The age at which the tally's continuation is over: of epoch 4, since epoch 0 is fresh."""
ring = given(
    size=st.integers(1, 4),
    blocks=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    who=st.integers(0, 3),
)


def resting(size: int, blocks: int, seed: int, **more) -> tuple[Net, list[str]]:
    """Return a ring that has come to rest, and its members."""
    names = [f"w{i}" for i in range(size)]
    net = Net(names, 0, seed, blocks=blocks, rests=True, **more)
    net.run()
    return net, names


def places(net: Net) -> set[tuple[str, int]]:
    return {(member.epoch.state, member.epoch.number) for member in net.members.values()}


@settings(max_examples=40)
@ring
def test_a_ring_with_nothing_to_do_rests(size, blocks, seed, who):
    net, _ = resting(size, blocks, seed)
    assert places(net) == {("resting", RESTS + 2)}
    assert {report.epoch for _, report in net.reports} == set(range(RESTS + 2))
    assert all(member.ring_progress(busy=False).resting for member in net.members.values())


@settings(max_examples=40)
@ring
def test_new_points_anywhere_wake_it_for_an_epoch(size, blocks, seed, who):
    net, names = resting(size, blocks, seed)
    done = len(net.reports)
    net.feed(names[who % size], NewPoints())
    net.run()
    assert places(net) == {("resting", RESTS + 3)}
    assert len(net.reports) == done + size


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000), after=st.integers(0, 400), who=st.sampled_from(["w0", "w1", "w2"])
)
def test_points_that_come_at_any_moment_are_in_an_epoch_that_begins_afterwards(seed, after, who):
    net = Net(["w0", "w1", "w2"], 0, seed, rests=True)
    for _ in range(after):
        net.step()
    epoch = net.members[who].epoch
    opened = epoch.number + (epoch.state != "resting")
    net.feed(who, NewPoints())
    net.run()
    assert (state := net.members[who].epoch).state == "resting"
    assert state.number > opened
    assert len(places(net)) == 1


@settings(max_examples=30)
@ring
def test_who_still_changes_coordinates_keeps_the_others_awake(size, blocks, seed, who):
    names = [f"w{i}" for i in range(size)]
    net = Net(names, 0, seed, blocks=blocks, rests=True)
    net.unsettled[names[who % size]] = RESTS + 5
    net.run()
    ((state, number),) = places(net)
    assert state == "resting"
    assert number in (RESTS + 5, RESTS + 6)


@settings(max_examples=30)
@ring
def test_an_order_wakes_it_and_is_carried_out(size, blocks, seed, who):
    net, names = resting(size, blocks, seed)
    heard = names if who == 0 else names[: 1 + who % size]  # to some of them it is lost
    for name in heard:
        net.messages.append((name, RestartContinuation(1, fresh=False)))
    for name in set(names) - set(heard):
        net.members[name].agenda.restart = RestartContinuation(1, fresh=False)
    net.run()
    ((state, number),) = places(net)
    assert state == "resting"
    assert number in (
        RESTS + 5,
        RESTS + 6,
    )  # the epoch that it had rested before, perhaps another, and two of the order
    assert net.reports[-1][1].plan.restart == 1


@settings(max_examples=40)
@given(
    size=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    how=st.sampled_from(["join", "leave", "die"]),
)
def test_every_view_wakes_it(size, seed, how):
    net, names = resting(size, 3, seed)
    before = len(net.reports)
    if how == "join":
        net.add("new")
        names = [*names, "new"]
        net.view(names)
    elif how == "leave":
        net.view(names[1:], leaving=names[:1])
    else:
        net.kill(names[0])
        net.view(names[1:])
    net.run()
    assert len(net.reports) > before
    staying = {name: net.members[name].epoch for name in (names[1:] if how != "join" else names)}
    assert {epoch.state for epoch in staying.values()} == {"resting"}
    assert len({epoch.number for epoch in staying.values()}) == 1


def test_where_its_word_is_lost_the_next_view_has_it_begin():
    net, names = resting(3, 1, seed=1)
    starter = net.members["w0"].epoch.order[0]
    waker = next(name for name in names if name != starter)  # no block begins there
    net.feed(waker, NewPoints())
    net.messages.clear()
    assert not net.step() or net.members[starter].epoch.state == "resting"
    net.view(names)
    net.run()
    assert places(net) == {("resting", RESTS + 3)}


def test_deterministic_training_never_rests():
    net = Net(["w0", "w1"], 12, seed=3)
    net.run()
    assert max(report.epoch for _, report in net.reports) == 11


def test_who_has_done_all_epochs_is_not_woken_any_more():
    net = Net(["w0", "w1"], RESTS + 2, seed=3, rests=True)
    net.run()
    member = net.members["w0"]
    assert (member.epoch.state, member.epoch.number) == ("resting", RESTS + 2)
    for event in (NewPoints(), RestartContinuation(1, fresh=True), Wake(1, RESTS + 2)):
        assert member.handle(event) == []


@pytest.mark.parametrize("wake", [Wake(0, RESTS + 2), Wake(1, RESTS + 1)], ids=["view", "epoch"])
def test_old_word_wakes_nobody(wake):
    net, _ = resting(2, 3, seed=4)
    assert net.members["w0"].handle(wake) == []
    assert net.members["w0"].epoch.state == "resting"


def test_word_that_comes_early_is_kept_until_its_epoch():
    net, _ = resting(2, 3, seed=4)
    member = net.members["w0"]
    assert member.handle(Wake(1, RESTS + 3)) == []
    assert [type(message) for message in member.waiting] == [Wake]


def test_a_member_wakes_all_others_once():
    net, _ = resting(4, 3, seed=4)
    member = net.members["w2"]
    actions = member.handle(NewPoints())
    told = [a for a in actions if isinstance(a, Send) and isinstance(a.message, Wake)]
    assert [(a.to, a.message) for a in told] == [
        (n, Wake(1, RESTS + 2)) for n in ("w0", "w1", "w3")
    ]
    assert isinstance(actions[0], OpenEpoch)
    assert not any(
        isinstance(a, Send) and isinstance(a.message, Wake) for a in member.handle(NewPoints())
    )


def test_a_frozen_member_that_rests_waits_for_its_view():
    net, _ = resting(2, 3, seed=4)
    member = net.members["w0"]
    member.handle(View(2, net.change.view.members))
    assert member.handle(NewPoints()) == []
    assert member.handle(Wake(2, RESTS + 2)) == []
    assert member.epoch.state == "resting"


@pytest.mark.parametrize(
    ("plan", "agenda", "rest"),
    [
        (EpochPlan(3), Agenda(ever_ends=True, settled=True), True),
        (EpochPlan(2), Agenda(ever_ends=True, settled=True), False),
        (EpochPlan(3), Agenda(settled=True), False),
        (EpochPlan(3), Agenda(ever_ends=True), False),
        (EpochPlan(3), Agenda(ever_ends=True, settled=True, new_points=True), False),
        (EpochPlan(3, restart=1), Agenda(True, False, True, RestartContinuation(1, True)), True),
    ],
)
def test_rest_is_planned_where_nothing_is_left(plan, agenda, rest):
    model = TallyModel()
    following = plan_after(plan, agenda, model, members=3)
    expected = EpochPlan(plan.age + 1, restart=plan.restart, groups=model.groups_for(3), rest=rest)
    assert following == expected


def test_who_joins_never_rests_before_its_points_have_been_trained_on():
    member = Member("w1", TallyModel(), Signature(2), seed=0, rests=True)
    actions = begin(member, ["w1"])
    assert isinstance(actions[0], OpenEpoch)
    assert member.epoch.state == "training"


@pytest.mark.parametrize(
    ("fresh", "afresh", "planned"),
    [
        (True, True, EpochPlan(fresh=True, restart=1)),
        (True, False, EpochPlan(2, restart=1, slices=4)),
        (False, True, EpochPlan(2, restart=1, slices=4)),
    ],
)
def test_a_family_says_whether_new_statistics_make_a_new_model(fresh, afresh, planned):
    class Sliced(TallyModel):
        begins_afresh = afresh

        def slices_for(self, points, members):
            return points * members // 10

    agenda = Agenda(restart=RestartContinuation(1, fresh=fresh), points=20)
    assert plan_after(EpochPlan(3, slice=1, slices=3), agenda, Sliced(), 2) == planned


def test_the_slices_of_a_pass_follow_each_other_and_a_new_pass_has_as_many_as_there_are_points_for():
    class Sliced(TallyModel):
        def slices_for(self, points, members):
            return points * members // 10

    plans = [EpochPlan(fresh=True)]
    for points in (15, 15, 15, 99, 15, 0):
        plans.append(plan_after(plans[-1], Agenda(points=points), Sliced(), 2))
    told = [(plan.age, plan.slice, plan.slices) for plan in plans[1:]]
    assert told == [(0, 0, 3), (0, 1, 3), (0, 2, 3), (1, 0, 19), (1, 1, 19), (1, 2, 19)]
