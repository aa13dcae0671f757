"""What a member's state machine asks of the process round it, and what that reports back.

`Send`, `Answer` and `Report` go to the network; `OpenEpoch`, `Train` and `ZStep` are jobs for the compute
thread, done one after the other in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from streammac.models.base import Array, Block, Floats, Objective, Tensors
from streammac.models.shuffling import WHOLE, Part
from streammac.wire.messages import (
    EpochPlan,
    EpochReport,
    Heard,
    Holdings,
    ModelState,
    Offer,
    Token,
    Wake,
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a token, a whole model, word that an epoch begins, or what copies are averaged by, to another member."""

    to: str
    message: Token | ModelState | Wake | Offer | Heard


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell the coordinator what is held here: it has announced a view."""

    holdings: Holdings


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    """Take a snapshot of the shard for this epoch; points that are new get their coordinates.

    ``anew``: so do all others. What they have is of another model. ``trainers``: so many members train in it.
    """

    view: int
    epoch: int
    plan: EpochPlan
    params: Mapping[str, Array]
    anew: bool = False
    trainers: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Train:
    """Train a token's block on the shard, and close the lap if this is its last stop.

    ``visits`` False: the lap is only closed; those who had still to train in it are gone. ``part`` is the slice of the
    shard that the epoch works on.
    """

    token: Token
    block: Block
    params: Mapping[str, Array]
    fresh: bool
    ends_lap: bool
    visits: bool = True
    part: Part = WHOLE


@dataclass(frozen=True, slots=True, eq=False)
class GradientStep:
    """Make a step from ``w``, the copy that is trained in a job, on the next minibatch of that job."""

    job: Train
    w: Floats


@dataclass(frozen=True, slots=True)
class ZStep:
    """Improve the coordinates of the shard with the epoch's final model, as far as the ``following`` one needs it."""

    view: int
    epoch: int
    plan: EpochPlan
    params: Mapping[str, Array]
    following: EpochPlan = field(default_factory=EpochPlan)


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the coordinator that the epoch is done here; ``params`` where it is ours to send the model."""

    view: int
    epoch: int
    plan: EpochPlan
    following: EpochPlan
    trainers: tuple[str, ...]
    objective: Objective
    params: Mapping[str, Array] | None

    def message(
        self,
        name: str,
        mu: float,
        sums: Mapping[str, float],
        seconds: Mapping[str, float],
        waited_s: float = 0.0,
    ) -> EpochReport:
        """Return it as a message of the member with this name, with what only the process round it knows."""
        return EpochReport(
            view=self.view,
            epoch=self.epoch,
            plan=self.plan,
            following=self.following,
            trainers=self.trainers,
            name=name,
            mu=mu,
            sums=dict(sums),
            seconds=dict(seconds),
            waited_s=waited_s,
            tensors=dict(self.params or {}),
        )


@dataclass(frozen=True, slots=True)
class TrainDone:
    """A `Train` job is done; ``tensors`` is the block's new state. ``points`` are all that are here; 0: not told."""

    job: Train
    tensors: Tensors
    points: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class GradientStepDone:
    """A `GradientStep` is made; ``points`` are all that are here."""

    step: GradientStep
    w: Floats
    points: int


@dataclass(frozen=True, slots=True)
class ZStepDone:
    """A `ZStep` job is done; ``settled``: all points were gone through by now, and hardly any changed."""

    view: int
    epoch: int
    objective: Objective
    settled: bool = False


@dataclass(frozen=True, slots=True)
class NewPoints:
    """Points to train on have been stored."""


Job: TypeAlias = OpenEpoch | Train | GradientStep | ZStep
Done: TypeAlias = TrainDone | GradientStepDone | ZStepDone
Action: TypeAlias = Send | Answer | Report | Job | TrainDone
"""A `TrainDone` among them: a job of this member that was no job for the compute thread; it is to be told at once."""
