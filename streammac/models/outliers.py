"""Points that are so far from all others that they have no part in training, and how they are told from the rest.

What is far is a matter of the distance that is usual, and both it and the point that it is measured from must not be
what a few outliers make of them: a median, and a quantile from a histogram that adds up over shards
(docs/decisions/0015-outliers.md). Distances are squared everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Batch, Floats
from streammac.points.range import largest, within

FAR = 16.0
"""Further from the centre than so many usual distances is far."""
USUAL = 0.9
"""This share of the points that differ from the centre is within the usual distance: the others may be anywhere."""
MEDIAN_ROWS = 1024
"""Rows of a shard whose median is taken."""
_LEAST, _MOST = np.frexp(np.finfo(np.float32).smallest_subnormal)[1], 128
BINS = int(_MOST - _LEAST) + 1
"""Of a histogram of squared distances: the powers of two that float32 has."""


def squares(x: Floats) -> Floats:
    """Return the squared norm of each row, (n,); infinite or NaN where float32 does not carry it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.linalg.vecdot(x, x))


def centred(x: Floats, centre: Array) -> Floats:
    """Return x less a centre, in place."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.subtract(x, centre, out=x)


def reach(scale: float, dim: int) -> float:
    """Return the squared distance from the mean beyond which points are far.

    Parameters
    ----------
    scale : float
        Root mean square of one centred input: ``sqrt(dim) scale`` is the usual distance.
    dim : int
        Length of x.
    """
    return dim * min(FAR * scale, 2 * largest(dim)) ** 2


def far(x: Floats, most: float) -> NDArray[np.bool_] | None:
    """Say of each centred row whether its squared distance is more than ``most``, (n,); None if none is far."""
    near = squares(x) <= most  # not where there is a NaN
    return None if near.all() else ~near


def without_far(x: Floats, most: float) -> Floats:
    """Return the centred rows that are not far."""
    beyond = far(x, most)
    return x if beyond is None else x[~beyond]


def near_pairs(batch: Batch, mean: Floats, scale: float) -> tuple[Floats, Array]:
    """Return the points of a minibatch that are not far, centred, and their coordinates."""
    z, x = batch.z, centred(batch.x, mean)
    assert z is not None, "there are coordinates in every epoch but a fresh one"
    beyond = far(x, reach(scale, len(mean)))
    return (x, z) if beyond is None else (x[~beyond], z[~beyond])


def median(x: Floats) -> Array:
    """Return the median of each input over the rows that are in range, (D,) float64; zeros if there are none."""
    x = x[within(x)]
    return np.median(x, axis=0).astype(np.float64) if len(x) else np.zeros(x.shape[1])


def weighted_median(values: Array, weights: Array) -> Array:
    """Return the median of each column, (D,): each row of ``values`` (k, D) counts as its weight (k,) says.

    >>> weighted_median(np.array([[1.0], [2.0], [1e15]]), np.array([10, 10, 5])).tolist()
    [2.0]
    """
    order = np.argsort(values, axis=0)
    reached = np.cumsum(weights[order], axis=0)
    at = (reached < weights.sum() / 2).sum(axis=0)
    row = np.take_along_axis(order, at[None], axis=0)
    return np.asarray(np.take_along_axis(values, row, axis=0)[0])


def histogram(x: Floats) -> Array:
    """Return how many centred rows are at a squared distance below each power of two, (BINS,) float64.

    Rows that are at the centre or that float32 does not carry are in none.
    """
    distances = squares(x)
    distances = distances[np.isfinite(distances) & (distances > 0)]
    return np.bincount(np.frexp(distances)[1] - _LEAST, minlength=BINS).astype(np.float64)


def reach_of(histogram: Array, dim: int) -> float:
    """Return the squared distance from the centre beyond which points are far; 0 if all are at the centre."""
    if not histogram.any():
        return 0.0
    counts = np.cumsum(histogram)
    at = int(np.searchsorted(counts, USUAL * counts[-1]))
    usual = float(np.ldexp(1.0, at + int(_LEAST)))
    return min(FAR**2 * usual, dim * (2 * largest(dim)) ** 2)


def near_points(x: Floats) -> NDArray[np.bool_]:
    """Say of each of (n, D) points, all of them in memory, whether it is not far, (n,)."""
    moved = centred(x.copy(), median(x).astype(np.float32))
    beyond = far(moved, reach_of(histogram(moved), x.shape[1]))
    return np.ones(len(x), bool) if beyond is None else ~beyond
