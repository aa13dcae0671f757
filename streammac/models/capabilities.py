"""What families do for users besides learning: some make codes, others predict. Who needs it asks for it here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.models.base import Array, Floats, NestedModel


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
