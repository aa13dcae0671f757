"""Learners whose state is not arrays: as the bytes of a serialiser that their owner has chosen, under a seal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from streammac.models.base import Array, Tensors
from streammac.models.learners import seal
from streammac.models.learners.scikit import Scikit

log = logging.getLogger(__name__)
SEALED = "sealed"


class Serialiser(Protocol):
    """What packages install: a module or an object like Python's own ``pickle``."""

    def dumps(self, obj: Any, /) -> bytes:
        """Return a learner as bytes."""
        ...

    def loads(self, data: bytes, /) -> Any:
        """Return the learner."""
        ...


class Serialised(Scikit):
    """A class with scikit-learn's interface, whatever its state is.

    Parameters
    ----------
    kind : type
        The class.
    name : str
        That of the learner and of the serialiser: seals say what they are of.
    serialiser : Serialiser
        What makes bytes of a learner. Those of equal learners are equal, or else training is not the same bit for bit.
    options, seed
        See `Scikit`.
    """

    def __init__(
        self,
        kind: type,
        name: str,
        serialiser: Serialiser,
        options: Mapping[str, Any],
        seed: int,
    ) -> None:
        self._name = name
        self._serialiser = serialiser
        super().__init__(kind, options, seed)
        log.warning(
            "%s: learners travel as bytes that may hold code; whoever has the cluster's key is believed",
            name,
        )

    def learner(self, arrays: Mapping[str, Array]) -> Any:
        """See `Converter.learner`."""
        if not arrays:
            return super().learner({})
        return self._serialiser.loads(seal.opened(arrays[SEALED].tobytes(), self._name))

    def arrays(self, learner: Any) -> Tensors:
        """See `Converter.arrays`."""
        data = seal.sealed(self._serialiser.dumps(learner), self._name)
        return {SEALED: np.frombuffer(data, np.uint8).copy()}
