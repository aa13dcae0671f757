"""Random Fourier features, with which linear hash functions bend (Rahimi & Recht, NIPS 2007).

Products of ``cos(frequencies x + phases)`` approximate a Gaussian kernel. Its width is a share of the usual distance
between two points, so that the features need a seed and the number of inputs, and no point leaves its shard.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streammac.models.base import Array, Floats, Tensors

NAMES = ("input/frequencies", "input/phases")
WIDTH = 0.7
"""Of the kernel, in usual distances between two points."""
_KIND = 1
"""Keeps the seed apart from that of the rotations."""


def drawn(count: int, dim: int, seed: int) -> Tensors:
    """Return the parameters of so many features of (n, dim) inputs; none of none."""
    if count == 0:
        return {}
    rng = np.random.default_rng([seed, dim, _KIND])
    # scaled inputs have a mean variance of 1: two points are about sqrt(2 dim) apart
    frequencies = rng.standard_normal((count, dim)) / (WIDTH * np.sqrt(2.0 * dim))
    phases = rng.uniform(0.0, 2.0 * np.pi, count)
    values = (frequencies.astype(np.float32), phases.astype(np.float32))
    return dict(zip(NAMES, values, strict=True))


def features(params: Mapping[str, Array], x: Floats) -> Floats | None:
    """Return the (n, F) features of centred inputs, in their units; None where the model has none.

    All together they are as long as the inputs are, and about 0 in the mean.
    """
    if NAMES[0] not in params:
        return None
    frequencies, phases = (params[name] for name in NAMES)
    scale = params["input/scale"]
    size, means = amplitude(frequencies), usual(frequencies, phases)
    return np.asarray(
        (np.cos(x @ (frequencies / scale).T + phases) - means) * (size * scale), np.float32
    )


def amplitude(frequencies: Floats) -> np.float32:
    """Return with what the cosines are multiplied."""
    count, dim = frequencies.shape
    return np.float32(np.sqrt(2.0 * dim / count))


def usual(frequencies: Floats, phases: Floats) -> Floats:
    """Return the mean of each cosine over normal inputs of variance 1, (F,)."""
    return np.asarray(
        np.exp(-0.5 * np.square(frequencies).sum(axis=1)) * np.cos(phases), np.float32
    )
