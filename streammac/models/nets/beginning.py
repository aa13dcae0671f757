"""The first net of a stream: mean and scale of what it sees and is to say, and random weights.

Moments are sums, so shards add theirs one after the other, in one lap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from streammac.models.base import Array, Batch, Floats, Tensors
from streammac.models.nets.architecture import Architecture
from streammac.models.nets.layers import HEAD, kind
from streammac.models.signature import Signature

FIRST_HEAD = 0.3
"""Weights of the first head, as a share of those that a hidden layer would get: all classes are about as likely."""
LEAST_SCALE = 1e-6
"""Inputs or targets that never change are not blown up."""


def no_moments(signature: Signature) -> Tensors:
    """Return the moments of no points."""
    return {
        "init/count": np.zeros(1),
        "init/x": np.zeros((2, signature.inputs)),
        "init/y": np.zeros((2, signature.targets)),
    }


def with_moments(state: Mapping[str, Array], batches: Iterable[Batch]) -> Tensors:
    """Return the moments with those of some minibatches."""
    new = {name: tensor.copy() for name, tensor in state.items()}
    for batch in batches:
        new["init/count"] += len(batch.rows)
        for name, values in (("init/x", batch.x), ("init/y", batch.y)):
            if values is not None:
                new[name] += _moments(values)
    return new


def _moments(values: Array) -> Array:
    exact = values.astype(np.float64)
    return np.stack([exact.sum(axis=0), (exact * exact).sum(axis=0)])


def means_and_variances(state: Mapping[str, Array]) -> Iterator[tuple[str, Array, Array]]:
    """Yield the mean and the variance of each number of ``input``, and of ``target`` if there is one."""
    count = max(1.0, float(state["init/count"][0]))
    for name, what in (("input", "init/x"), ("target", "init/y")):
        mean, squares = state[what] / count
        if len(mean):
            yield name, mean, np.maximum(squares - mean**2, 0.0)


def first_net(
    state: Mapping[str, Array], architecture: Architecture, outputs: int, seed: int
) -> Tensors:
    """Return the parameters of a net with random weights, in one block a layer.

    Weights have the variance 2 / inputs (He et al. 2015), biases are 0. A factorisation begins with parts that have no
    value in common: with random ones, of which all are alike, far less is learned.

    Parameters
    ----------
    state : mapping
        The moments of all points.
    architecture : Architecture
        The hidden layers.
    outputs : int
        Scores of the head.
    seed : int
        Of the weights.
    """
    params: Tensors = {}
    for name, mean, variance in means_and_variances(state):
        spread = math.sqrt(float(variance.mean()))
        params[f"{name}/mean"] = mean.astype(np.float32)
        params[f"{name}/scale"] = np.array([spread if spread > LEAST_SCALE else 1.0], np.float32)
    rng = np.random.default_rng([seed, 5])
    inputs = len(params["input/mean"])
    for number, units in enumerate(architecture.layers, 1):
        shared = architecture.factorises(number)
        weight = _shared_out(rng, inputs, units) if shared else _random(rng, units, inputs, 1.0)
        params |= _block(kind(number), weight)
        inputs = units
    return params | _block(HEAD, _random(rng, outputs, inputs, FIRST_HEAD))


def _random(rng: np.random.Generator, units: int, inputs: int, share: float) -> Floats:
    weight: Floats = rng.standard_normal((units, inputs), np.float32)
    weight *= np.float32(share * math.sqrt(2.0 / inputs))
    return weight


def _shared_out(rng: np.random.Generator, values: int, parts: int) -> Floats:
    """Return a factorisation, (values, parts), where each value is in one part, which is 1 long."""
    pairs = np.arange(max(values, parts))
    weight = np.zeros((values, parts), np.float32)
    weight[rng.permutation(values)[pairs % values], pairs % parts] = 1.0
    weight /= np.sqrt((weight * weight).sum(axis=0))
    return weight


def _block(name: str, weight: Floats) -> Tensors:
    """Return units with a bias of 0, in one block."""
    block = f"{name}/0-{len(weight) - 1}"
    return {f"{block}/weight": weight, f"{block}/bias": np.zeros(len(weight), np.float32)}
