"""What families do besides learning: some make codes, others predict, few are small. Who needs it asks for it here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.models.base import Array, Floats, NestedModel
from streammac.models.signature import Signature


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
