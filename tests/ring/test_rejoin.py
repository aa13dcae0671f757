"""What a member answers to a view, and what others get from it when the ring resumes."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models.base import Block
from streammac.ring import rejoin
from streammac.ring.current_view import CurrentView
from streammac.ring.epoch import Epoch
from streammac.ring.member_actions import Send
from streammac.wire.messages import Copy, EpochPlan, Holdings, ModelState, Resume, Token

MEMBERS = ("a", "b", "c", "d")
PLAN = EpochPlan(age=3)


def token(block, itinerary=(), *, lap=0, final=False, view=6, epoch=3) -> Token:
    return Token(view, epoch, block, lap, itinerary, final, None, {block: np.ones(1)})


@pytest.fixture
def epoch():
    former = {name: token(name, ("c",), lap=1, final=True, epoch=2) for name in ("x", "y")}
    blocks = {name: Block(name, 2) for name in ("x", "y")}
    copies = {"y": token("y", ("a", "b"), view=5), "x": token("x", ("c", "gone"), lap=1)}
    start = Epoch(3, PLAN, "training", blocks, {"x": np.zeros(1)}, former, copies=copies)
    return start.lined_up(MEMBERS, ("a", "b", "c"), seed=1)


def resume(**more) -> Resume:
    return Resume(**{"view": 7, "epoch": 3, "plan": PLAN, "trainers": ("a", "b", "c"), **more})


def test_an_answer_tells_how_far_each_copy_is(epoch):
    epoch.holding["x"] = object()
    assert rejoin.holdings(epoch, CurrentView(7, MEMBERS, resumed=6), "a") == Holdings(
        view=7,
        name="a",
        state="training",
        epoch=3,
        plan=PLAN,
        trainers=("a", "b", "c"),
        copies=(
            Copy("x", 1, False, ("c", "gone"), True, 6),
            Copy("y", 0, False, ("a", "b"), view=5),
        ),
        resumed=6,
        former=True,
    )


def test_who_joins_gets_the_model_and_who_is_behind_the_last_copies_each_for_itself(epoch):
    wanted = resume(joining=("d",), absent=("b", "d"), donors={"b": "a", "c": "b", "d": "a"})
    late_x, late_y, model = rejoin.gifts(epoch, wanted, "a")
    for sent, block in ((late_x, "x"), (late_y, "y")):
        assert sent.to == "b"
        assert (sent.message.block, sent.message.view) == (block, 7)
        assert (sent.message.itinerary, sent.message.final) == (("b",), True), "it goes no further"
    assert model == Send("d", ModelState(7, 3, epoch.base))
    assert rejoin.gifts(epoch, wanted, "c") == []


@pytest.mark.parametrize("change", ["another epoch", "no model"])
def test_who_is_at_another_epoch_or_has_no_model_has_nothing_to_give(epoch, change):
    if change == "no model":
        epoch.base = None
    wanted = resume(epoch=4 if change == "another epoch" else 3, joining=("d",), donors={"d": "a"})
    assert rejoin.gifts(epoch, wanted, "a") == []


def test_who_goes_on_has_only_its_own_blocks_in_hand_and_strikes_off_who_is_gone(epoch):
    epoch.holding |= {"x": "job of x", "y": "job of y"}
    there = rejoin.go_on(epoch, MEMBERS, resume(holders={"x": "a", "y": "b"}), 1, "a")
    assert there.holding == {"x": "job of x"}
    assert (there.copies["x"].itinerary, there.copies["x"].view) == (("c",), 7)
    assert there.copies["y"] is epoch.copies["y"], "what another goes on with stays as it was"
    assert there.trained == {"x": 1, "y": -1}, "in the lap of y it has not trained"


def test_a_final_copy_still_goes_to_those_who_are_absent():
    final = token("x", ("b", "gone"), final=True)
    there = rejoin.edited(final, MEMBERS, resume(absent=("d",), trainers=("a",)))
    assert there.itinerary == ("b", "d")
