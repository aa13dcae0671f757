"""Compiled counts of codes by Hamming distance: apart from `streammac.models.hamming`, as the compiler loads slowly."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from streammac.models.compiling import compiled


@numba.njit(inline="always")
def _ones(word: Any) -> Any:
    """Return how many bits are set; the compiler knows this for the processor's own instruction."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled()
def count_all(queries: Any, codes: Any, counts: Any) -> None:
    """Add to counts (q, L + 1) how many codes are at each distance; queries and codes are words (., W)."""
    length = queries.shape[1]
    for i in range(len(queries)):
        for j in range(len(codes)):
            distance = np.uint64(0)
            for k in range(length):
                distance += _ones(queries[i, k] ^ codes[j, k])
            counts[i, distance] += 1


@compiled()
def count_rows(queries: Any, codes: Any, rows: Any, wanted: Any, counts: Any) -> None:
    """Do so with each query's own rows (q, K), as far as they are wanted (q, K)."""
    length = queries.shape[1]
    for i in range(len(queries)):
        for n in range(rows.shape[1]):
            if wanted[i, n]:
                distance = np.uint64(0)
                for k in range(length):
                    distance += _ones(queries[i, k] ^ codes[rows[i, n], k])
                counts[i, distance] += 1
