"""Radon points: a robust middle of d + 2 vectors of length d, and the middle of many by rounds of these.

Of any r = d + 2 points, two groups can be made whose convex hulls meet (Radon's theorem): where sum_i l_i s_i = 0,
sum_i l_i = 0 and l != 0, the points with l_i >= 0 and those with l_i < 0 are such groups, and they meet in the *Radon
point*. Every half-space that contains it contains points of both groups: a single wild point cannot carry it away.

How it is computed. l is orthogonal to each column of the (r, d + 1) matrix [1, S], so it is the last column of Q in
its complete QR decomposition by Householder reflections. Two things follow.

* What is left of each of the equations is a rounding error of its own column, however badly conditioned the points are:
  inputs of very different scales need no scaling, and points that lie in a subspace, or several times in one place,
  are nothing special. There l is not unique; any of them gives a point in which two hulls meet.
* Nothing hangs on signs. Both groups give the same point, so their mean is it: the mean of all points with
  weights |l_i|. An l_i of zero is a weight of zero, on whichever side it is counted.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vectors: TypeAlias = NDArray[np.float64]


def radon_number(dimension: int) -> int:
    """Return how many vectors of this length a Radon point is made of."""
    return dimension + 2


def radon_weights(points: ArrayLike) -> Vectors:
    """Return l of a Radon point, (..., r), scaled so that each of the two groups has the sum 1.

    Parameters
    ----------
    points : (..., r, d) array
        Finite vectors, r = d + 2 of them in each group.

    Raises
    ------
    ValueError
        If there are more or fewer of them, or one is not finite.
    """
    given = np.asarray(points, np.float64)
    *_, number, dimension = given.shape
    if number != radon_number(dimension):
        raise ValueError(
            f"points: expected {radon_number(dimension)} of length {dimension}, got {number}"
        )
    if not np.isfinite(given).all():
        raise ValueError("points: expected finite numbers only")
    centred = given - given.mean(axis=-2, keepdims=True)
    largest = np.abs(centred).max(axis=-2, keepdims=True)
    # columns of one size: squares of what is very large or very small stay numbers
    scaled = np.divide(centred, largest, out=np.zeros_like(centred), where=largest > 0)
    ones = np.ones((*given.shape[:-1], 1))
    q, _ = np.linalg.qr(np.concatenate([ones, scaled], axis=-1), mode="complete")
    null = q[..., -1]
    weights: Vectors = 2.0 * null / np.abs(null).sum(axis=-1, keepdims=True)
    return weights


def radon_point(points: ArrayLike) -> Vectors:
    """Return the Radon points of (..., d + 2, d) vectors, (..., d).

    The corners of a square: where its diagonals cross. Three points on a line: the one between the others.

    >>> radon_point([[0, 0], [2, 0], [2, 2], [0, 2]]).round(9).tolist()
    [1.0, 1.0]
    >>> radon_point([[7.0], [0.0], [1.0]]).round(9).tolist()
    [1.0]
    """
    given = np.asarray(points, np.float64)
    share = np.abs(radon_weights(given)) / 2.0
    # from the first one on: where all are the same, so is what is found, to the last bit
    found: Vectors = given[..., 0, :] + np.einsum(
        "...r,...rd->...d", share, given - given[..., :1, :]
    )
    return found


def iterated_radon_point(points: ArrayLike, height: int) -> Vectors:
    """Return what ``height`` rounds leave of r^height vectors, each of which makes one of each r neighbours, (d,).

    Raises
    ------
    ValueError
        If there are not so many of them.

    References
    ----------
    Kamp, Boley, Missura, Gaertner: Effective parallelisation for machine learning, NeurIPS 2017, algorithm 1.
    """
    left = np.asarray(points, np.float64)
    number, dimension = left.shape
    r = radon_number(dimension)
    if height < 0 or number != r**height:
        raise ValueError(f"points: expected {r}^{height} of length {dimension}, got {number}")
    while len(left) > 1:
        left = radon_point(left.reshape(-1, r, dimension))
    found: Vectors = left[0]
    return found
