"""What families do besides learning: some make codes, others predict, few are small. Who needs it asks for it here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.models.base import Array, Batch, Floats, NestedModel, Objective, Tensors
from streammac.models.signature import Signature
from streammac.points.block import PointBlock


class Incapable(StreammacError, TypeError):
    """A family is asked for what it does not do; the message says what it does."""


class Codes(ABC):
    """A family whose coordinates are bits: users search by them."""

    @abstractmethod
    def encode(self, params: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """Return what users search with: (n, ceil(L / 8)) packed codes, most significant bit first."""

    @abstractmethod
    def decode(self, params: Mapping[str, Array], z: Array) -> Floats:
        """Return the (n, D) reconstruction of coordinates."""

    @abstractmethod
    def aligned(self, params: Mapping[str, Array], x: Floats, z: Array) -> Mapping[str, Array]:
        """Return the same model, what is of no consequence chosen so that its coordinates are most like others.

        ``z`` are those of ``x`` by a model that users have codes of.
        """


class Predictions(ABC):
    """A family that says of x what y is."""

    @abstractmethod
    def predict(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return the classes of (n, D) points, (n,) int64, or the numbers, (n, K) float32; x may be overwritten."""


class Vectorial(ABC):
    """A family whose parameters are a vector, in one block of one lap: models of it have a Radon point."""

    @abstractmethod
    def parameters(self, signature: Signature) -> int:
        """Return the length of the vector."""


class Differentiable(ABC):
    """A family whose loss has a gradient by all its parameters: whole models of it are trained by steps along that."""

    @property
    def without_gradient(self) -> str:
        """Why a model with these options has none after all; empty: it has one."""
        return ""

    @abstractmethod
    def steered(self, params: Mapping[str, Array]) -> Tensors:
        """Return what steps change, always in the same order: parameters, and what the next one knows of the last ones.

        Where that is not among ``params``, it is as before the first step.
        """

    @abstractmethod
    def stepped(self, params: Mapping[str, Array], batch: Batch, age: float) -> Tensors:
        """Return the same after a step along the mean gradient of a minibatch, in an epoch of this age."""

    @abstractmethod
    def objective(self, params: Mapping[str, Array], points: PointBlock) -> Objective:
        """Return what the model loses on points; x may be overwritten."""


def codes_of(model: NestedModel) -> Codes:
    """Return a model that makes codes.

    Raises
    ------
    Incapable
        If it does not.
    """
    if isinstance(model, Codes):
        return model
    raise Incapable(f"a model of the family {model.family} makes no codes - it predicts")


def check_vectorial(model: NestedModel) -> None:
    """Raise unless the parameters of a model are a vector.

    Raises
    ------
    Incapable
        If they are not.
    """
    if not isinstance(model, Vectorial):
        raise Incapable(
            f"training.strategy: models of the family {model.family} have no Radon points: they are no short vectors "
            'of parameters - use "ring", or the family linear'
        )


def check_differentiable(model: NestedModel) -> None:
    """Raise unless the loss of a model has a gradient.

    Raises
    ------
    Incapable
        If it has none.
    """
    if not isinstance(model, Differentiable):
        raise Incapable(
            f"model.family: {model.family} has no gradient by all its parameters, which copies are trained by - use "
            'linear or deep_net, or training.strategy = "ring"'
        )
    if model.without_gradient:
        raise Incapable(f'{model.without_gradient} - or use training.strategy = "ring"')


def predictions_of(model: NestedModel) -> Predictions:
    """Return a model that predicts.

    Raises
    ------
    Incapable
        If it does not.
    """
    if isinstance(model, Predictions):
        return model
    raise Incapable(f"a model of the family {model.family} predicts nothing - it makes codes")
