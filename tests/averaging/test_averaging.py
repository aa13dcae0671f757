"""Consensus inside an epoch: who averages, and what a view, a leave and a dead member make of a copy."""

from __future__ import annotations

import weakref

import numpy as np

from streammac.averaging import AveragingMember
from streammac.consensus.rules import Backups
from streammac.models.base import Block
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.linear_model import LinearModel
from streammac.models.signature import Signature
from streammac.ring.admission import Drop
from streammac.ring.member_actions import (
    GradientStep,
    GradientStepDone,
    OpenEpoch,
    Send,
    TrainDone,
)
from streammac.wire.messages import EpochPlan, Heard, Offer, Resume, Token, View
from tests.ring.net import addresses

MODEL, SIGNATURE = ConsensusTraining(LinearModel(classes=3)), Signature(2, 1)
NAMES = ("w1", "w2", "w3")
EPOCH, LAST = 4, 5


def base() -> dict[str, np.ndarray]:
    init = Block("init", 1)
    return MODEL.end_lap(init, {}, MODEL.start(init, SIGNATURE, {}, 0), 0)


def member(
    name: str = "w1", groups: int = 3, names: tuple[str, ...] = NAMES
) -> tuple[AveragingMember, list]:
    """A member that begins an epoch, and what it does then."""
    made = AveragingMember(name, MODEL, SIGNATURE, seed=0, rule=Backups(0))
    made.handle(View(1, addresses(names)))
    plan = EpochPlan(groups=groups, iterations=LAST)
    return made, made.handle(Resume(1, EPOCH, plan, names, cold=True, tensors=base()))


def stepped(one: AveragingMember, step: GradientStep) -> list:
    return one.handle(GradientStepDone(step, step.w + 1, 10))


def steps(actions: list) -> list[GradientStep]:
    return [action for action in actions if isinstance(action, GradientStep)]


def told(actions: list, kind: type) -> dict[str, object]:
    return {a.to: a.message for a in actions if isinstance(a, Send) and isinstance(a.message, kind)}


def offer(
    of: str, like: np.ndarray, view: int = 1, epoch: int = EPOCH, iteration: int = 0
) -> Offer:
    return Offer(view, epoch, of, iteration, 0, (), {"w": like})


def to_the_end(one: AveragingMember, step: GradientStep) -> tuple[int, TrainDone]:
    """Make steps alone; return how many it took."""
    for made in range(1, LAST + 2):
        actions = stepped(one, step)
        done = [action for action in actions if isinstance(action, TrainDone)]
        if done:
            return made, done[0]
        (step,) = steps(actions)
    raise AssertionError("it does not end")


def viewed(one: AveragingMember, number: int = 2, leaving: tuple[str, ...] = (), **more) -> list:
    """A new view finds the epoch; each goes on with what it has."""
    staying = tuple(name for name in NAMES if name not in leaving)
    assert len(one.handle(View(number, addresses(staying), addresses(leaving)))) == 1
    holders = dict.fromkeys(one.epoch.holding, one.name) | more.pop("holders", {})
    plan = one.epoch.plan
    return one.handle(Resume(number, EPOCH, plan, staying, holders=holders, **more))


def test_all_at_whom_a_block_starts_average_and_say_when_they_wait():
    one, actions = member()
    assert isinstance(actions[0], OpenEpoch)
    (step,) = steps(actions)
    assert one.working
    offers = told(stepped(one, step), Offer)
    assert offers.keys() == {"w2", "w3"}
    assert not one.working, "who waits does not work, or nobody would notice a stall"
    assert one.ring_progress(busy=False).iterations == one.progress == 1
    (mine,) = {id(sent.tensors["w"]): sent for sent in offers.values()}.values()
    assert (mine.view, mine.epoch, mine.name, mine.iteration) == (1, EPOCH, "w1", 0)
    np.testing.assert_array_equal(mine.tensors["w"], step.w + 1)

    one.handle(offer("w2", step.w + 4))
    words = told(one.handle(offer("w3", step.w + 7)), Heard)
    assert words["w2"].names == ("w2", "w3")
    one.handle(Heard(1, EPOCH, "w2", 1, ("w1", "w3"), 0, ()))
    (following,) = steps(one.handle(Heard(1, EPOCH, "w3", 1, ("w1", "w2"), 0, ())))
    np.testing.assert_allclose(following.w, step.w + 4, rtol=1e-6)
    assert one.ring_progress(busy=False).neighbours == 2


def test_who_has_no_copy_has_no_part():
    found = {name: member(name, groups=2) for name in NAMES}
    starting = {name for name, (_, actions) in found.items() if steps(actions)}
    assert len(starting) == 2
    for name in starting:
        one, actions = found[name]
        assert told(stepped(one, *steps(actions)), Offer).keys() == starting - {name}


def test_one_alone_makes_all_iterations():
    one, actions = member(groups=1, names=("w1",))
    made, done = to_the_end(one, *steps(actions))
    assert made == LAST
    assert done.tensors["copy/0/weight"] == 1
    np.testing.assert_array_equal(done.tensors["copy/0/w"], steps(actions)[0].w + LAST)
    ended = one.handle(done)
    assert one.epoch.copies["copy/0"].final, "and the ring goes on"
    assert ended


