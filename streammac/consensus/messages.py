"""What members of a consensus tell each other, what they are told, and what they ask of the process round them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from streammac.consensus.period import Period
from streammac.models.base import Floats

# -- between members ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """Parameters after the sender's own step, to be averaged in an iteration; it has left all former ones."""

    iteration: int
    w: Floats
    period: Period


@dataclass(frozen=True, slots=True)
class Heard:
    """An iteration has ended at the sender, and all before it (-1: none); in this one it has heard these.

    It may be told again without names, where the period has gone on.
    """

    iteration: int
    names: tuple[str, ...]
    period: Period


@dataclass(frozen=True, slots=True, eq=False)
class Push:
    """Of `PushSum`: a share of the sender's sum and of its weight."""

    iteration: int
    x: Floats
    weight: float


Message: TypeAlias = Offer | Heard

# -- to a member --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """The step that was asked for is made: the parameters after it."""

    w: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A message of another member. Those of one sender come in the order in which they were sent."""

    sender: str
    message: Message | Push


Event: TypeAlias = Stepped | Received

# -- from a member ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Send:
    """Send a message to another member."""

    to: str
    message: Message | Push


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Make a gradient step from these parameters, and answer with `Stepped`.

    Attributes
    ----------
    iteration : int
        Of which it is the step.
    w : (D,) float array
        Not to be changed.
    weights : mapping of str to float
        With whom, and with which weights, the last iteration ended; the rest up to 1 is its own.
    """

    iteration: int
    w: Floats
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """All iterations are made: the parameters, and the weights with which the last one ended."""

    w: Floats
    weights: Mapping[str, float]


Action: TypeAlias = Send | Step | Done
