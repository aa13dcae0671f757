"""What the scores of a model say of y, a class or numbers, and how its loss takes y."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, Floats, Objective
from streammac.models.nets.activations import sigmoid
from streammac.models.nets.losses import Loss
from streammac.models.signature import Signature


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a net or of a linear model.

    Attributes
    ----------
    loss : Loss
        Of its scores.
    classes : int
        Classes that y may be; 0: y is numbers, or there is none, and x is to be told.
    """

    loss: Loss
    classes: int

    @property
    def scaled(self) -> bool:
        """Whether scores are numbers less their mean, in a unit of their own."""
        return not self.classes and self.loss.curvature == 1.0

    def count(self, signature: Signature) -> int:
        """Return how many there are."""
        return self.classes or signature.targets or signature.inputs

    def coded(self, params: Mapping[str, Array], y: Array | None, inputs: Floats) -> Floats:
        """Return targets as the loss takes them, (n, O) float32."""
        if y is None:
            return inputs
        if self.classes:
            return np.asarray(y == np.arange(self.classes), np.float32)
        if not self.scaled:
            return np.asarray(y, np.float32)
        return np.asarray((y - params["target/mean"]) / params["target/scale"], np.float32)

    def said(self, params: Mapping[str, Array], scores: Floats) -> Array:
        """Return the likeliest classes (n,), or numbers (n, O) in the units of y; of x where there is no y."""
        if self.classes:
            return np.asarray(scores.argmax(axis=1), np.int64)
        if not self.scaled:
            return sigmoid(scores)
        mean, scale = _units(params)
        return np.asarray(scores * scale + mean, np.float32)

    def in_units(
        self, params: Mapping[str, Array], weight: Floats, bias: Floats
    ) -> tuple[Floats, Floats]:
        """Return the (O, K) weights and (O,) biases of scores such that they are numbers in the units of y."""
        if not self.scaled:
            return weight, bias
        mean, scale = _units(params)
        return weight * scale[:, None], bias * scale + mean

    def outcomes(
        self, params: Mapping[str, Array], scores: Floats, coded: Floats, y: Array | None
    ) -> dict[str, Floats]:
        """Return ``loss``, and ``accuracy`` of classes, or ``squared_error`` of numbers, mean over targets; (n,)."""
        told = {"loss": self.loss.value(scores, coded)}
        if y is not None:
            apart = self.said(params, scores).reshape(y.shape) - y
            one = ("accuracy", apart == 0) if self.classes else ("squared_error", apart * apart)
            told[one[0]] = np.mean(one[1], axis=1, dtype=np.float32)
        return told

    def objective(self, scores: Floats, coded: Floats) -> Objective:
        """Return what is lost on points of which nothing is nested."""
        named = self.sums(scores, coded, self.loss.value(scores, coded))
        lost = named["loss"]
        return Objective(points=len(scores), penalised=lost, nested=lost, named=named)

    def sums(self, scores: Floats, coded: Floats, lost: Floats) -> dict[str, float]:
        """Return the sums over points that an objective names: ``loss``, and of classes how many are ``correct``."""
        named = {"loss": float(lost.sum(dtype=np.float64))}
        if self.classes:
            told = np.take_along_axis(coded, scores.argmax(axis=1)[:, None], axis=1)
            named["correct"] = float(told.sum())
        return named


def _units(params: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return the mean and the unit of what is told; one number, or one for each output."""
    side = "target" if "target/mean" in params else "input"
    return params[f"{side}/mean"], params[f"{side}/scale"]
