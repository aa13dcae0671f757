"""What is needed of a kind of learner so that it can be a hash function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.models.base import Array, Floats, Tensors


class NoConverter(StreammacError, ValueError):
    """A learner's state is not all arrays and numbers: somebody has to say how it travels."""


class LearnerFailed(StreammacError, ArithmeticError):
    """A library could not go on with its numbers: the points of the visit have no part in training."""


class Converter(ABC):
    """One kind of learner with its options.

    A learner is given the same points on each of two machines: it has to do the same on both, so whatever is random
    in it depends on the seed and on its state.

    Parameters
    ----------
    options : mapping
        What the user asks for: ``model.options.learner_options``. Unknown ones raise TypeError or ValueError.
    seed : int
        Of all that is random.
    """

    @abstractmethod
    def __init__(self, options: Mapping[str, Any], seed: int) -> None: ...

    @abstractmethod
    def learner(self, arrays: Mapping[str, Array]) -> Any:
        """Return the learner that has this state, or one that has learnt nothing; ``arrays`` stay as they are."""

    @abstractmethod
    def learn(self, learner: Any, x: Floats, bits: NDArray[np.uint8]) -> None:
        """Train on a minibatch: finite points (n, D) and a bit of each, (n,) of 0 and 1.

        The first minibatch of a learner has both.
        """

    @abstractmethod
    def arrays(self, learner: Any) -> Tensors:
        """Return all of a learner's state, finite; it shares no memory with the learner."""

    @abstractmethod
    def predict(self, arrays: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """Return the bits that a learner in this state predicts of finite points, (n,) of 0 and 1."""
