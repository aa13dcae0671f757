"""Rows where they lie in memory: what a compiled loop reads, without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class StoredRows(NamedTuple):
    """Points and their coordinates, part after part.

    Whoever reads them must have the rows that it asks for checked, and holds this meanwhile: it keeps the memory alive.

    Attributes
    ----------
    starts : (parts + 1,) int64
        Position of the first row of each part, and the number of rows.
    x, z : sequence of arrays
        The rows of each part or more, C-contiguous; x is uint8 or float32.
    """

    starts: NDArray[np.int64]
    x: Sequence[NDArray[Any]]
    z: Sequence[NDArray[Any]]
