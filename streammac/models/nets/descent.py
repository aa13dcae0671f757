"""The W step of a net's units: gradient descent with momentum, normalised by the size of what they see.

A unit of a hidden layer is to give its coordinate from those of the layer before: a regression of its own. The head is
to tell y. A step is divided by the mean square of the inputs of its minibatch, as in the normalised least mean squares
filter: so one step size fits every layer. Layers of one stage are trained together, by back-propagation: the steps of
each are shorter by what the layers after it make of them.

The next shard may have other classes. Two rules keep units from being thrown about, or dead for good where they are
rectified: what all points of a minibatch have in common moves a unit no further than `COMMON` of the way; and of the
steps so far, which other shards wanted, what goes uphill here is forgotten (as with gradients of tasks that conflict,
Yu et al. 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from streammac.models.base import Array, Floats, Tensors
from streammac.models.nets.activations import Activation, sigmoid
from streammac.models.nets.layers import Layer
from streammac.models.nets.losses import Loss

MOMENTUM = 0.9
COMMON = 0.25
"""A step goes no further towards its minimum along the mean of the inputs. Points of one class are all near their mean:
there the mean square would let steps be so long that they end beyond the minimum."""
MOST_NORM = 4.0
"""No unit's weights are longer (Hinton et al. 2012): steps on one class, then on another, cannot add up without end."""


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a block, with what their next step knows of the last ones.

    Attributes
    ----------
    weight, bias : (units, inputs), (units,) float32
        Theirs.
    velocity, bias_velocity : as these
        The steps so far, each less than the one after it.
    """

    weight: Floats
    bias: Floats
    velocity: Floats
    bias_velocity: Floats

    @classmethod
    def at_rest(cls, weight: Floats, bias: Floats) -> Units:
        """Return units that have made no step."""
        return cls(weight, bias, np.zeros_like(weight), np.zeros_like(bias))

    @classmethod
    def of(cls, name: str, tensors: Mapping[str, Array]) -> Units:
        """Return those of a block; see `tensors`."""
        weight, bias = tensors[f"{name}/weight"], tensors[f"{name}/bias"]
        if f"{name}/velocity" not in tensors:
            return cls.at_rest(weight, bias)
        return cls(weight, bias, tensors[f"{name}/velocity"], tensors[f"{name}/bias_velocity"])

    def tensors(self, name: str) -> Tensors:
        """Return them as the state of a block."""
        return {
            f"{name}/weight": self.weight,
            f"{name}/bias": self.bias,
            f"{name}/velocity": self.velocity,
            f"{name}/bias_velocity": self.bias_velocity,
        }

    def copy(self) -> Units:
        """Return units that may be changed."""
        return Units(
            self.weight.copy(), self.bias.copy(), self.velocity.copy(), self.bias_velocity.copy()
        )

    def linear(self, inputs: Floats) -> Floats:
        """Return the pre-activations of (n, inputs), (n, units)."""
        return Layer(self.weight, self.bias).linear(inputs)

    def move(self, change: Floats, bias_change: Floats, rate: np.float32) -> None:
        """Make a step against a gradient, with momentum; in place, the gradient too."""
        self._turn_downhill(change, bias_change)
        for velocity, own, gradient in (
            (self.velocity, self.weight, change),
            (self.bias_velocity, self.bias, bias_change),
        ):
            gradient *= rate
            velocity *= np.float32(MOMENTUM)
            velocity -= gradient
            own += velocity
        self._keep_short()

    def _turn_downhill(self, change: Floats, bias_change: Floats) -> None:
        """Take out of each unit's velocity what goes up its gradient; in place."""
        up = np.linalg.vecdot(self.velocity, change) + self.bias_velocity * bias_change
        square = np.linalg.vecdot(change, change) + bias_change * bias_change
        share = np.maximum(up, 0) / np.maximum(square, np.float32(1e-30))
        self.velocity[:] -= share[:, None] * change
        self.bias_velocity[:] -= share * bias_change

    def keep_positive(self) -> None:
        """Make weights that are negative 0, and all biases, and forget the steps that made them so; in place."""
        self.velocity[self.weight < 0] = 0
        np.maximum(self.weight, 0, out=self.weight)
        self.bias[:], self.bias_velocity[:] = 0, 0

    def _keep_short(self) -> None:
        """Shorten weights that are too long, and forget the steps that made them so; in place."""
        lengths = np.sqrt(np.linalg.vecdot(self.weight, self.weight))
        long = lengths > MOST_NORM
        if long.any():
            self.weight[long] *= np.float32(MOST_NORM) / lengths[long, None]
            self.bias[long] = np.clip(self.bias[long], -MOST_NORM, MOST_NORM)
            self.velocity[long] = 0
            self.bias_velocity[long] = 0


