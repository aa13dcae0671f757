"""Each reason for which a token is dropped or waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from streammac.models.base import Block
from streammac.ring.admission import Drop, admit
from streammac.ring.current_view import CurrentView
from streammac.ring.epoch import Epoch
from streammac.wire.messages import EpochPlan, Resume, Token

PLAN = EpochPlan(age=3)
VIEW = CurrentView(5, ("me", "other"), resumed=5, resume=Resume(5, 3, PLAN, ("me", "other")))
FROZEN = replace(VIEW, resume=None)
TOKEN = Token(5, 3, "a", 1, ("me", "other"), False, None, {})
FINAL = structs.replace(TOKEN, final=True)


def epoch(state="training", trainers=("me", "other"), **more) -> Epoch:
    blocks = {"a": Block("a", 2), "b": Block("b", 2)}
    return Epoch(3, PLAN, state, blocks, trainers=trainers, **more)


@pytest.mark.parametrize(
    ("token", "view", "at", "expected"),
    [
        (TOKEN, VIEW, epoch(), "take"),
        (TOKEN, VIEW, epoch(trained={"a": 0}), "take"),
        (FINAL, VIEW, epoch("joining", trainers=("other",)), "take"),
        (TOKEN, FROZEN, epoch(), "wait"),
        (structs.replace(TOKEN, view=6), VIEW, epoch(), "wait"),
        (structs.replace(TOKEN, epoch=4), VIEW, epoch("z_step"), "wait"),
        (FINAL, VIEW, epoch("joining"), "wait"),  # its own part in this epoch begins with the model
        (structs.replace(TOKEN, view=4), VIEW, epoch(), Drop.OLD_VIEW),
        (structs.replace(TOKEN, view=4, epoch=4), FROZEN, epoch(), Drop.OLD_VIEW),
        (structs.replace(TOKEN, epoch=2), VIEW, epoch(), Drop.OLD_EPOCH),
        (TOKEN, VIEW, epoch("joining", trainers=("other",)), Drop.NOT_TRAINING),
        (TOKEN, VIEW, epoch("resting"), Drop.NOT_TRAINING),
        (structs.replace(TOKEN, block="c"), VIEW, epoch(), Drop.UNKNOWN_BLOCK),
        (structs.replace(TOKEN, itinerary=("other",)), VIEW, epoch(), Drop.NOT_ADDRESSED),
        (TOKEN, VIEW, epoch(trained={"a": 1}), Drop.DUPLICATE),
        (TOKEN, VIEW, epoch(holding={"a": object()}), Drop.DUPLICATE),
        (FINAL, VIEW, epoch(copies={"a": FINAL}), Drop.DUPLICATE),
    ],
)
def test_what_becomes_of_a_token(token, view, at, expected):
    assert admit(token, view, at, "me") == expected
