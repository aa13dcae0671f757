"""How well codes retrieve: the share of true neighbours among the first found by Hamming distance.

With the baselines that codes are compared to: ITQ, signs of principal components, signs of random projections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats
from streammac.models.hamming import Codes, Counts, at_distances, rows_at_distances
from streammac.models.rotations import (
    nearest_rotation,
    principal_components,
    procrustes,
    random_rotations,
)

Encode: TypeAlias = Callable[[Floats], Codes]
ROWS = 256
"""Queries handled at a time: bounds the memory for distances."""
ITQ_STEPS = 50


def true_neighbours(database: Floats, queries: Floats, count: int) -> NDArray[np.int64]:
    """Return the ``count`` nearest points of each query by Euclidean distance, (q, count), unordered."""
    norms = np.einsum("ij,ij->i", database, database)
    found = np.empty((len(queries), count), np.int64)
    for lo in range(0, len(queries), ROWS):
        distances = norms - 2.0 * (queries[lo : lo + ROWS] @ database.T)
        found[lo : lo + ROWS] = np.argpartition(distances, count - 1, axis=1)[:, :count]
    return found


def precisions(
    queries: Codes, database: Codes, neighbours: NDArray[np.int64], retrieved: int
) -> NDArray[np.float64]:
    """Return for each query the share of true neighbours among the first ``retrieved``, (q,).

    Points at the same Hamming distance are in no order: of those at the last distance that fits only in
    part, the expected share counts.

    Parameters
    ----------
    queries, database : (q, B) and (n, B) uint8
        Packed codes.
    neighbours : (q, K) int64
        True neighbours, from `true_neighbours`.
    retrieved : int
        How many are looked at.
    """
    bits = 8 * queries.shape[1]
    wanted = np.ones(neighbours.shape, np.bool_)
    true = rows_at_distances(queries, database, neighbours, wanted, bits)
    return found_among(at_distances(queries, database, bits), true, retrieved) / retrieved


def precision(
    queries: Codes, database: Codes, neighbours: NDArray[np.int64], retrieved: int
) -> float:
    """Return the mean of `precisions` over queries."""
    return float(precisions(queries, database, neighbours, retrieved).mean())


def found_among(points: Counts, true: Counts, first: int) -> NDArray[np.float64]:
    """Return how many true neighbours are expected among the first so many points, (q,).

    Parameters
    ----------
    points, true : (q, L + 1) int
        How many points, and how many true neighbours among them, are at each Hamming distance.
    first : int
        How many are looked at.

    Examples
    --------
    >>> found_among(np.array([[1, 4, 9]]), np.array([[1, 2, 3]]), 3).tolist()
    [2.0]
    """
    before = np.cumsum(points, axis=1) - points
    shares = np.clip((first - before) / np.maximum(points, 1), 0.0, 1.0)
    found: NDArray[np.float64] = (shares * true).sum(axis=1)
    return found


def entropies(on: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of bits that are on for these shares of the points: 1 balanced, 0 constant.

    >>> entropies(np.array([0.0, 0.5, 1.0])).tolist()
    [0.0, 1.0, 0.0]
    """
    share = np.stack([on, 1.0 - on])
    entropy: NDArray[np.float64] = (share * -np.log2(np.where(share > 0, share, 1.0))).sum(axis=0)
    return np.abs(entropy)  # no minus before a zero


def baselines(x: Floats, bits: int, rng: np.random.Generator) -> dict[str, Encode]:
    """Fit ITQ, PCA signs and random projections to (n, D) points; return their encoders by name."""
    mean = x.mean(axis=0)
    centred = x - mean
    fitted = linear_baselines(mean, centred.T @ centred, x, bits, rng)

    def signs_of(weight: Floats) -> Encode:
        return lambda points: np.packbits((points - mean) @ weight.T > 0, axis=1)

    return {name: signs_of(weight) for name, weight in fitted.items()}


def linear_baselines(
    mean: Floats, covariance: Array, sample: Floats, bits: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return the weights (bits, D) of ITQ, PCA signs and random projections, for points less their mean.

    Parameters
    ----------
    mean, covariance : (D,) and (D, D) arrays
        Of the points that they are fitted to; the covariance in any units.
    sample : (n, D) float32
        Points on which ITQ finds its rotation of the principal components.
    bits : int
        Length of the codes; beyond D, the bits of PCA are constant.
    rng : Generator
        Draws the random projections, and the rotation with which ITQ begins.
    """
    basis = principal_components(covariance, bits, rng).astype(np.float32)
    rotation = random_rotations(1, bits, rng)[0].astype(np.float32)
    projected = (sample - mean) @ basis
    for _ in range(ITQ_STEPS):
        rotation = nearest_rotation(procrustes(projected, rotation))
    random = rng.standard_normal((len(mean), bits)).astype(np.float32)
    return {"itq": (basis @ rotation).T, "pca": basis.T, "random": random.T}
