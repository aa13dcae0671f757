"""A net in numbers: its layers, the forward pass, and where each layer's coordinates lie beside those of the others.

Layer 1 sees centred and scaled inputs; the last one, the head, makes the scores of a loss. Units of a layer travel in
blocks (`streammac.models.layout`), so parameters are rows of one matrix a layer, in any layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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

    def linear(self, inputs: Floats) -> Floats:
        """Return the pre-activations of (n, inputs), (n, units)."""
        v: Floats = inputs @ self.weight.T
        v += self.bias
        return v

    def __call__(self, inputs: Floats) -> Floats:
        """Return the values of (n, inputs), (n, units)."""
        v = self.linear(inputs)
        return v if self.activation is None else self.activation.value(v)

    @property
    def steepness(self) -> float:
        """The largest factor by which a step of the inputs moves the values: that of a linear layer, its 2-norm."""
        # the largest eigenvalue of the smaller product; far cheaper than singular values
        W = self.weight.astype(np.float64)
        product = W @ W.T if len(W) <= W.shape[1] else W.T @ W
        slope = 1.0 if self.activation is None else self.activation.steepest
        return slope * float(np.sqrt(max(0.0, np.linalg.eigvalsh(product)[-1])))


@dataclass(frozen=True, slots=True)
class Net:
    """Layers one after the other.

    Attributes
    ----------
    hidden : tuple of Layer
        The first to the last hidden one, K.
    head : Layer
        Makes scores.
    """

    hidden: tuple[Layer, ...]
    head: Layer

    @classmethod
    def of(cls, params: Mapping[str, Array], activations: Sequence[Activation]) -> Net:
        """Return the net of these parameters."""

        def layer(name: str, activation: Activation | None) -> Layer:
            weight, bias = (layout.joined(params, name, what) for what in ("weight", "bias"))
            return Layer(weight, bias, activation)

        hidden = tuple(layer(kind(i), one) for i, one in enumerate(activations, 1))
        return cls(hidden, layer(HEAD, None))

    def features(self, inputs: Floats) -> Floats:
        """Return h_K of what layer 1 sees: what the head is to tell y from."""
        return self.forward(inputs)[-1]

    def forward(self, inputs: Floats) -> list[Floats]:
        """Return the values of all hidden layers, h_1 to h_K, from what layer 1 sees."""
        values: list[Floats] = []
        for layer in self.hidden:
            values.append(layer(values[-1] if values else inputs))
        return values


def seen(params: Mapping[str, Array], x: Floats) -> Floats:
    """Return what layer 1 sees of (n, D) points, ``(x - mean) / scale`` within `MOST`; made in their place."""
    x -= params["input/mean"]
    x /= params["input/scale"]
    return np.clip(x, -MOST, MOST, out=x)


def columns(widths: Sequence[int]) -> list[slice]:
    """Return where each layer's coordinates are among those of a point.

    >>> columns([256, 128])
    [slice(0, 256, None), slice(256, 384, None)]
    """
    ends = np.cumsum([0, *widths]).tolist()
    return [slice(first, last) for first, last in pairwise(ends)]
