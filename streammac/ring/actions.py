"""What a member's state machine asks of the process round it, and what that reports back.

`Send` and `Report` go to the network; `OpenEpoch`, `Train` and `ZStep` are jobs for the compute thread, done
one after the other in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from streammac.models.base import Array, Block, Objective, Tensors
from streammac.wire.messages import EpochPlan, Token


@dataclass(frozen=True, slots=True)
class Send:
    """Send a token to another member."""

    to: str
    token: Token


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    """Take a snapshot of the shard for this epoch; points that are new get their coordinates."""

    view: int
    epoch: int
    plan: EpochPlan
    params: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Train:
    """Train a token's block on the shard, and close the lap if this is its last stop."""

    token: Token
    block: Block
    params: Mapping[str, Array]
    fresh: bool
    ends_lap: bool


@dataclass(frozen=True, slots=True)
class ZStep:
    """Improve the coordinates of the shard with the epoch's final model."""

    view: int
    epoch: int
    plan: EpochPlan
    params: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the coordinator that the epoch is done here; ``params`` where it is ours to send the model."""

    view: int
    epoch: int
    plan: EpochPlan
    following: EpochPlan
    objective: Objective
    params: Mapping[str, Array] | None


@dataclass(frozen=True, slots=True)
class Trained:
    """A `Train` job is done; ``tensors`` is the block's new state."""

    token: Token
    tensors: Tensors


@dataclass(frozen=True, slots=True)
class Improved:
    """A `ZStep` job is done."""

    view: int
    epoch: int
    objective: Objective


Job: TypeAlias = OpenEpoch | Train | ZStep
Action: TypeAlias = Send | Report | Job
Done: TypeAlias = Trained | Improved
