"""Losses of a net's scores: what they are per point, and which scores lower them.

Targets are coded as an (n, O) array beside the scores. A point whose row of codes is all zeros where there are classes
has none of them, and no part in anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Floats
from streammac.models.nets.activations import sigmoid


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss of (n, O) scores s against (n, O) targets y.

    Attributes
    ----------
    value : callable
        Of each point, (n,).
    gradient : callable
        By the scores, (n, O): their squashed values less the targets.
    curvature : float
        No second derivative in any direction is larger.
    couples : bool
        The gradient of one output depends on the scores of the others.
    """

    value: Callable[[Floats, Floats], Floats]
    gradient: Callable[[Floats, Floats], Floats]
    curvature: float
    couples: bool


def probabilities(scores: Floats) -> Floats:
    """Return those of the classes, (n, O), rows add up to 1.

    >>> probabilities(np.array([[1e9, 1e9], [0.0, -1e9]], np.float32)).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers: Floats = scores - scores.max(axis=1, keepdims=True)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _squared(scores: Floats, y: Floats) -> Floats:
    residual = scores - y
    return np.asarray(0.5 * np.linalg.vecdot(residual, residual), np.float32)


def _logistic(scores: Floats, y: Floats) -> Floats:
    return np.asarray((np.logaddexp(np.float32(0), scores) - y * scores).sum(axis=1), np.float32)


def _of_logistic(scores: Floats, y: Floats) -> Floats:
    return sigmoid(scores) - y


def _cross_entropy(scores: Floats, y: Floats) -> Floats:
    top = scores.max(axis=1)
    total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    return np.asarray(y.sum(axis=1) * total - np.linalg.vecdot(y, scores), np.float32)


def _of_softmax(scores: Floats, y: Floats) -> Floats:
    p = probabilities(scores)
    p *= y.sum(axis=1, keepdims=True)
    p -= y
    return p


LOSSES: Mapping[str, Loss] = {
    "squared": Loss(_squared, np.subtract, 1.0, couples=False),
    "logistic": Loss(_logistic, _of_logistic, 0.25, couples=False),
    "softmax": Loss(_cross_entropy, _of_softmax, 0.5, couples=True),
}
