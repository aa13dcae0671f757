"""A group of linear SVMs trained together by minibatch SGD: the hash functions of a binary autoencoder.

Hinge loss, L2 regularisation, Bottou's step sizes ``eta0 / (1 + lambda eta0 t)``, and the average of the
weights over the last lap: with it the epochs' end points do not jitter, and precision keeps after
hundreds of epochs. ``eta0`` of each SVM is found on a small sample at the first visit after a restart. A second loss,
of the codes' neighbours (`streammac.models.neighbours`), may pull beside the hinge loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Floats
from streammac.models.neighbours import Pool

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

    ``eta0``, the step size of each, is 0 while it has not been tuned. ``steps`` counts points. The sums run over the
    minibatches of the last lap.
    """

    weight: Floats  # (n, D)
    bias: Floats  # (n,)
    eta0: NDArray[np.float64]  # (n,)
    steps: int = 0
    weight_sum: Floats | None = None
    bias_sum: Floats | None = None
    summed: int = 0

    @classmethod
    def untuned(cls, weight: Floats, bias: Floats) -> SvmState:
        """Return SVMs whose training begins."""
        return cls(weight, bias, np.zeros(len(bias)))

    @property
    def tuned(self) -> bool:
        """Whether the step sizes are known."""
        return bool((self.eta0 > 0).all())

    def averaged(self) -> SvmState:
        """Return the state with the average in the place of the weights (if anything was summed)."""
        if self.weight_sum is None or self.bias_sum is None or self.summed == 0:
            return replace(self, weight_sum=None, bias_sum=None, summed=0)
        scale = np.float32(1.0 / self.summed)
        return SvmState(self.weight_sum * scale, self.bias_sum * scale, self.eta0, self.steps)

    def summing(self) -> SvmState:
        """Return the same with sums to add to."""
        if self.weight_sum is not None:
            return self
        sums = np.zeros_like(self.weight), np.zeros_like(self.bias)
        return replace(self, weight_sum=sums[0], bias_sum=sums[1])


Pair = tuple[Floats, NDArray[np.uint8]]
"""Centred inputs (n, D) and the wanted bits (n, bits)."""


def rates(eta0: NDArray[np.float64], decay: float, steps: int) -> NDArray[np.float64]:
    """Return the step sizes after so many points (Bottou, Stochastic gradient descent tricks, 2012)."""
    return eta0 / (1.0 + decay * eta0 * steps)


def train(
    state: SvmState,
    batches: Iterable[Pair],
    scale: float,
    decay: float,
    *,
    average: bool,
    pool: Pool | None = None,
) -> SvmState:
    """Make one pass of SGD over minibatches, in numpy: the compiled pass must come to the same.

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
    pool : Pool, optional
        For the neighbours' loss; ``batches`` adds the points to it.
    """
    stream = iter(batches)
    if not state.tuned:
        stream, eta0 = _tune(state, stream, scale, decay)
        state = replace(state, eta0=eta0)
    if average:
        state = state.summing()
    weight, bias, steps = state.weight.copy(), state.bias.copy(), state.steps
    total: tuple[Any, Any] = (None, None)
    if average:
        total = (np.array(state.weight_sum), np.array(state.bias_sum))
    summed = state.summed
    share = 1.0 if pool is None else BESIDE
    inverse = np.float32(1.0 / scale)
    for x, bits in stream:
        eta = share * rates(state.eta0, decay, steps)
        activations = _activations(weight, bias, x, inverse)
        push = _push(activations, bits)
        rate = (eta / len(x)).astype(np.float32)
        weight *= (1.0 - eta * decay).astype(np.float32)[:, None]
        weight += (push.T @ x) * (rate * inverse)[:, None]
        bias += rate * push.sum(axis=0)
        steps += len(x)
        if average:
            total[0][:] += weight
            total[1][:] += bias
            summed += 1
        if pool is not None:
            pool.meet(activations)
            _follow(pool, weight, bias, share * rates(state.eta0, decay, steps), inverse)
    if pool is not None and steps > state.steps:
        eta = share * rates(state.eta0, decay, steps)
        _follow(pool, weight, bias, eta, inverse, rest=True)
    return SvmState(weight, bias, state.eta0, steps, total[0], total[1], summed)


def _follow(
    pool: Pool,
    weight: Floats,
    bias: Floats,
    eta: NDArray[np.float64],
    inverse: np.float32,
    *,
    rest: bool = False,
) -> None:
    """Make a step down the neighbours' loss, in place, if there are points enough for one."""
    found = pool.slopes(rest=rest)
    if found is None:
        return
    x, slopes = found
    step = (eta * pool.weight).astype(np.float32)
    weight -= (slopes.T @ x) * (step * inverse)[:, None]
    bias -= step * slopes.sum(axis=0)


def _activations(weight: Floats, bias: Floats, x: Floats, inverse: np.float32) -> Floats:
    found: Floats = x @ (weight * inverse).T
    found += bias
    return found


def _push(activations: Floats, bits: NDArray[np.uint8]) -> Floats:
    """Return the labels (+-1) of the points inside the margin and 0 for the others, (n, bits)."""
    label = bits.astype(np.float32)
    label *= 2.0
    label -= 1.0
    label *= activations * label < 1.0
    return label


def _tune(
    state: SvmState, stream: Iterator[Pair], scale: float, decay: float
) -> tuple[Iterator[Pair], NDArray[np.float64]]:
    """Return the stream again, and the step sizes that do best on its first points."""
    sample: list[Pair] = []
    points = 0
    for x, bits in stream:
        sample.append((x.copy(), bits))
        points += len(x)
        if points >= TUNING_POINTS:
            break
    if points == 0:
        return iter(()), state.eta0

    def losses(eta0: float) -> NDArray[np.float64]:
        trial = replace(state, eta0=np.full(len(state.bias), eta0))
        for _ in range(TUNING_PASSES):
            trial = train(trial, sample, scale, decay, average=False)
        inverse = np.float32(1.0 / scale)
        hinge = [
            hinges(_activations(trial.weight, trial.bias, x, inverse), bits) for x, bits in sample
        ]
        return np.asarray(sum(hinge) / points + penalties(trial.weight, decay))

    # the sample was drawn from the stream: it is part of the pass as well
    return chain(sample, stream), best_of(losses)


def best_of(losses: Callable[[float], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return for each SVM the candidate with the least loss, (n,)."""
    best: NDArray[np.intp] = np.argmin([losses(eta0) for eta0 in CANDIDATES], axis=0)
    return np.array(CANDIDATES)[best]


def hinges(activations: Floats, bits: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the sum over points of the hinge loss of each SVM, (n,)."""
    margins = activations * (2.0 * bits - 1.0)
    return np.asarray(np.maximum(0.0, 1.0 - margins).sum(axis=0))


def penalties(weight: Floats, decay: float) -> NDArray[np.float64]:
    """Return the regularisation of each SVM, (n,)."""
    return np.asarray(0.5 * decay * np.square(weight).sum(axis=1), np.float64)
