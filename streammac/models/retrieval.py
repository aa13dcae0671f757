"""How well codes retrieve: the share of true neighbours among the first found by Hamming distance.

Used by the held-out sample of a running cluster and by the benchmarks, with the baselines that codes are compared to:
ITQ, signs of principal components, signs of random projections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Floats

Codes: TypeAlias = NDArray[np.uint8]
Encode: TypeAlias = Callable[[Floats], Codes]
ROWS = 256
"""Queries handled at a time: bounds the memory for distances."""
ITQ_STEPS = 50


def true_neighbours(database: Floats, queries: Floats, count: int) -> NDArray[np.int64]:
    """Return the ``count`` nearest points of each query by Euclidean distance, (q, count), unordered."""
    norms = np.einsum("ij,ij->i", database, database)
    found = np.empty((len(queries), count), np.int64)
    for lo in range(0, len(queries), ROWS):
        distances = norms - 2.0 * (queries[lo : lo + ROWS] @ database.T)
        found[lo : lo + ROWS] = np.argpartition(distances, count - 1, axis=1)[:, :count]
    return found


def precisions(
    queries: Codes, database: Codes, neighbours: NDArray[np.int64], retrieved: int
) -> NDArray[np.float64]:
    """Return for each query the share of true neighbours among the first ``retrieved``, (q,).

    Points at the same Hamming distance are in no order: of those at the last distance that fits only in
    part, the expected share counts.

    Parameters
    ----------
    queries, database : (q, B) and (n, B) uint8
        Packed codes.
    neighbours : (q, K) int64
        True neighbours, from `true_neighbours`.
    retrieved : int
        How many are looked at.
    """
    query_words, words = _words(queries), _words(database)
    levels = 8 * queries.shape[1] + 1
    shares = np.empty(len(queries))
    for i, (query, near) in enumerate(zip(query_words, neighbours, strict=True)):
        distances = np.bitwise_count(words ^ query).sum(axis=1, dtype=np.int64)
        at_distance = np.bincount(distances, minlength=levels)
        true_at_distance = np.bincount(distances[near], minlength=levels)
        reached = np.cumsum(at_distance)
        last = int(np.searchsorted(reached, retrieved))
        if last == levels:
            shares[i] = true_at_distance.sum() / retrieved
            continue
        before = int(reached[last] - at_distance[last])
        share = (retrieved - before) / at_distance[last]
        found = true_at_distance[:last].sum() + share * true_at_distance[last]
        shares[i] = found / retrieved
    return shares


def precision(
    queries: Codes, database: Codes, neighbours: NDArray[np.int64], retrieved: int
) -> float:
    """Return the mean of `precisions` over queries."""
    return float(precisions(queries, database, neighbours, retrieved).mean())


def _words(codes: Codes) -> NDArray[np.uint64]:
    padding = -codes.shape[1] % 8
    return np.ascontiguousarray(np.pad(codes, ((0, 0), (0, padding)))).view(np.uint64)


def bit_entropy(codes: Codes, bits: int) -> NDArray[np.float64]:
    """Return the entropy of each bit of (n, B) packed codes, (bits,): 1 balanced, 0 constant.

    >>> bit_entropy(np.array([[0b10000000], [0b11000000]], np.uint8), 2).tolist()
    [0.0, 1.0]
    """
    on = np.unpackbits(codes, axis=1, count=bits).mean(axis=0, dtype=np.float64)
    share = np.stack([on, 1.0 - on])
    entropy: NDArray[np.float64] = (share * -np.log2(np.where(share > 0, share, 1.0))).sum(axis=0)
    return np.abs(entropy)  # no minus before a zero


def baselines(x: Floats, bits: int, rng: np.random.Generator) -> dict[str, Encode]:
    """Fit ITQ, PCA signs and random projections to (n, D) points; return their encoders by name."""
    mean = x.mean(axis=0)
    centred = x - mean
    kept = min(bits, x.shape[1])
    basis = np.zeros((x.shape[1], bits), np.float32)
    covariance = centred.T @ centred
    basis[:, :kept] = np.linalg.eigh(covariance)[1][:, ::-1][:, :kept]
    rotation = np.linalg.qr(rng.standard_normal((bits, bits)))[0].astype(np.float32)
    projected = centred @ basis
    for _ in range(ITQ_STEPS):
        signs = np.where(projected @ rotation > 0, np.float32(1), np.float32(-1))
        left, _, right = np.linalg.svd(projected.T @ signs)
        rotation = left @ right
    random = rng.standard_normal((x.shape[1], bits)).astype(np.float32)

    def signs_of(weight: Floats) -> Encode:
        return lambda points: np.packbits((points - mean) @ weight > 0, axis=1)

    return {
        "itq": signs_of(basis @ rotation),
        "pca": signs_of(basis),
        "random": signs_of(random),
    }
