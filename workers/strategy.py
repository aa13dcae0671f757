"""Which state machine has a worker's part in training: a member of the ring, or one whose copy is averaged besides."""

from __future__ import annotations

from typing import Literal

from streammac.averaging import AveragingMember
from streammac.consensus.rules import rule_of
from streammac.models.base import NestedModel
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.signature import Signature
from streammac.ring.member import Member


def member_of(
    name: str,
    model: NestedModel,
    signature: Signature,
    seed: int,
    epochs: int = 0,
    *,
    rests: bool = False,
    backups: int | Literal["dynamic"] = 0,
) -> Member:
    """Return the member that trains a model; ``backups`` is ``training.backups``. Otherwise see `Member`."""
    if isinstance(model, ConsensusTraining):
        return AveragingMember(
            name, model, signature, seed, epochs, rests=rests, rule=rule_of(backups)
        )
    return Member(name, model, signature, seed, epochs, rests=rests)
