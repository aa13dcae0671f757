"""Which numbers there may be: finite ones, and of points what float32 arithmetic carries at a given length of x.

Training and measuring add up squares of differences of points. The largest sum that is ever made in float32 runs over
the D inputs of the rows of one matrix product, of which there are at most `ROWS`; sums over more are made in float64.
Two numbers within X differ by at most 2X, so nothing overflows as long as ``ROWS D (2X)^2`` is within float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32_MAX = float(np.finfo(np.float32).max)
ROWS = 1 << 20
"""Rows of one product at most: those of a minibatch, or of the held-out sample (the limit of these settings)."""

OUTSIDE = "not finite or out of range"


def largest(dim: int) -> float:
    """Return the largest number that x of this length may hold, X.

    >>> f"{largest(1):.1e} {largest(128):.1e} {largest(1 << 20):.1e}"
    '9.0e+15 8.0e+14 8.8e+12'
    """
    return math.sqrt(FLOAT32_MAX / (4 * ROWS * dim))


def is_finite(array: NDArray[Any]) -> bool:
    """Say whether an array has neither NaN nor infinity in it."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        # a sum is finite only if all of it is (up to overflow, which is looked at again)
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def not_finite(tensors: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of the arrays that hold NaN or infinity."""
    return [name for name, array in tensors.items() if not is_finite(array)]


def told_not_finite(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Say which arrays hold NaN or infinity; empty where none does."""
    wild = not_finite(tensors)
    return f"NaN or infinite numbers in {', '.join(wild)}" if wild else ""


def within(x: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each row of an (n, D) array whether all its numbers are finite and in range, (n,)."""
    if x.size == 0 or x.dtype == np.uint8:
        return np.ones(len(x), bool)
    most = largest(x.shape[1])
    if x.dtype == np.float32 and x.flags.c_contiguous:
        flat = x.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            # no square is more than their sum, however it is rounded; where one is not finite it is neither
            if float(np.dot(flat, flat)) < 0.99 * most * most:
                return np.ones(len(x), bool)
    if -most <= x.min() and x.max() <= most:  # not where there is a NaN
        return np.ones(len(x), bool)
    return np.asarray(((x >= -most) & (x <= most)).all(axis=1))
