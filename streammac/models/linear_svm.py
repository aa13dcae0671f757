"""A group of linear SVMs trained together by minibatch SGD: the hash functions of a binary autoencoder.

Hinge loss, L2 regularisation, Bottou's step sizes ``eta0 / (1 + lambda eta0 t)``, and the average of the
weights over the last lap: with it the epochs' end points do not jitter, and precision keeps after
hundreds of epochs. ``eta0`` is found on a small sample at the first visit after a restart. A second loss, of
the codes' neighbours (`streammac.models.neighbours`), may pull beside the hinge loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Floats
from streammac.models.neighbours import Neighbours

CANDIDATES = tuple(float(10.0**e) for e in np.arange(-3.0, 1.01, 0.5))
"""Step sizes that are tried."""
TUNING_POINTS = 1500
"""Size of the sample they are tried on, in points (whole minibatches)."""
TUNING_PASSES = 3
BESIDE = 0.1
"""Steps are so much smaller where the neighbours' loss pulls as well: its gradients are of few queries."""


@dataclass(frozen=True, slots=True)
class SvmState:
    """State of n SVMs over D centred inputs: it travels with its block.

    ``eta0`` is 0 while it has not been tuned. ``steps`` counts points. The sums run over the minibatches of
    the last lap.
    """

    weight: Floats  # (n, D)
    bias: Floats  # (n,)
    eta0: float = 0.0
    steps: int = 0
    weight_sum: Floats | None = None
    bias_sum: Floats | None = None
    summed: int = 0

    def averaged(self) -> SvmState:
        """Return the state with the average in the place of the weights (if anything was summed)."""
        if self.weight_sum is None or self.bias_sum is None or self.summed == 0:
            return replace(self, weight_sum=None, bias_sum=None, summed=0)
        scale = np.float32(1.0 / self.summed)
        return SvmState(self.weight_sum * scale, self.bias_sum * scale, self.eta0, self.steps)


Pair = tuple[Floats, NDArray[np.uint8]]
"""Centred inputs (n, D) and the wanted bits (n, bits)."""


def train(
    state: SvmState,
    batches: Iterable[Pair],
    scale: float,
    decay: float,
    *,
    average: bool,
    neighbours: Neighbours | None = None,
) -> SvmState:
    """Make one pass of SGD over minibatches.

    Parameters
    ----------
    state : SvmState
        Where the SVMs stand.
    batches : iterable of (inputs, bits)
        Inputs are centred but not divided by ``scale``: that is done on the small side of the products.
    scale : float
        What inputs are to be divided by.
    decay : float
        The regularisation lambda.
    average : bool
        Add up the weights (in the last lap).
    neighbours : Neighbours, optional
        The neighbours' loss; ``batches`` adds the points to it.
    """
    stream = iter(batches)
    if state.eta0 == 0.0:
        stream, eta0 = _tune(state, stream, scale, decay)
        state = replace(state, eta0=eta0)
    weight, bias, steps = state.weight.copy(), state.bias.copy(), state.steps
    weight_sum = bias_sum = None
    summed = state.summed
    if average:
        weight_sum = np.zeros_like(weight) if state.weight_sum is None else state.weight_sum.copy()
        bias_sum = np.zeros_like(bias) if state.bias_sum is None else state.bias_sum.copy()
    gradient = np.empty_like(weight)
    share = 1.0 if neighbours is None else BESIDE
    inverse = np.float32(1.0 / scale)
    for x, bits in stream:
        count = len(x)
        eta = share * state.eta0 / (1.0 + decay * state.eta0 * steps)
        push = _push(weight, bias, x, bits, inverse)
        np.matmul(push.T, x, out=gradient)
        gradient *= np.float32(eta / count) * inverse
        weight *= np.float32(1.0 - eta * decay)
        weight += gradient
        bias += np.float32(eta / count) * push.sum(axis=0)
        if neighbours is not None:
            _follow(neighbours, weight, bias, eta)
        steps += count
        if weight_sum is not None and bias_sum is not None:
            weight_sum += weight
            bias_sum += bias
            summed += 1
    if neighbours is not None and steps > state.steps:
        _follow(neighbours, weight, bias, eta, rest=True)
    return SvmState(weight, bias, state.eta0, steps, weight_sum, bias_sum, summed)


def _follow(
    neighbours: Neighbours, weight: Floats, bias: Floats, eta: float, *, rest: bool = False
) -> None:
    """Make a step down the neighbours' loss, in place, if there are points enough for one."""
    step = np.float32(eta * neighbours.weight)
    for by_weight, by_bias in neighbours.gradients(weight, bias, rest=rest):
        weight -= step * by_weight
        bias -= step * by_bias


def _push(
    weight: Floats, bias: Floats, x: Floats, bits: NDArray[np.uint8], inverse: np.float32
) -> Floats:
    """Return the labels (+-1) of the points inside the margin and 0 for the others, (n, bits)."""
    label = bits.astype(np.float32)
    label *= 2.0
    label -= 1.0
    margin = x @ (weight * inverse).T
    margin += bias
    margin *= label
    label *= margin < 1.0
    return label


def _tune(
    state: SvmState, stream: Iterator[Pair], scale: float, decay: float
) -> tuple[Iterator[Pair], float]:
    """Return the stream again, and the step size that does best on its first points."""
    sample: list[Pair] = []
    points = 0
    for x, bits in stream:
        sample.append((x.copy(), bits))
        points += len(x)
        if points >= TUNING_POINTS:
            break
    if points == 0:
        return iter(()), 0.0
    best, best_loss = 0.0, np.inf
    for eta0 in CANDIDATES:
        trial = replace(state, eta0=eta0)
        for _ in range(TUNING_PASSES):
            trial = train(trial, sample, scale, decay, average=False)
        loss = _loss(trial, sample, scale, decay)
        if loss < best_loss:
            best, best_loss = eta0, loss
    # the sample was drawn from the stream: it is part of the pass as well
    return chain(sample, stream), best


def _loss(state: SvmState, batches: Iterable[Pair], scale: float, decay: float) -> float:
    total = count = 0.0
    for x, bits in batches:
        margin = (x @ (state.weight / np.float32(scale)).T + state.bias) * (2.0 * bits - 1.0)
        total += float(np.maximum(0.0, 1.0 - margin).sum())
        count += len(x)
    return total / count + 0.5 * decay * float((state.weight**2).sum())
