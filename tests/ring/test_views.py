"""Workers come, leave and die while tokens are anywhere: nothing stops, and no survivor's work is done again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streammac.coordinator.partitions import MEMORY_S, Partitions, broken
from streammac.models.shuffling import ring_order
from streammac.models.signature import Signature
from streammac.ring.itinerary import next_stop
from streammac.ring.member import Member
from streammac.ring.member_actions import TrainDone
from streammac.ring.recovery import resumption
from streammac.ring.view_change import ViewChange
from streammac.wire.messages import Copy, EpochPlan, Holdings, ModelState, Resume, View
from tests.ring.net import Net, addresses, begin
from tests.ring.tally import TallyModel

EPOCHS = 6
changes = st.lists(
    st.tuples(st.sampled_from(["kill", "leave", "join", "again"]), st.integers(0, 60)),
    min_size=1,
    max_size=6,
)


def live(net: Net) -> list[str]:
    assert net.change is not None
    return [name for name in net.change.names if name in net.members]


def do(net: Net, what: str, number: int) -> None:
    """Change the ring in one way, as far as that is possible."""
    here = live(net)
    match what:
        case "kill" if len(here) > 1:
            victim = net.rng.choice(here)
            net.kill(victim)
            net.view([name for name in here if name != victim])
        case "leave" if len(here) > 1:
            leaver = net.rng.choice(here)
            # one that came to join, and is not in the ring yet, just goes
            going = [leaver] if leaver in net.ring else []
            net.view([name for name in here if name != leaver], leaving=going)
            if not going:
                net.kill(leaver)
        case "join":
            name = f"n{number}"
            net.add(name)
            net.view([*here, name])
        case "again":
            net.view(here)


@settings(max_examples=200)
@given(
    size=st.integers(1, 4),
    blocks=st.integers(1, 4),
    laps=st.integers(1, 2),
    seed=st.integers(0, 100_000),
    story=changes,
)
@example(size=2, blocks=4, laps=2, seed=18724, story=[("join", 44), ("leave", 5)])
@example(
    size=2,
    blocks=1,
    laps=2,
    seed=73249,
    story=[("join", n) for n in (21, 49, 52, 26, 26)] + [("kill", 23)],
)
def test_the_ring_goes_on_whoever_comes_leaves_or_dies(size, blocks, laps, seed, story):
    net = Net([f"w{i}" for i in range(size)], EPOCHS, seed, laps, blocks)
    for number, (what, steps) in enumerate(story):
        for _ in range(steps):
            net.step()
        do(net, what, number)
    net.run()
    names = live(net)
    assert [net.members[name].epoch.state for name in names] == ["resting"] * len(names)
    # whatever a survivor has done is in a copy that somebody has: it is never done a second time
    done = [visit for visit in net.visits if visit[3] in names]
    assert len(done) == len(set(done))
    # and from the epoch after the last change everybody trains everything
    assert net.change is not None
    assert net.change.resume is not None
    for epoch in range(net.change.resume.epoch + 1, EPOCHS):
        expected = {
            (epoch, f"tally/{b}", lap, name)
            for b in range(blocks)
            for lap in range(laps)
            for name in names
        }
        assert {visit for visit in done if visit[0] == epoch} == expected
    models = [net.members[name].epoch.base for name in names]
    for model in models[1:]:
        assert model.keys() == models[0].keys()
        for name, tensor in model.items():
            np.testing.assert_array_equal(tensor, models[0][name])


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 150))
def test_whoever_leaves_is_released_and_its_visits_count(seed, after):
    net = Net(["w1", "w2", "w3"], EPOCHS, seed)
    for _ in range(after):
        net.step()
    net.view(["w1", "w3"], leaving=["w2"])
    net.run()
    assert net.members["w2"].released
    assert len(net.visits) == len(set(net.visits)), (
        "nothing is done twice, the leaver's work included"
    )


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 150))
def test_a_joiner_trains_from_the_next_epoch_on(seed, after):
    net = Net(["w1", "w2"], EPOCHS, seed)
    for _ in range(after):
        net.step()
    net.add("w3")
    net.view(["w1", "w2", "w3"])
    net.run()
    assert net.change is not None
    assert net.change.resume is not None
    mine = {visit[0] for visit in net.visits if visit[3] == "w3"}
    assert mine == set(range(net.change.resume.epoch + 1, EPOCHS))
    assert len(net.visits) == len(set(net.visits)), "nobody does anything again because of a joiner"


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 120), meanwhile=st.integers(0, 60))
def test_a_member_that_was_taken_for_dead_does_no_harm_and_rejoins(seed, after, meanwhile):
    net = Net(["w1", "w2", "w3"], EPOCHS, seed)
    for _ in range(after):
        net.step()
    net.ring.pop("w3", None)
    net.view(["w1", "w2"])  # w3 lives on and knows nothing of it
    for _ in range(meanwhile):
        net.step()
    net.view(["w1", "w2", "w3"])
    net.run()
    assert [m.epoch.state for m in net.members.values()] == ["resting"] * 3
    done = [visit for visit in net.visits if visit[3] != "w3"]
    assert len(done) == len(set(done))


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 120), lost=st.integers(1, 3))
def test_tokens_that_are_lost_come_back_with_another_view(seed, after, lost):
    net = Net(["w1", "w2", "w3"], EPOCHS, seed)
    for _ in range(after):
        net.step()
    net.messages = net.messages[lost:]
    net.view(["w1", "w2", "w3"])
    net.run()
    assert [m.epoch.state for m in net.members.values()] == ["resting"] * 3
    assert len(net.visits) == len(set(net.visits))


# -- the decision ----------------------------------------------------------------------------------


def holdings(
    name, epoch=3, state="training", copies=(), trainers=("a", "b", "c"), former=False
) -> Holdings:
    return Holdings(7, name, state, epoch, EpochPlan(age=epoch), trainers, copies, former=former)


def test_of_each_block_the_most_advanced_copy_goes_on():
    answers = {
        "a": holdings("a", copies=(Copy("x", 0, False, ("b", "c")), Copy("y", 1, True, ("b",)))),
        "b": holdings("b", copies=(Copy("x", 0, False, ("c",)), Copy("y", 1, False, ("a",)))),
        "c": holdings("c", copies=(Copy("x", 0, False, ("c",), True), Copy("z", 0, False, ("c",)))),
    }
    got = resumption(7, ["a", "b", "c"], answers)
    assert got is not None
    # of two equal copies of x the one that has arrived where it is wanted
    assert got.holders == {"x": "c", "y": "a", "z": "c"}
    assert (got.absent, got.donors) == ((), {})


def test_whoever_is_behind_or_new_gets_the_model_from_different_members():
    answers = {
        "a": holdings("a", 4, former=True),
        "b": holdings("b", 4, "z_step"),  # joined in this epoch
        "c": holdings("c", 3),
        "d": holdings("d", 3, "z_step"),
    }
    answers = {n: replace(a, trainers=("a", "b", "c", "d", "gone")) for n, a in answers.items()}
    got = resumption(7, ["a", "b", "c", "d", "new"], answers)
    assert got is not None
    assert (got.epoch, got.plan) == (4, EpochPlan(age=4))
    assert got.trainers == ("a", "b", "c", "d")
    assert (got.joining, got.absent) == (("new",), ("c", "d", "new"))
    assert got.donors == {"c": "a", "new": "b"}, "d has its model, and is in its Z step with it"


def test_whoever_is_behind_where_nobody_can_help_any_more_joins_anew():
    answers = {"a": holdings("a", 4), "b": holdings("b", 3)}
    got = resumption(7, ["a", "b"], answers)
    assert got is not None
    assert (got.trainers, got.joining, got.donors) == (("a", "b"), ("b",), {"b": "a"})


def test_a_block_that_was_sent_and_is_nowhere_tells_which_way_it_was_lost():
    trainers = ("a", "b", "c")
    answers = {
        "a": holdings(
            "a", copies=(Copy("x", 0, False, ("b", "c")), Copy("y", 0, False, ("a",), True))
        ),
        "b": holdings("b", copies=(Copy("z", 1, True, ("a", "joiner")),)),
        "c": holdings("c"),
    }
    resume = resumption(7, trainers, answers)
    assert resume is not None
    order = ring_order(trainers, 5, 3)
    x = next_stop(order, "a", ("b", "c"))
    z = next_stop((*order, "joiner"), "b", ("a", "joiner"))
    assert broken(resume, answers, seed=5) == {("a", x), ("b", z)}


def test_a_way_that_fails_twice_costs_the_one_with_most_of_them_its_place():
    links = Partitions()
    assert links.stalled({("a", "b"), ("c", "b")}, now=0.0) is None
    assert links.stalled({("c", "a")}, now=3.0) is None, "another way"
    assert links.stalled({("c", "a"), ("c", "b")}, now=6.0) == "c"
    assert links.stalled({("a", "b")}, now=9.0) is None
    assert links.stalled({("a", "b")}, now=9.0 + 2 * MEMORY_S) is None, "long ago"


def test_where_nobody_holds_anything_the_ring_begins_from_the_given_model():
    change = ViewChange(View(1, addresses("ab")), {"a": 1, "b": 1}, frozenset())
    assert change.answered
    tensors = {"w": np.ones(1)}
    got = change.settle(5, EpochPlan(age=2), tensors)
    assert got == Resume(1, 5, EpochPlan(age=2), ("a", "b"), cold=True, tensors=tensors)


def test_the_old_copies_of_one_that_leaves_do_not_carry_the_ring_back():
    change = ViewChange(View(7, addresses("a"), addresses("b")), {"a": 1, "b": 1}, frozenset("ab"))
    change.answer(holdings("a", epoch=29, state="joining"))
    change.answer(holdings("b", epoch=6, copies=(Copy("x", 0, False, ("gone",)),)))
    got = change.settle(29, EpochPlan(age=2), {"w": np.ones(1)})
    assert (got.epoch, got.plan, got.cold, got.trainers) == (29, EpochPlan(age=2), True, ("a",))
    assert change.settle(6, EpochPlan(), {}).holders == {"x": "b"}, "nothing newer is known"


def test_the_last_trainer_leaves_its_work_to_those_who_came_to_join():
    answers = {"a": holdings("a", trainers=("a",), copies=(Copy("x", 1, False, ("a",)),))}
    got = resumption(7, ["new"], answers)
    assert got is not None
    assert (got.trainers, got.donors, got.holders) == (("new",), {"new": "a"}, {"x": "a"})


@pytest.mark.parametrize(
    ("seen", "frozen", "settled", "missed"),
    [
        (6, False, False, "view"),
        (7, True, False, "view"),  # its answer was lost
        (7, True, True, "resume"),
        (7, False, True, None),
        (8, True, True, None),
    ],
)
def test_what_was_missed_is_told_again(seen, frozen, settled, missed):
    change = ViewChange(View(7, addresses("a")), {"a": 1}, frozenset())
    resume = change.settle(0, EpochPlan(), {}) if settled else None
    expected = {"view": change.view, "resume": resume, None: None}[missed]
    assert change.reminder("a", seen, frozen=frozen) == expected
    assert change.reminder("stranger", seen, frozen=frozen) is None


def test_a_model_that_comes_before_the_view_resumes_is_kept():
    net = Net(["w1"], EPOCHS, seed=0)
    net.run()
    net.add("w2")
    member = net.members["w2"]
    member.handle(View(2, addresses(["w1", "w2"])))
    assert member.handle(ModelState(2, 3, {"tally/0": np.ones(2)})) == []
    member.handle(Resume(2, 3, EpochPlan(age=3), ("w1",), ("w2",), ("w2",), {}, {"w2": "w1"}))
    assert member.epoch.base is not None


def test_whoever_was_given_up_while_it_left_is_released_by_a_view_without_it():
    names = ("w1", "w2")
    member = Member("w1", TallyModel(), Signature(2), seed=5)
    begin(member, names)
    member.handle(View(2, addresses(["w2"]), addresses(["w1"])))
    assert not member.released, "nobody has resumed the view"
    assert member.handle(View(3, addresses(["w2"]))) == []
    assert member.released


def test_who_has_not_heard_that_it_begins_anew_holds_nothing_that_counts():
    members = {"a": 1, "b": 1}
    change = ViewChange(View(7, addresses("ab")), members, frozenset("ab"), {"b": 6})
    change.answer(replace(holdings("a", trainers=("a", "b")), resumed=5))
    change.answer(replace(holdings("b", epoch=5, trainers=("a", "b")), resumed=5))
    got = change.settle(0, EpochPlan(), {})
    assert (got.epoch, got.joining) == (3, ("b",))
    change.answer(replace(holdings("b", epoch=5, trainers=("a", "b")), resumed=6))
    assert change.settle(0, EpochPlan(), {}).epoch == 5, "it has heard, and is the first one there"


def test_a_copy_that_nobody_goes_on_with_shows_who_had_not_trained_it():
    one, leaver, other = names = ring_order(["w1", "w2", "w3"], 5, 0)
    member = Member(one, TallyModel(), Signature(2), seed=5)
    job = begin(member, names)[-1]
    (sent,) = member.handle(TrainDone(job, job.token.tensors))
    assert sent.to == leaver
    member.handle(View(2, addresses([one, other]), addresses([leaver])))
    trainers = tuple(sorted((one, other)))
    holders = {"origin": leaver}
    member.handle(Resume(2, 0, EpochPlan(fresh=True), trainers, holders=holders))
    assert leaver in member.epoch.copies["origin"].itinerary, (
        "or its visit would not show beside it"
    )


def test_who_is_behind_does_not_count_on_one_that_died_and_joins_again():
    names = ("w1", "w2", "w3")
    member = Member("w1", TallyModel(), Signature(2), seed=5)
    begin(member, names)
    member.handle(View(2, addresses(names)))
    member.handle(Resume(2, 1, EpochPlan(age=1), ("w2",), ("w3",), ("w1", "w3")))
    assert member.epoch.number == 0
    assert member.epoch.trainers == ("w1", "w2"), "w3 has no part in that epoch any more"
