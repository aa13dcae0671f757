"""Classifiers with scikit-learn's interface, whose fitted attributes are arrays or numbers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, Tensors
from streammac.models.learners.converter import Converter, NoConverter

CLASSES = np.array([0, 1], np.uint8)
MADE_ANEW = frozenset({"_loss_function_"})
"""Attributes that each `partial_fit` makes from the parameters."""
TRAVELS = frozenset({"|u1", "<f4", "<f8", "<i4", "<i8", "|b1"})
"""Types of arrays that travel."""


class Scikit(Converter):
    """A class of scikit-learn's.

    What a learner knows are the attributes that it has not had before it learnt. Where one is neither an array nor a
    number, learners of this class need a converter of their own.

    Parameters
    ----------
    kind : type
        The class.
    options, seed
        See `Converter`; the seed is the ``random_state``, unless that is among the options.
    """

    def __init__(self, kind: type, options: Mapping[str, Any], seed: int) -> None:
        self._kind = kind
        self._parameters = dict(options)
        if "random_state" in inspect.signature(kind).parameters:
            self._parameters.setdefault("random_state", seed % (1 << 32))
        self._from_start = frozenset(vars(self.learner({})))

    def learner(self, arrays: Mapping[str, Array]) -> Any:
        """See `Converter.learner`."""
        learner = self._kind(**self._parameters)
        for name, value in arrays.items():
            setattr(learner, name, value.copy() if value.ndim else value.item())
        return learner

    def learn(self, learner: Any, x: Floats, bits: NDArray[np.uint8]) -> None:
        """See `Converter.learn`."""
        learner.partial_fit(x, bits, classes=CLASSES)

    def arrays(self, learner: Any) -> Tensors:
        """See `Converter.arrays`."""
        known = vars(learner).items()
        return {
            name: self._array(name, value)
            for name, value in known
            if name not in self._from_start and name not in MADE_ANEW
        }

    def _array(self, name: str, value: Any) -> Array:
        array = (
            np.array(value) if isinstance(value, np.ndarray | np.generic | int | float) else None
        )
        if array is None or array.dtype.str not in TRAVELS:
            raise NoConverter(
                f"{self._kind.__name__} needs a converter of its own: its {name} is "
                f"{type(value).__name__ if array is None else array.dtype} - or a serialiser, see docs/learners.md"
            )
        return array

    def predict(self, arrays: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """See `Converter.predict`."""
        return np.asarray(self.learner(arrays).predict(x), np.uint8)
