"""What lies between the coordinates of one place in a net and those of the next: a stage, a constraint on both.

A stage f is to give a point's coordinates z_k from those before, z_{k-1}. The Z step needs of it how far they are from
that, and in which directions either of them comes nearer. A gradient passes through the layers of one stage alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from streammac.models.base import Floats
from streammac.models.nets.activations import Activation
from streammac.models.nets.layers import Layer


class Stage(ABC):
    """A stage of a net."""

    @property
    @abstractmethod
    def activation(self) -> Activation:
        """Says which values the stage can give, and so which coordinates there are."""

    @property
    @abstractmethod
    def own_curvature(self) -> float:
        """The largest curvature of half of the squared residual in the stage's own coordinates."""

    @property
    @abstractmethod
    def below_curvature(self) -> float:
        """The same in the coordinates before."""

    @property
    def binding(self) -> bool:
        """Whether the constraint can come to hold for numbers near each other, so that multipliers make it hold."""
        return self.activation.slope is not None

    @property
    def direct(self) -> bool:
        """Whether the residual is the stage's own coordinates less what it gives."""
        return False

    @abstractmethod
    def __call__(self, below: Floats) -> Floats:
        """Return the values that the stage gives of (n, inputs)."""

    @abstractmethod
    def residual(self, below: Floats, own: Floats) -> Floats:
        """Return what is 0 where the constraint holds."""

    @abstractmethod
    def by_own(self, below: Floats, own: Floats) -> Floats:
        """Return the gradient of half of the squared residual by the stage's own coordinates."""

    @abstractmethod
    def by_below(self, below: Floats, own: Floats) -> Floats:
        """Return the same by the coordinates before."""


@dataclass(frozen=True, slots=True)
class Layers(Stage):
    """One layer or several, one after the other: coordinates are to be the values of the last one.

    Attributes
    ----------
    layers : tuple of Layer
        Those with coordinates of the stage's own only at the end.
    """

    layers: tuple[Layer, ...]

    @property
    def activation(self) -> Activation:
        """That of the last layer."""
        activation = self.layers[-1].activation
        assert activation is not None, "hidden layers have one"
        return activation

    @property
    def direct(self) -> bool:
        """Return True."""
        return True

    @property
    def own_curvature(self) -> float:
        """Return 1: the residual is the coordinates less something."""
        return 1.0

    @property
    def below_curvature(self) -> float:
        """Return what bounds it, all layers at their steepest."""
        return prod(layer.steepness**2 for layer in self.layers)

    def __call__(self, below: Floats) -> Floats:
        """See `Stage`."""
        for layer in self.layers:
            below = layer(below)
        return below

    def residual(self, below: Floats, own: Floats) -> Floats:
        """Return ``own - f(below)``."""
        return own - self(below)

    def by_own(self, below: Floats, own: Floats) -> Floats:
        """Return the residual."""
        return self.residual(below, own)

    def by_below(self, below: Floats, own: Floats) -> Floats:
        """Return it, by back-propagation through the layers of the stage."""
        values = [below]
        for layer in self.layers:
            values.append(layer(values[-1]))
        gradient = values[-1] - own
        for layer, value in zip(reversed(self.layers), reversed(values[1:]), strict=True):
            gradient = layer.back(value, gradient) @ layer.weight
        return np.asarray(gradient, np.float32)


def columns(widths: Sequence[int]) -> list[slice]:
    """Return where the coordinates of each stage are among those of a point.

    >>> columns([256, 128])
    [slice(0, 256, None), slice(256, 384, None)]
    """
    ends = np.cumsum([0, *widths]).tolist()
    return [slice(first, last) for first, last in pairwise(ends)]
