"""The W step of a net's units: gradient descent with momentum, normalised by the size of what they see.

A unit of a hidden layer is to give its coordinate from those of the layer before: a regression of its own. The head is
to tell y. A step is divided by the mean square of the inputs of its minibatch, as in the normalised least mean squares
filter: so one step size fits every layer, and none is too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, Floats, Tensors
from streammac.models.nets.activations import Activation, sigmoid
from streammac.models.nets.losses import Loss

MOMENTUM = 0.9
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


@dataclass(frozen=True, slots=True)
class Slope:
    """The gradient of what units are to lower, by their pre-activations."""

    activation: Activation | None = None
    loss: Loss | None = None

    def __call__(self, v: Floats, target: Floats) -> Floats:
        """Return it for pre-activations and targets, (n, units) each."""
        if self.loss is not None:
            return self.loss.gradient(v, target)
        assert self.activation is not None, "hidden units have an activation"
        if self.activation.slope is None:  # a step: which side, by logistic regression
            return sigmoid(v) - np.float32(0.5) * (target + 1)
        values = self.activation.value(v)
        return (values - target) * self.activation.slope(values)


def trained(
    units: Units, pairs: Iterable[tuple[Floats, Floats]], slope: Slope, step: float
) -> Units:
    """Return units after a step on each minibatch.

    Parameters
    ----------
    units : Units
        Where they begin.
    pairs : iterable of (inputs, targets)
        (n, inputs) and (n, units) float32 of each minibatch.
    slope : Slope
        What they are to lower.
    step : float
        Of inputs whose mean square is 1.
    """
    new, keep = units.copy(), np.float32(MOMENTUM)
    for inputs, targets in pairs:
        v = inputs @ new.weight.T
        v += new.bias
        gradient = slope(v, targets)
        size = float(np.vdot(inputs, inputs)) / len(inputs) + 1.0
        rate = np.float32(step / size / len(inputs))
        for velocity, own, change in (
            (new.velocity, new.weight, gradient.T @ inputs),
            (new.bias_velocity, new.bias, gradient.sum(axis=0)),
        ):
            change *= rate
            velocity *= keep
            velocity -= change
            own += velocity
        _keep_short(new)
    return new


def _keep_short(units: Units) -> None:
    """Shorten weights that are too long, and forget the steps that made them so; in place."""
    lengths = np.sqrt(np.linalg.vecdot(units.weight, units.weight))
    long = lengths > MOST_NORM
    if long.any():
        units.weight[long] *= np.float32(MOST_NORM) / lengths[long, None]
        units.bias[long] = np.clip(units.bias[long], -MOST_NORM, MOST_NORM)
        units.velocity[long] = 0
        units.bias_velocity[long] = 0
