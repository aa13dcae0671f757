"""A layer of a net in numbers, and what layer 1 sees of a point.

Layer 1 sees centred and scaled inputs; the last one, the head, makes the scores of a loss. Units of a layer travel in
blocks (`streammac.models.layout`), so parameters are rows of one matrix a layer, in any layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models import layout
from streammac.models.base import Array, Floats
from streammac.models.nets.activations import Activation

HEAD = "head"
MOST = 100.0
"""Inputs are usually about 1 in size: a point far from all others does not own the net."""


def kind(number: int) -> str:
    """Return what the blocks of a hidden layer are called; the first one is 1."""
    return f"layer{number}"


@dataclass(frozen=True, slots=True)
class Layer:
    """Units that see the same inputs.

    Attributes
    ----------
    weight : (units, inputs) float32
        A row for each unit.
    bias : (units,) float32
        Added to each.
    activation : Activation or None
        None: the head.
    """

    weight: Floats
    bias: Floats
    activation: Activation | None = None

    @classmethod
    def of(cls, name: str, params: Mapping[str, Array], activation: Activation | None) -> Layer:
        """Return the layer of a name, from its units in any blocks."""
        weight, bias = (layout.joined(params, name, what) for what in ("weight", "bias"))
        return cls(weight, bias, activation)

    def linear(self, inputs: Floats) -> Floats:
        """Return the pre-activations of (n, inputs), (n, units)."""
        v: Floats = inputs @ self.weight.T
        v += self.bias
        return v

    def __call__(self, inputs: Floats) -> Floats:
        """Return the values of (n, inputs), (n, units)."""
        v = self.linear(inputs)
        return v if self.activation is None else self.activation.value(v)

    def back(self, values: Floats, gradient: Floats) -> Floats:
        """Return a gradient by the pre-activations from one by the values; a step's slope is taken for 1."""
        if self.activation is None or self.activation.slope is None:
            return gradient
        return gradient * self.activation.slope(values)

    @property
    def steepness(self) -> float:
        """The largest factor by which a step of the inputs moves the values: that of a linear layer, its 2-norm."""
        slope = 1.0 if self.activation is None else self.activation.steepest
        return slope * norm(self.weight)


def norm(matrix: Floats) -> float:
    """Return the 2-norm of a matrix."""
    # the largest eigenvalue of the smaller product; far cheaper than singular values
    W = matrix.astype(np.float64)
    product = W @ W.T if len(W) <= W.shape[1] else W.T @ W
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(product)[-1])))


def seen(params: Mapping[str, Array], x: Floats) -> Floats:
    """Return what layer 1 sees of (n, D) points, ``(x - mean) / scale`` within `MOST`; made in their place."""
    x -= params["input/mean"]
    x /= params["input/scale"]
    return np.clip(x, -MOST, MOST, out=x)
