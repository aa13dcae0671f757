"""A ring of real members over a network that delivers in any order."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.models.base import Objective
from streammac.models.shuffling import ring_order
from streammac.ring.actions import Improved, OpenEpoch, Report, Send, Train, Trained, ZStep
from streammac.ring.member import MAX_WAITING, Member
from streammac.wire.messages import EpochPlan, MemberAddress, Restart, Token, View
from tests.ring.tally import TallyModel


def view(names, number=1, epoch=0, plan=None, tensors=None) -> View:
    members = tuple(MemberAddress(name, f"at {name}") for name in names)
    return View(number, members, epoch, plan or EpochPlan(fresh=True), 0, tensors or {})


class Net:
    """Members, messages in flight and jobs in progress; `step` lets one random thing happen."""

    def __init__(self, names, epochs, seed, laps=2, blocks=3) -> None:
        self.rng = random.Random(seed)
        self.model = TallyModel(blocks, laps)
        self.members = {n: Member(n, self.model, 2, seed=5, epochs=epochs) for n in names}
        self.messages: list[tuple[str, object]] = []
        self.jobs: dict[str, list[object]] = {n: [] for n in names}
        self.visits: list[tuple[int, str, int, str]] = []
        self.reports: list[tuple[str, Report]] = []
        self.sent = 0

    def feed(self, name, event) -> None:
        for action in self.members[name].handle(event):
            match action:
                case Send():
                    self.sent += 1
                    self.messages.append((action.to, action.token))
                case Report():
                    self.reports.append((name, action))
                case OpenEpoch() | Train() | ZStep():
                    self.jobs[name].append(action)
        self.check()

    def check(self) -> None:
        """At most one training token of a block anywhere: under way, or held by one member."""
        newest = max(m.view for m in self.members.values())
        places: dict[tuple[int, str], int] = {}
        tokens = [t for _, t in self.messages if isinstance(t, Token)]
        for member in self.members.values():
            tokens += [*member.holding.values(), *member.waiting]
        for token in tokens:
            if token.view == newest and not token.final:
                key = (token.epoch, token.block)
                places[key] = places.get(key, 0) + 1
        assert all(count == 1 for count in places.values()), places

    def work(self, name) -> None:
        job = self.jobs[name].pop(0)
        if isinstance(job, Train):
            token = job.token
            self.visits.append((token.epoch, token.block, token.lap, name))
            state = {k: v + np.eye(len(v), dtype=v.dtype)[0] for k, v in token.tensors.items()}
            if job.ends_lap:
                state = self.model.end_lap(job.block, job.params, state, token.lap)
            self.feed(name, Trained(token, state))
        elif isinstance(job, ZStep):
            self.feed(name, Improved(job.view, job.epoch, Objective(points=1)))

    def step(self) -> bool:
        busy = [name for name, jobs in self.jobs.items() if jobs]
        choices = len(self.messages) + len(busy)
        if choices == 0:
            return False
        pick = self.rng.randrange(choices)
        if pick < len(self.messages):
            self.feed(*self.messages.pop(pick))
        else:
            self.work(busy[pick - len(self.messages)])
        return True

    def run(self, limit=100_000) -> None:
        while self.step():
            limit -= 1
            assert limit, "the ring does not come to rest"


@settings(deadline=None, max_examples=60)
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
    net.messages += [(name, view(names)) for name in names]
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
    assert all(member.state == "resting" for member in net.members.values())
    assert all(member.dropped == 0 for member in net.members.values())
    # the paper's communication: (e + 1) P - 2 hops for each block
    hops = (2 * size - 2) + (epochs - 1) * blocks * ((laps + 1) * size - 2)
    assert net.sent == (hops if size > 1 else 0)


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_everybody_ends_with_the_same_model(size, seed):
    names = [f"w{i}" for i in range(size)]
    net = Net(names, epochs=4, seed=seed)
    net.messages += [(name, view(names)) for name in names]
    net.run()
    models = [member.params for member in net.members.values()]
    for model in models[1:]:
        assert model.keys() == models[0].keys()
        for name, tensor in model.items():
            np.testing.assert_array_equal(tensor, models[0][name])
    # 3 proper epochs of 2 laps over everybody, and as many ends of laps
    np.testing.assert_array_equal(models[0]["tally/0"], [3 * 2 * size, 3 * 2])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 60))
def test_a_duplicated_token_is_dropped(seed, after):
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=3, seed=seed)
    net.messages += [(name, view(names)) for name in names]
    for _ in range(after):
        net.step()
    tokens = [(to, t) for to, t in net.messages if isinstance(t, Token)]
    copies = [(to, replace(t)) for to, t in tokens]
    net.check = lambda: None  # type: ignore[method-assign]  # a duplicate is what it looks for
    net.messages += copies
    net.run()
    assert len(net.visits) == len(set(net.visits))
    assert sum(member.dropped for member in net.members.values()) == len(copies)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 80), leaver=st.sampled_from(["w1", "w3"]))
def test_a_new_view_restarts_the_epoch_without_the_one_that_left(seed, after, leaver):
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=4, seed=seed)
    net.messages += [(name, view(names)) for name in names]
    for _ in range(after):
        net.step()
    known = [(r.epoch, r) for _, r in net.reports if r.params is not None]
    epoch, params, plan = 0, {}, EpochPlan(fresh=True)
    if known:
        epoch, newest = max(known, key=lambda pair: pair[0])
        epoch, params, plan = epoch + 1, dict(newest.params), newest.following
    rest = [n for n in names if n != leaver]
    net.messages = [m for m in net.messages if m[0] != leaver]
    net.jobs[leaver].clear()
    net.messages += [(n, view(rest, 2, epoch, plan, params)) for n in rest]
    net.reports.clear()
    net.run()
    assert all(net.members[n].state == "resting" for n in rest)
    done = {(n, r.epoch) for n, r in net.reports if r.view == 2}
    assert done == {(n, e) for n in rest for e in range(epoch, 4)}
    first, second = (net.members[n].params for n in rest)
    assert all(np.array_equal(first[k], second[k]) for k in first)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), after=st.integers(0, 100), fresh=st.booleans())
def test_a_restart_takes_effect_in_the_same_epoch_everywhere(seed, after, fresh):
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=8, seed=seed)
    net.messages += [(name, view(names)) for name in names]
    for _ in range(after):
        net.step()
    net.messages += [(name, Restart(1, fresh)) for name in names]
    net.run()
    plans: dict[int, set[EpochPlan]] = {}
    for _, report in net.reports:
        plans.setdefault(report.epoch, set()).add(report.plan)
    assert all(len(plan) == 1 for plan in plans.values())
    restarted = [e for e in sorted(plans) if next(iter(plans[e])).restart == 1]
    assert restarted, "the order came before the last epoch was planned"
    begin = next(iter(plans[restarted[0]]))
    assert (begin.age, begin.fresh) == (0, fresh)
    after_it = [next(iter(plans[e])).age for e in restarted[1:]]
    first = 0 if fresh else 1
    assert after_it == list(range(first, first + len(after_it)))


def test_blocks_start_where_the_ring_order_says():
    names = ["w1", "w2", "w3"]
    net = Net(names, epochs=2, seed=0, blocks=6)
    net.messages += [(name, view(names)) for name in names]
    net.run()
    order = ring_order(names, seed=5, epoch=1)
    for number in range(6):
        stops = [n for e, b, lap, n in net.visits if (e, b, lap) == (1, f"tally/{number}", 0)]
        start = number % 3
        assert tuple(stops) == (*order[start:], *order[:start])


def test_an_older_view_and_its_tokens_are_ignored():
    member = Member("w1", TallyModel(), 2, seed=0)
    member.handle(view(["w1", "w2"], number=5))
    assert member.handle(view(["w1"], number=4)) == []
    token = Token(4, 0, "origin", 0, ("w1",), False, None, {"origin": np.zeros(1)})
    assert member.handle(token) == []
    assert (member.view, member.dropped) == (5, 1)


def test_tokens_of_a_view_to_come_wait_for_it_within_a_limit():
    member = Member("w1", TallyModel(), 2, seed=0)
    token = Token(1, 0, "origin", 0, ("w1",), False, None, {"origin": np.zeros(1)})
    for _ in range(MAX_WAITING + 10):
        assert member.handle(token) == []
    assert (len(member.waiting), member.dropped) == (MAX_WAITING, 10)


@pytest.mark.parametrize("block", ["nothing of that name", "tally/0"])
def test_a_token_for_an_unknown_block_is_dropped(block):
    member = Member("w1", TallyModel(), 2, seed=0)
    member.handle(view(["w1", "w2"]))
    token = Token(1, 0, block, 0, ("w1",), False, None, {block: np.zeros(2)})
    assert member.handle(token) == []
    assert member.dropped == 1


def test_a_token_that_has_nothing_to_do_here_is_dropped():
    other, name = ring_order(["w1", "w2"], seed=0, epoch=0)  # the block starts at the other one
    member = Member(name, TallyModel(), 2, seed=0)
    member.handle(view(["w1", "w2"]))
    for final in (False, True):
        token = Token(1, 0, "origin", 0, (other,), final, None, {"origin": np.zeros(1)})
        assert member.handle(token) == []
        assert "origin" not in member.final
    assert member.dropped == 2
