"""Linear regression from sums that add up over shards: the decoders of a binary autoencoder.

The Gram matrix of the codes and their products with the outputs are all that least squares needs. Sums
travel, one lap is enough, the solution is exact and there is no step size to tune: on a ring that beats SGD,
which needs as many bytes a hop and several laps (docs/decisions).
"""

from __future__ import annotations

import numpy as np

from streammac.models.base import Array, Floats, Tensors

RIDGE = 1e-3
"""Added to the Gram matrix, as a share of its mean diagonal: bits that never change do no harm then."""


def empty_sums(bits: int, outputs: int, prefix: str) -> Tensors:
    """Return the sums before the first batch; a constant input stands for the offset."""
    return {
        f"{prefix}gram": np.zeros((bits + 1, bits + 1)),
        f"{prefix}cross": np.zeros((bits + 1, outputs)),
    }


def add_batch(sums: Tensors, codes: Array, outputs: Floats, prefix: str) -> Tensors:
    """Return the sums with a batch added: ``codes`` (n, L) in {0, 1}, ``outputs`` (n, D)."""
    inputs = np.ones((len(codes), codes.shape[1] + 1), np.float32)
    inputs[:, :-1] = codes
    return {
        f"{prefix}gram": sums[f"{prefix}gram"] + inputs.T @ inputs,
        f"{prefix}cross": sums[f"{prefix}cross"] + inputs.T @ outputs,
    }


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