def test_what_comes_early_waits_and_what_is_of_the_past_is_dropped():
    one, actions = member()
    (step,) = steps(actions)
    late = offer("w2", step.w, view=2, epoch=EPOCH + 1)
    assert one.handle(late) == []
    one.handle(offer("w2", step.w, view=0))
    one.handle(offer("w2", step.w, epoch=EPOCH - 1))
    assert one.dropped == {Drop.OLD_VIEW: 1, Drop.OLD_EPOCH: 1}
    before = AveragingMember("w1", MODEL, SIGNATURE, seed=0, rule=Backups(0))
    before.handle(View(1, addresses(NAMES)))
    assert before.handle(offer("w2", step.w)) == before.handle(offer("w3", step.w)) == []
    plan = EpochPlan(groups=3, iterations=LAST)
    actions = before.handle(Resume(1, EPOCH, plan, NAMES, cold=True, tensors=base()))
    assert told(stepped(before, *steps(actions)), Heard)["w2"].names == ("w2", "w3")


def test_of_what_comes_early_the_newest_is_kept_since_copies_are_large():
    one, actions = member()
    (step,) = steps(actions)
    copies = [step.w + number for number in range(LAST)]
    kept = [weakref.ref(copy) for copy in copies]
    for number in (1, 0, *range(2, LAST)):
        one.handle(offer("w2", copies[number], epoch=EPOCH + 1, iteration=number))
        one.handle(Heard(1, EPOCH + 1, "w2", number, (), 0, ()))
    del copies
    assert [number for number, copy in enumerate(kept) if copy() is not None] == [LAST - 1]


def test_what_cannot_be_is_dropped():
    one, actions = member()
    (step,) = steps(actions)
    wrong = [
        offer("w4", step.w),
        offer("w1", step.w),
        offer("w2", step.w[1:]),
        offer("w2", step.w.astype(np.float64)),
        offer("w2", step.w, iteration=LAST),
        Offer(1, EPOCH, "w2", 0, 0, (2,), {"w": step.w}),
        Offer(1, EPOCH, "w2", 0, LAST + 1, (), {"w": step.w}),
        Offer(1, EPOCH, "w2", 0, 0, (), {"v": step.w}),
        Heard(1, EPOCH, "w2", LAST + 1, (), 0, ()),
        Heard(1, EPOCH, "w2", 1, ("w4",), 0, ()),
    ]
    for message in wrong:
        assert one.handle(message) == []
    assert one.dropped == {Drop.MISFIT: len(wrong)}


def test_a_view_ends_the_averaging_and_each_goes_on_alone():
    one, actions = member()
    (step,) = steps(actions)
    assert not steps(stepped(one, step)), "it waits for the others"
    (following,) = steps(viewed(one))
    np.testing.assert_array_equal(following.w, step.w + 1)
    made, done = to_the_end(one, following)
    assert made == LAST - 1
    block = done.job.block.name
    np.testing.assert_array_equal(done.tensors[f"{block}/w"], step.w + LAST)


def test_a_step_that_a_view_finds_under_way_is_made_again():
    one, actions = member()
    (step,) = steps(actions)
    (again,) = steps(viewed(one))
    assert again is not step
    assert stepped(one, step) == []
    assert to_the_end(one, again)[0] == LAST


def test_nothing_is_sent_before_a_view_resumes():
    one, actions = member()
    (step,) = steps(actions)
    one.handle(View(2, addresses(NAMES)))
    assert stepped(one, step) == []
    assert not one.working


def test_who_leaves_ends_its_copy_as_far_as_it_is():
    one, actions = member()
    (step,) = steps(actions)
    stepped(one, step)
    (done,) = [a for a in viewed(one, leaving=("w1",)) if isinstance(a, TrainDone)]
    block = done.job.block.name
    assert done.tensors[f"{block}/weight"] == 1
    np.testing.assert_array_equal(done.tensors[f"{block}/w"], step.w + 1)
    assert told(one.handle(done), Token), "it passes it on"
    assert one.released

    untouched, _ = member()
    (done,) = [a for a in viewed(untouched, leaving=("w1",)) if isinstance(a, TrainDone)]
    assert done.tensors[f"{block}/weight"] == 0


def test_the_copy_of_a_dead_one_counts_for_nothing_where_one_is_trained_already():
    one, _ = member()
    (mine,) = one.epoch.holding
    alone = Resume(2, EPOCH, one.epoch.plan, ("w1",), holders={mine: "w1"})
    one.handle(View(2, addresses(["w1"])))
    actions = one.handle(alone)
    fallen = [action for action in actions if isinstance(action, TrainDone)]
    assert {done.job.block.name for done in fallen} == {"copy/0", "copy/1", "copy/2"} - {mine}
    assert all(done.tensors[f"{done.job.block.name}/weight"] == 0 for done in fallen)
    assert len(steps(actions)) == 1, "its own goes on"


def test_an_epoch_that_begins_anew_has_its_copies_anew():
    one, actions = member()
    (step,) = steps(actions)
    stepped(one, step)
    one.handle(View(2, addresses(NAMES)))
    again = Resume(2, EPOCH, one.epoch.plan, NAMES, cold=True, tensors=base())
    (anew,) = steps(one.handle(again))
    np.testing.assert_array_equal(anew.w, step.w)
    assert told(stepped(one, anew), Offer), "and is averaged"
