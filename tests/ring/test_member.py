"""What a ring of members does that nobody joins or leaves, over a network that delivers in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streammac.models.base import Objective
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.shuffling import ring_order
from streammac.models.signature import Signature
from streammac.ring.admission import Drop
from streammac.ring.agenda import Agenda
from streammac.ring.epoch import plan_after
from streammac.ring.member import KEPT_WAITING, MAX_WAITING, Member
from streammac.ring.member_actions import Train, TrainDone, ZStepDone
from streammac.wire.messages import EpochPlan, RestartContinuation, Resume, Token, View
from streammac.wire.reports import RingProgress
from tests.ring.net import Net, addresses, begin
from tests.ring.tally import TallyModel


@settings(max_examples=60)
@given(
    size=st.integers(1, 5),
    epochs=st.integers(1, 4),
    laps=st.integers(1, 3),
    blocks=st.integers(1, 6),
    seed=st.integers(0, 10_000),
)
def test_every_block_is_trained_by_everybody_in_every_lap(size, epochs, laps, blocks, seed):
    names = [f"w{i}" for i in range(size)]
    net = Net(names, epochs, seed, laps, blocks)
    net.run()
    expected = [(0, "origin", 0, n) for n in names]
    expected += [
        (e, f"tally/{b}", lap, n)
        for e in range(1, epochs)
        for b in range(blocks)
        for lap in range(laps)
        for n in names
    ]
    assert sorted(net.visits) == sorted(expected)
    assert all(member.epoch.state == "resting" for member in net.members.values())
    assert all(not member.dropped for member in net.members.values())
    # the paper's communication: (e + 1) P - 2 hops for each block
    hops = (2 * size - 2) + (epochs - 1) * blocks * ((laps + 1) * size - 2)
    assert net.sent == (hops if size > 1 else 0)


@settings(max_examples=30)
@given(size=st.integers(1, 4), blocks=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_a_block_that_is_trained_alone_is_so_where_it_starts(size, blocks, seed):
    names, epochs = [f"w{i}" for i in range(size)], 3
    net = Net(names, epochs, seed, laps=1, blocks=blocks)
    net.model.train_alone()
    net.run()
    orders = {epoch: ring_order(names, 5, epoch) for epoch in range(1, epochs)}
    expected = [(0, "origin", 0, name) for name in names]
    expected += [
        (epoch, f"tally/{b}", 0, order[b % size])
        for epoch, order in orders.items()
        for b in range(blocks)
    ]
    assert sorted(net.visits) == sorted(expected)
    models = [member.epoch.base for member in net.members.values()]
    for b in range(blocks):
        assert {tuple(m[f"tally/{b}"]) for m in models} == {(2, 2)}


@settings(max_examples=30)
@given(size=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_everybody_ends_with_the_same_model(size, seed):
    names = [f"w{i}" for i in range(size)]
    net = Net(names, epochs=4, seed=seed)
    net.run()
    models = [member.epoch.base for member in net.members.values()]
    for model in models[1:]:
        assert model.keys() == models[0].keys()
        for name, tensor in model.items():
            np.testing.assert_array_equal(tensor, models[0][name])
    # 3 proper epochs of 2 laps over everybody, and as many ends of laps
    np.testing.assert_array_equal(models[0]["tally/0"], [3 * 2 * size, 3 * 2])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 60))
def test_a_duplicated_token_is_dropped(seed, after):
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=3, seed=seed)
    for _ in range(after):
        net.step()
    tokens = [(to, t) for to, t in net.messages if isinstance(t, Token)]
    copies = [(to, replace(t)) for to, t in tokens]
    net.check = lambda: None  # type: ignore[method-assign]  # a duplicate is what it looks for
    net.messages += copies
    net.run()
    assert len(net.visits) == len(set(net.visits))
    assert sum(member.dropped.total() for member in net.members.values()) == len(copies)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 100), fresh=st.booleans())
def test_a_restart_takes_effect_in_the_same_epoch_everywhere(seed, after, fresh):
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=8, seed=seed)
    for _ in range(after):
        net.step()
    net.messages += [(name, RestartContinuation(1, fresh)) for name in names]
    net.run()
    plans: dict[int, set[EpochPlan]] = {}
    for _, report in net.reports:
        plans.setdefault(report.epoch, set()).add(report.plan)
    assert all(len(plan) == 1 for plan in plans.values())
    restarted = [e for e in sorted(plans) if next(iter(plans[e])).restart == 1]
    assert restarted, "the order came before the last epoch was planned"
    begin = next(iter(plans[restarted[0]]))
    assert (begin.age, begin.fresh) == ((0, True) if fresh else (2, False))
    after_it = [next(iter(plans[e])).age for e in restarted[1:]]
    first = 0 if fresh else 3
    assert after_it == list(range(first, first + len(after_it)))
    former = [next(iter(plan)).age for e, plan in sorted(plans.items()) if e < restarted[0]]
    assert former[-1] >= 2, "what was under way came to its end"


@pytest.mark.parametrize(
    "order", [None, RestartContinuation(1, False), RestartContinuation(1, True)]
)
def test_the_next_epoch_is_laid_out_for_those_who_are_to_train_in_it(order):
    model = BinaryAutoencoderModel(bits=64)
    resting = next(age for age in range(100) if model.rests(age))
    for members in (1, 3, 8):
        plan = plan_after(EpochPlan(resting, groups=2), Agenda(order), model, members)
        assert plan.groups == model.groups_for(members)


def test_blocks_start_where_the_ring_order_says():
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=2, seed=0, blocks=6)
    net.run()
    order = ring_order(names, seed=5, epoch=1)
    for number in range(6):
        stops = [n for e, b, lap, n in net.visits if (e, b, lap) == (1, f"tally/{number}", 0)]
        start = number % 3
        assert tuple(stops) == (*order[start:], *order[:start])


def test_an_older_view_and_its_tokens_are_ignored():
    member = Member("w1", TallyModel(), Signature(2), seed=0)
    begin(member, ["w1", "w2"], number=5)
    assert member.handle(View(4, addresses(["w1"]))) == []
    token = Token(4, 0, "origin", 0, ("w1",), False, None, {"origin": np.zeros(1)})
    assert member.handle(token) == []
    assert (member.view.number, member.dropped) == (5, {Drop.OLD_VIEW: 1})


def test_a_view_of_others_is_ignored():
    member = Member("w1", TallyModel(), Signature(2), seed=0)
    begin(member, ["w1", "w2"], number=5)
    assert member.handle(View(6, addresses(["w2"]))) == []
    assert (member.view.number, member.view.frozen) == (5, False)


def test_tokens_of_a_view_to_come_wait_for_it_within_a_limit():
    member = Member("w1", TallyModel(), Signature(2), seed=0)
    token = Token(1, 0, "origin", 0, ("w1",), False, None, {"origin": np.zeros(1)})
    forged = replace(token, view=1 << 53)
    for _ in range(MAX_WAITING):
        assert member.handle(forged) == []
    assert member.handle(token) == []
    assert member.waiting[0] is token, "the next view's tokens have room, whatever else waits"
    assert (len(member.waiting), member.dropped) == (
        KEPT_WAITING,
        {Drop.NO_ROOM: MAX_WAITING + 1 - KEPT_WAITING},
    )


@pytest.mark.parametrize("block", ["nothing of that name", "tally/0"])
def test_a_token_for_an_unknown_block_is_dropped(block):
    member = Member("w1", TallyModel(), Signature(2), seed=0)
    begin(member, ["w1", "w2"])
    token = Token(1, 0, block, 0, ("w1",), False, None, {block: np.zeros(2)})
    assert member.handle(token) == []
    assert member.dropped == {Drop.UNKNOWN_BLOCK: 1}


def test_a_token_that_has_nothing_to_do_here_is_dropped():
    other, name = ring_order(["w1", "w2"], seed=0, epoch=0)  # the block starts at the other one
    member = Member(name, TallyModel(), Signature(2), seed=0)
    begin(member, ["w1", "w2"])
    for final in (False, True):
        token = Token(1, 0, "origin", 0, (other,), final, None, {"origin": np.zeros(1)})
        assert member.handle(token) == []
        assert "origin" not in member.epoch.copies
    assert member.dropped == {Drop.NOT_ADDRESSED: 2}


@settings(max_examples=20)
@given(size=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_the_first_in_the_order_of_an_epoch_and_nobody_else_sends_its_model(size, seed):
    names = [f"w{i}" for i in range(size)]
    net = Net(names, epochs=4, seed=seed)
    net.run()
    senders = {r.epoch: name for name, r in net.reports if r.params is not None}
    assert senders == {e: ring_order(names, seed=5, epoch=e)[0] for e in range(4)}
    sent = [r.params for _, r in net.reports if r.epoch == 3 and r.params is not None]
    assert [model["tally/0"].tolist() for model in sent] == [[3 * 2 * size, 3 * 2]]
    assert all(r.trainers == tuple(names) for _, r in net.reports)


def alone() -> tuple[Member, Train]:
    """Return a member that is its own ring, and the job that it begins with."""
    member = Member("w1", TallyModel(blocks=1, laps=1), Signature(2), seed=5, epochs=2)
    return member, begin(member, ["w1"])[-1]


def test_a_member_tells_what_it_is_at():
    member, _ = alone()
    told = RingProgress(ready=True, epoch=0, view=1, working=True, holding=("origin",))
    assert member.ring_progress(busy=False) == told
    member.handle(View(2, addresses(["w1"])))
    assert member.ring_progress(busy=False) == replace(told, view=2, frozen=True)


def test_when_an_epoch_ends_the_next_one_begins_with_its_model_and_the_last_one_rests():
    member, job = alone()
    (z_step,) = member.handle(TrainDone(job, {"origin": np.full(1, 7)}))
    report, opened, job = member.handle(ZStepDone(1, 0, Objective(points=3)))
    message = report.message("w1", 0.5, {"sum": 1.0}, {"w": 2.0})
    assert (message.name, message.mu, report.objective.points) == ("w1", 0.5, 3)
    assert (message.sums, message.seconds) == ({"sum": 1.0}, {"w": 2.0})
    assert message.tensors == opened.params == z_step.params == {"origin": np.full(1, 7)}
    member.handle(TrainDone(job, {"tally/0": np.ones(2)}))
    member.handle(ZStepDone(1, 1, Objective(points=3)))
    assert member.ring_progress(busy=False).resting
    assert not member.ring_progress(busy=False).working
    (answer,) = member.handle(View(2, addresses(["w1"])))
    told = answer.holdings
    assert (told.state, told.epoch, told.resumed, told.former) == ("resting", 2, 1, True)


def test_who_is_in_training_has_the_copies_of_the_epoch_before():
    member, job = alone()
    (answer,) = member.handle(View(2, addresses(["w1"])))
    assert not answer.holdings.former, "there was none before the first"
    member.handle(Resume(2, 0, EpochPlan(fresh=True), ("w1",), holders={"origin": "w1"}))
    member.handle(TrainDone(job, {"origin": np.full(1, 7)}))
    member.handle(ZStepDone(2, 0, Objective()))
    (answer,) = member.handle(View(3, addresses(["w1"])))
    told = answer.holdings
    assert (told.state, told.epoch, told.resumed, told.former) == ("training", 1, 2, True)


def test_a_ring_that_begins_from_a_model_begins_with_that():
    member = Member("w1", TallyModel(blocks=1), Signature(2), seed=5)
    member.handle(View(1, addresses(["w1"])))
    model = {"tally/0": np.full(2, 9)}
    opened, job = member.handle(Resume(1, 4, EpochPlan(age=2), ("w1",), cold=True, tensors=model))
    assert opened.anew, "what is stored here may have the coordinates of another model"
    assert (opened.epoch, opened.params, job.params) == (4, model, model)
    assert job.visits
    assert job.token.tensors == model
