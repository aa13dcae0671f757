"""How many codes are at each Hamming distance: compiled, because numpy would write every distance to memory.

Codes are packed (n, B) uint8, as `NestedModel.encode` returns them. What is counted adds up over shards.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.uint8]
Counts: TypeAlias = NDArray[np.int32]


def words(codes: Codes) -> NDArray[np.uint64]:
    """Return packed codes in words of 64 bits, (n, W), filled up with zeros."""
    padding = -codes.shape[1] % 8
    return np.ascontiguousarray(np.pad(codes, ((0, 0), (0, padding)))).view(np.uint64)


def at_distances(queries: Codes, codes: Codes, bits: int) -> Counts:
    """Return how many codes are at each distance from each query, (q, bits + 1)."""
    from streammac.models.distance_kernels import count_all

    counts = np.zeros((len(queries), bits + 1), np.int32)
    count_all(words(queries), words(codes), counts)
    return counts


def rows_at_distances(
    queries: Codes, codes: Codes, rows: NDArray[np.int64], wanted: NDArray[np.bool_], bits: int
) -> Counts:
    """Return how many of each query's own rows are at each distance from it, (q, bits + 1).

    Parameters
    ----------
    queries, codes : (q, B) and (n, B) uint8
        Packed codes.
    rows : (q, K) int64
        Rows of ``codes`` for each query.
    wanted : (q, K) bool
        Which of these count.
    bits : int
        Length of the codes, L.
    """
    from streammac.models.distance_kernels import count_rows

    counts = np.zeros((len(queries), bits + 1), np.int32)
    count_rows(words(queries), words(codes), rows, wanted, counts)
    return counts


def compile_all() -> None:
    """Compile what is used here for the types that are used."""
    codes = np.zeros((1, 8), np.uint8)
    at_distances(codes, codes, 64)
    rows_at_distances(codes, codes, np.zeros((1, 1), np.int64), np.ones((1, 1), np.bool_), 64)
