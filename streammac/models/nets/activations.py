"""Activations of hidden layers, with what their W and Z steps need to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Floats


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of one number, applied to each.

    Attributes
    ----------
    value : callable
        f(v), of pre-activations of any shape; may be made in place.
    slope : callable or None
        f'(v), from f(v). None: f is a step, and has none.
    steepest : float
        The largest slope.
    least, most : float
        Where the values lie, and so the coordinates.
    """

    value: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats] | None
    steepest: float
    least: float
    most: float

    def within(self, z: Floats) -> Floats:
        """Return coordinates with those that no input could give moved to the nearest that one could; in place."""
        return np.clip(z, self.least, self.most, out=z)


def sigmoid(v: Floats) -> Floats:
    """Return 1 / (1 + exp(-v)).

    >>> sigmoid(np.array([-1e9, 0.0, 1e9], np.float32)).tolist()
    [0.0, 0.5, 1.0]
    """
    half = np.float32(0.5)
    values: Floats = np.tanh(half * v)
    values *= half
    values += half
    return values


def _relu(v: Floats) -> Floats:
    return np.maximum(v, 0, out=v)


def _sign(v: Floats) -> Floats:
    return np.where(v > 0, np.float32(1), np.float32(-1))


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(_relu, lambda f: np.asarray(f > 0, np.float32), 1.0, 0.0, np.inf),
    "tanh": Activation(np.tanh, lambda f: 1 - f * f, 1.0, -1.0, 1.0),
    "sigmoid": Activation(sigmoid, lambda f: f * (1 - f), 0.25, 0.0, 1.0),
    "step": Activation(_sign, None, 0.0, -1.0, 1.0),
}
"""By name; ``step`` is -1 or 1."""
