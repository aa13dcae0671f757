"""What a probe is to find, by sorting all points at one place."""

from __future__ import annotations

import numpy as np


def recall_of(model, params, stored, queries, first=100, count=10):
    """Return for each query the share of its nearest points that are among the first by Hamming distance."""
    distances = np.stack([((stored.astype(np.float64) - query) ** 2).sum(1) for query in queries])
    codes = model.coordinates(params, queries.copy()), model.coordinates(params, stored.copy())
    hamming = (codes[0][:, None] != codes[1][None]).sum(2)
    shares = []
    for distance, away in zip(distances, hamming, strict=True):
        near = distance <= np.sort(distance)[count - 1]
        last = np.sort(away)[first - 1]
        sure, perhaps = away < last, away == last
        expected = (first - sure.sum()) / perhaps.sum()
        shares.append(((near & sure).sum() + expected * (near & perhaps).sum()) / near.sum())
    return np.array(shares)
