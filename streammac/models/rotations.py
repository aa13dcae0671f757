"""Principal components, rotations of them, and iterative quantisation (ITQ), from sums that add up over shards.

The first model begins with them, and baselines are made of them.

References
----------
Gong, Lazebnik: Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011.
"""

from __future__ import annotations

import numpy as np

from streammac.models.base import Array

DENSE_DIM = 1024
"""Up to so many inputs all eigenvectors are computed; above, subspace iteration finds the first ones."""
SUBSPACE_STEPS = 30


def mean_and_covariance(count: float, total: Array, products: Array) -> tuple[Array, Array]:
    """Return (D,) mean and (D, D) covariance of points, from their number and the sums of x and of x x^T."""
    count = max(1.0, count)
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def principal_components(covariance: Array, bits: int, rng: np.random.Generator) -> Array:
    """Return the (D, bits) directions of most variance; those beyond D are 0."""
    basis = np.zeros((len(covariance), bits))
    kept = min(bits, len(covariance))
    basis[:, :kept] = _leading(covariance, kept, rng)
    return basis


def random_rotations(count: int, bits: int, rng: np.random.Generator) -> Array:
    """Return so many random rotations, (count, bits, bits)."""
    rotations: Array = np.linalg.qr(rng.standard_normal((count, bits, bits)))[0]
    return rotations


def procrustes(projected: Array, rotations: Array) -> Array:
    """Return ITQ's sums over (n, L) points on principal components: which rotations suit their signs.

    ``rotations`` is (..., L, L), and so are the sums.
    """
    bits = projected.shape[1]
    beside = np.moveaxis(rotations, -2, 0).reshape(bits, -1)  # one product for all of them
    signs = np.asarray(projected @ beside, np.float32)
    np.copysign(np.float32(1), signs, out=signs)
    sums: Array = (projected.T @ signs).reshape(bits, *rotations.shape[:-2], bits)
    return np.moveaxis(sums, 0, -2)


def nearest_rotation(sums: Array) -> Array:
    """Return the rotation that ITQ goes on with, (..., L, L), from the sums of `procrustes` over all points."""
    left, _, right = np.linalg.svd(sums)
    return np.asarray(left @ right)


def _leading(covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """Return the eigenvectors of the largest eigenvalues, (D, count)."""
    if len(covariance) <= DENSE_DIM:
        vectors: Array = np.linalg.eigh(covariance)[1]
        return vectors[:, ::-1][:, :count]
    basis = np.linalg.qr(rng.standard_normal((len(covariance), min(len(covariance), 2 * count))))[0]
    for _ in range(SUBSPACE_STEPS):
        basis = np.linalg.qr(covariance @ basis)[0]
    small: Array = np.linalg.eigh(basis.T @ covariance @ basis)[1]
    return np.asarray(basis @ small[:, ::-1][:, :count])
