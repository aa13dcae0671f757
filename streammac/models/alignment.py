"""Naming the bits of one code after those of another: which order and signs make codes of the same points most alike.

What a bit is called, and which of its sides is 1, means nothing to Hamming distances; it means everything to whoever
keeps codes of an older version.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array


def alignment(bits: Array, like: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the order and the flips with which the fewest bits differ: an assignment problem.

    ``bits[:, order] ^ flips`` is as near to ``like`` as it can be.

    Parameters
    ----------
    bits, like : (n, L) arrays of 0 and 1
        Codes of the same points.

    Returns
    -------
    order : (L,) int64
        Which bit takes each place.
    flips : (L,) bool
        Which places get it negated.
    """
    from scipy.optimize import linear_sum_assignment

    mine, others = (np.where(codes > 0, np.float32(1), np.float32(-1)) for codes in (bits, like))
    agreement = others.T @ mine  # points on which two bits agree less those on which they do not
    places, order = linear_sum_assignment(np.abs(agreement), maximize=True)
    return order, agreement[places, order] < 0
