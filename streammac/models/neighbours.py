"""The neighbours' loss: what near points' codes lose by being far apart.

The penalised objective of a binary autoencoder says nothing of distances between codes, and those are what users
search by. So the hash functions have a second loss, which depends on them alone and leaves the Z step and the decoder
as they are. Of a pool of points some are queries; the true nearest of the others are known, and each query is to
give them high probability among all when the probability falls by a factor e with every bit of Hamming distance, or
every few bits of long codes (neighbourhood components analysis; Goldberger et al., NIPS 2004). Own bits are smooth,
``tanh(Wx + b)``; those of other blocks stand in the coordinates. All pairs are of one shard: no point leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass

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


class Pool:
    """The points of one visit that are looked at together next; for models in numpy.

    Parameters
    ----------
    loss : Neighbours
        What they lose.
    dim : int
        How many inputs are the point itself, and tell who is near; the others are features of it.
    """

    def __init__(self, loss: Neighbours, dim: int) -> None:
        self.weight = loss.weight
        self._loss = loss
        self._dim = dim
        self._x: list[Floats] = []
        self._z: list[NDArray[np.uint8]] = []
        self._activations: list[Floats] = []
        self._points = 0

    def add(self, x: Floats, z: NDArray[np.uint8]) -> None:
        """Add centred points (n, D), of which a copy is kept, and all bits of their codes (n, L)."""
        self._x.append(x.copy())
        self._z.append(z)

    def meet(self, activations: Floats) -> None:
        """Say what the hash functions made of the next points that were added, (n, bits)."""
        self._activations.append(activations)
        self._points += len(activations)

    def slopes(self, *, rest: bool = False) -> tuple[Floats, Floats] | None:
        """Return the points and the loss's slopes if the pool is full, or has enough for the ``rest``; empty it."""
        if self._points < (LEAST_POINTS if rest else POOL):
            return None
        met = len(self._activations)  # more may have been added: step sizes are tuned ahead
        x, z = np.concatenate(self._x[:met]), np.concatenate(self._z[:met])
        activations = np.concatenate(self._activations)
        self._x, self._z, self._activations, self._points = self._x[met:], self._z[met:], [], 0
        return x, self._loss.slopes(activations, z, nearest(x[:, : self._dim]))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The loss.

    Parameters
    ----------
    part : slice
        The bits that are trained; those of the others are taken from the coordinates.
    weight : float
        Of this loss, beside the hinge loss.
    """

    part: slice
    weight: float

    def rate(self, length: int) -> np.float32:
        """Return by how much a logit grows with the product of two codes of so many bits that are +-1.

        The product is L - 2 distance, and a constant does not matter to the softmax.
        """
        return np.float32(0.5 / max(1.0, FALL * length))

    def slopes(
        self, activations: Floats, z: NDArray[np.uint8], near: NDArray[np.integer]
    ) -> Floats:
        """Return the loss's derivatives by the activations ``Wx + b`` of a pool's points, (n, bits).

        The loss is the mean over queries of the cross-entropy of their true neighbours ``near`` (`nearest`).
        ``z`` (n, L) are all bits of the codes.
        """
        queries = _queries(len(z))
        rows = np.arange(len(queries))[:, None]
        bits = np.tanh(activations)
        # own bits are smooth, the others stand in the coordinates
        codes = z.astype(np.float32)
        codes *= 2.0
        codes -= 1.0
        codes[:, self.part] = bits
        rate = self.rate(codes.shape[1])
        push: Floats = np.asarray((codes[queries] * rate) @ codes.T, np.float32)
        push[rows[:, 0], queries] = -np.inf
        push -= push.max(axis=1, keepdims=True)
        np.exp(push, out=push)
        push /= push.sum(axis=1, keepdims=True)
        push[rows, near] -= np.float32(1.0 / near.shape[1])
        asked = bits[queries]
        slopes: Floats = np.asarray(push.T @ asked, np.float32)
        slopes[queries] += push @ bits
        slopes *= rate / np.float32(len(queries))
        bits *= bits
        slopes *= 1.0 - bits
        return slopes


def spacing(points: int) -> int:
    """Return that one in so many points of a pool is a query."""
    return max(4, points // QUERIES)


def nearest_of(points: int) -> int:
    """Return how many neighbours are true in a pool of so many points."""
    return min(points // 4, max(LEAST_NEAREST, round(NEAREST * points)))


def _queries(points: int) -> NDArray[np.int64]:
    """Return which points of a pool are queries."""
    return np.arange(0, points, spacing(points))


def nearest(x: Floats) -> NDArray[np.int64]:
    """Return the nearest other points of each query of a pool (n, D), (queries, k)."""
    points = len(x)
    queries = _queries(points)
    wanted = nearest_of(points)
    found = true_neighbours(x, x[queries], wanted + 1)
    # the query itself, or of many points at the same place any one, goes
    itself = found == queries[:, None]
    itself[~itself.any(axis=1), 0] = True
    others: NDArray[np.int64] = found[~itself].reshape(len(queries), wanted)
    return others
