"""The neighbours' loss: what near points' codes lose by being far apart.

The penalised objective of a binary autoencoder says nothing of distances between codes, and those are what users
search by. So the hash functions have a second loss, which depends on them alone and leaves the Z step and the decoder
as they are. Of a pool of points some are queries; the true nearest of the others are known, and each query is to
give them high probability among all when the probability falls by a factor e with every bit of Hamming distance, or
every few bits of long codes (neighbourhood components analysis; Goldberger et al., NIPS 2004). Own bits are smooth,
``tanh(Wx + b)``; those of other blocks stand in the coordinates. All pairs are of one shard: no point leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Floats
from streammac.models.retrieval import true_neighbours

POOL = 1024
"""Points that are looked at together."""
QUERIES = 128
NEAREST = 1 / 300
"""Neighbours that count as true, as a share of the pool: what is looked for is close by."""
LEAST_NEAREST = 5
FALL = 1 / 32
"""The probability falls by a factor e with so much of the bits, or with one bit."""
LEAST_POINTS = 16
"""In a smaller pool everybody is everybody's neighbour."""


class Neighbours:
    """The points of one visit, gathered into pools.

    Parameters
    ----------
    part : slice
        The bits that are trained; those of the others are taken from the coordinates.
    weight : float
        Of this loss, beside the hinge loss.
    scale : float
        What inputs are to be divided by.
    dim : int
        How many of them are the point itself, and tell who is near; the others are features of it.
    """

    def __init__(self, part: slice, weight: float, scale: float, dim: int) -> None:
        self.weight = weight
        self._part = part
        self._dim = dim
        self._inverse = np.float32(1.0 / scale)
        self._x: list[Floats] = []
        self._z: list[NDArray[np.uint8]] = []
        self._points = 0

    def add(self, x: Floats, z: NDArray[np.uint8]) -> None:
        """Add centred points (n, D), of which a copy is kept, and all bits of their codes (n, L)."""
        self._x.append(x.copy())
        self._z.append(z)
        self._points += len(x)

    def gradients(
        self, weight: Floats, bias: Floats, *, rest: bool = False
    ) -> Iterator[tuple[Floats, Floats]]:
        """Yield the loss's gradient by weights and biases if a pool is full, or of the ``rest``; empty it."""
        if self._points < (LEAST_POINTS if rest else POOL):
            return
        x, z = np.concatenate(self._x), np.concatenate(self._z)
        self._x, self._z, self._points = [], [], 0
        others = np.delete(z, np.arange(z.shape[1])[self._part], axis=1).astype(np.float32)
        others *= 2.0
        others -= 1.0
        yield _gradient(weight, bias, x, others, _true(x[:, : self._dim]), self._inverse)


def _queries(points: int) -> NDArray[np.int64]:
    """Return which points of a pool are queries: one in so many, at most one in four."""
    return np.arange(0, points, max(4, points // QUERIES))


def _true(x: Floats) -> Floats:
    """Return which of (n, D) points are the nearest of each query, (q, n); rows add up to 1."""
    points = len(x)
    queries = _queries(points)
    rows = np.arange(len(queries))
    wanted = min(points // 4, max(LEAST_NEAREST, round(NEAREST * points)))
    near = true_neighbours(x, x[queries], wanted + 1)  # and itself
    true = np.zeros((len(queries), points), np.float32)
    true[rows[:, None], near] = 1.0
    true[rows, queries] = 0.0
    true /= true.sum(axis=1, keepdims=True)
    return true


def _gradient(
    weight: Floats, bias: Floats, x: Floats, others: Floats, true: Floats, inverse: np.float32
) -> tuple[Floats, Floats]:
    """Return the gradient of the mean over queries of the cross-entropy of their true neighbours.

    ``others`` are the (n, .) bits of other blocks, -1 or 1.
    """
    queries = _queries(len(x))
    bits = np.tanh(x @ (weight * inverse).T + bias)
    asked = bits[queries]
    # of +-1 bits the product is L - 2 distance: a constant does not matter to the softmax
    rate = np.float32(0.5 / max(1.0, FALL * (bits.shape[1] + others.shape[1])))
    push = asked @ bits.T
    push += others[queries] @ others.T
    push *= rate
    push[np.arange(len(queries)), queries] = -np.inf
    push -= push.max(axis=1, keepdims=True)
    np.exp(push, out=push)
    push /= push.sum(axis=1, keepdims=True)
    push -= true
    push *= rate / np.float32(len(queries))
    slope = push.T @ asked
    slope[queries] += push @ bits
    slope *= 1.0 - bits * bits
    return (slope.T @ x) * inverse, slope.sum(axis=0)
