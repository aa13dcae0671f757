"""Minibatches of arrays."""

from __future__ import annotations

import numpy as np

from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch


def shard_of(x, z=None) -> ArrayShard:
    """Return a shard of these points, with these codes."""
    bits = 1 if z is None else z.shape[1]
    data = ArrayShard(np.asarray(x), ((bits,), np.dtype(np.uint8)))
    if z is not None:
        data.set_z(slice(None), z)
    return data


def batches_of(x, z=None, size=None) -> list[Batch]:
    """Return minibatches of so many points in order (None: all); a new model is made where there are no codes."""
    data, size = shard_of(x, z), size or len(x)
    every = np.arange(len(x))
    return [Batch(data, every[i : i + size], fresh=z is None) for i in range(0, len(x), size)]
