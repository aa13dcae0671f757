"""What becomes of a token that arrives: it is taken, waits, or is dropped for a reason."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

from streammac.ring.current_view import CurrentView
from streammac.ring.epoch import Epoch
from streammac.wire.messages import Token


class Drop(Enum):
    """Why a token is dropped."""

    NO_ROOM = "it would have to wait longest, and too many do"
    OLD_VIEW = "it is of an older view"
    OLD_EPOCH = "it is of an epoch that is over here"
    NOT_TRAINING = "the member has no part in the training, or rests"
    UNKNOWN_BLOCK = "the epoch has no such block"
    NOT_ADDRESSED = "the member is not on its itinerary"
    DUPLICATE = "it has been here"
    MISFIT = "it is no copy of this epoch, or of somebody who has no part in it"


Admission: TypeAlias = Literal["take", "wait"] | Drop


def admit(token: Token, view: CurrentView, epoch: Epoch, name: str) -> Admission:
    """Decide what becomes of a token at the member with this name."""
    if token.view < view.number:
        return Drop.OLD_VIEW
    if view.is_early(token.view) or _is_ahead(token, epoch, name):
        return "wait"
    if token.epoch < epoch.number:
        return Drop.OLD_EPOCH
    if epoch.state != "training" and not (epoch.state == "joining" and token.final):
        return Drop.NOT_TRAINING
    if token.block not in epoch.blocks:
        return Drop.UNKNOWN_BLOCK
    if name not in token.itinerary:
        return Drop.NOT_ADDRESSED
    return Drop.DUPLICATE if _has_been_here(token, epoch) else "take"


def _is_ahead(token: Token, epoch: Epoch, name: str) -> bool:
    """Return whether a token is of an epoch that is still to be opened here."""
    catching_up = epoch.state == "joining" and name in epoch.trainers
    return token.epoch > epoch.number or (catching_up and token.epoch == epoch.number)


def _has_been_here(token: Token, epoch: Epoch) -> bool:
    copy = epoch.copies.get(token.block)
    if token.block in epoch.holding or (copy is not None and copy.final):
        return True
    return not token.final and token.lap <= epoch.trained.get(token.block, -1)