@dataclass(frozen=True, slots=True)
class Slope:
    """The gradient of what units are to lower, by their pre-activations.

    Attributes
    ----------
    activation : Activation or None
        Of units that are to give their targets; None: the values are the pre-activations.
    loss : Loss or None
        Of the head.
    positive : bool
        The weights are not to be negative, and biases are to be 0: steps are projected.
    """

    activation: Activation | None = None
    loss: Loss | None = None
    positive: bool = False

    @property
    def curvature(self) -> float:
        """What its own slope is at most, where units are right about their targets; 1 suits all losses."""
        if self.activation is None:
            return 1.0
        return 0.25 if self.activation.slope is None else self.activation.steepest**2

    def __call__(self, v: Floats, target: Floats) -> Floats:
        """Return it for pre-activations and targets, (n, units) each."""
        if self.loss is not None:
            return self.loss.gradient(v, target)
        if self.activation is None:
            return v - target
        if self.activation.slope is None:  # a step: which side, by logistic regression
            return sigmoid(v) - np.float32(0.5) * (target + 1)
        values = self.activation.value(v)
        return (values - target) * self.activation.slope(values)


def trained(
    chain: Sequence[Units],
    inner: Sequence[Activation],
    pairs: Iterable[tuple[Floats, Floats]],
    slope: Slope,
    step: float,
    share: float = 1.0,
) -> list[Units]:
    """Return units after a step on each minibatch.

    Parameters
    ----------
    chain : sequence of Units
        Where they begin; those of several layers see each other's values, one after the other.
    inner : sequence of Activation
        Of all but the last.
    pairs : iterable of (inputs, targets)
        (n, inputs) of the first and (n, units) of the last, float32, of each minibatch.
    slope : Slope
        What the last ones are to lower.
    step : float
        The first one, of inputs whose mean square is 1.
    share : float
        So much of the first one, and of `COMMON`, are steps by now.
    """
    new = [units.copy() for units in chain]
    steps = [step * part for part in _shares(new, inner)]
    for inputs, targets in pairs:
        values = [inputs]
        for units, activation in zip(new, inner, strict=False):
            values.append(activation.value(units.linear(values[-1])))
        gradient = slope(new[-1].linear(values[-1]), targets)
        for number in range(len(new) - 1, -1, -1):
            units, below = new[number], values[number]
            change = gradient.T @ below
            bias_change = gradient.sum(axis=0)
            if number:
                gradient = Layer(units.weight, units.bias, inner[number - 1]).back(
                    below, gradient @ units.weight
                )
            size = float(np.vdot(below, below)) / len(below) + 1.0
            mean = below.mean(axis=0)
            common = float(np.vdot(mean, mean)) + 1.0
            rate = share * min(steps[number] / size, COMMON / (slope.curvature * common))
            units.move(change, bias_change, np.float32(rate / len(below)))
            if slope.positive:
                units.keep_positive()
    return new


def _shares(chain: Sequence[Units], inner: Sequence[Activation]) -> list[float]:
    """Return how much shorter the steps of each layer are than if it were trained alone: 1 where it is.

    What a step moves comes out of the layers after it, at their steepest, so much larger; and all layers move.
    """
    steep = [
        Layer(units.weight, units.bias).steepness * before.steepest
        for units, before in zip(chain[1:], inner, strict=True)
    ]
    after = [1.0, *accumulate(reversed(steep), lambda a, b: a * b)][::-1]
    return [1.0 / (len(chain) * most**2) for most in after]
