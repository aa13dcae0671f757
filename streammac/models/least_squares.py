"""Linear regression from sums that add up over shards: the decoders of a binary autoencoder.

The Gram matrix of the codes and their products with the outputs are all that least squares needs. Sums
travel, one lap is enough, the solution is exact (but for a tiny ridge) and there is no step size to tune:
on a ring that beats SGD, which needs as many bytes a hop and several laps (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, Floats, Tensors

RIDGE = 1e-6
"""Added to the Gram matrix, as a share of its mean diagonal: bits that never change do no harm then."""


@dataclass(slots=True)
class Sums:
    """What least squares needs of the points seen so far; a constant input stands for the offset.

    ``gram`` is (L + 1, L + 1), ``cross`` (L + 1, outputs), both float64.
    """

    gram: Array
    cross: Array

    @classmethod
    def empty(cls, bits: int, outputs: int) -> Sums:
        """Return the sums before the first batch."""
        return cls(np.zeros((bits + 1, bits + 1)), np.zeros((bits + 1, outputs)))

    @classmethod
    def of(cls, tensors: Mapping[str, Array], prefix: str) -> Sums:
        """Return a copy of the sums that have travelled as tensors."""
        return cls(tensors[f"{prefix}gram"].copy(), tensors[f"{prefix}cross"].copy())

    def tensors(self, prefix: str) -> Tensors:
        """Return them as tensors, to travel."""
        return {f"{prefix}gram": self.gram, f"{prefix}cross": self.cross}

    def add(self, codes: Array, outputs: Floats, scale: float = 1.0) -> None:
        """Add a batch: ``codes`` (n, L) in {0, 1}, ``scale`` times ``outputs`` (n, D)."""
        inputs = np.ones((len(codes), codes.shape[1] + 1), np.float32)
        inputs[:, :-1] = codes
        self.gram += inputs.T @ inputs
        cross = inputs.T @ outputs
        cross *= np.float32(scale)
        self.cross += cross

    def include(self, others: Sums, outputs: slice) -> None:
        """Add the sums of others, which have these of their outputs in common."""
        self.gram += others.gram
        self.cross += others.cross[:, outputs]


def solve(gram: Array, cross: Array) -> tuple[Floats, Floats]:
    """Return the weights (outputs, L) and the offsets (outputs,); zeros where nothing was added."""
    bits = len(gram) - 1
    if gram[-1, -1] == 0:
        return np.zeros((cross.shape[1], bits), np.float32), np.zeros(cross.shape[1], np.float32)
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    ridge[-1, -1] = 0.0  # the offset is free
    solution = np.linalg.solve(gram + ridge, cross).T
    return (
        np.ascontiguousarray(solution[:, :-1], np.float32),
        np.ascontiguousarray(solution[:, -1], np.float32),
    )
