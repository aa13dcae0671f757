"""Hash functions trained by compiled loops: the pass of `streammac.models.linear_svm.train` over rows where they lie.

Minibatches are handed to the loops a slice at a time; between slices a visit may end, and the neighbours' loss pulls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models import svm_kernel as kernel
from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch, Floats
from streammac.models.linear_svm import (
    BESIDE,
    TUNING_PASSES,
    TUNING_POINTS,
    SvmState,
    best_of,
    hinges,
    penalties,
    rates,
)
from streammac.models.neighbours import LEAST_POINTS, POOL, Neighbours, nearest
from streammac.models.vectors import MULTIPLE, up_to, zeros

SLICE = 16
"""Minibatches that are trained without a look at the clock."""
ALIGNED = 16
"""Inputs come in multiples of this: zeros fill up."""


class Pass:
    """One visit of SVMs to one shard, in progress.

    Parameters
    ----------
    state : SvmState
        Where the SVMs stand; their step sizes are known.
    batch : Batch
        Any minibatch of the visit: says where the rows lie.
    first_bit : int
        Bit of the coordinates that the first SVM learns.
    inputs : Inputs
        How rows become inputs.
    """

    def __init__(
        self, state: SvmState, batch: Batch, first_bit: int, inputs: kernel.Inputs
    ) -> None:
        self._state = state
        self._inputs = inputs
        self._stored = batch.data.stored()  # held: the loops get addresses
        starts, x, z = self._stored
        x_at, z_at = (np.array([part.ctypes.data for part in parts]) for parts in (x, z))
        nobody = np.zeros(0, np.int64)
        self._every = kernel.Rows(x[0][:0], x_at, z_at, starts, z[0].shape[1], first_bit, nobody)
        self._count, self._dim = state.weight.shape
        machines, lanes = up_to(self._count, MULTIPLE), up_to(self._dim, ALIGNED)
        self.machines = kernel.Machines(
            _padded(state.weight, machines, lanes),
            _filled(state.bias, machines),
            _padded(state.weight_sum, machines, lanes),
            _filled(state.bias_sum, machines),
            np.concatenate([state.eta0, np.zeros(machines - self._count)]),
        )
        self._scratch = kernel.scratch(machines, lanes)
        self.steps = state.steps
        self._summed = state.summed

    def state(self) -> SvmState:
        """Return where the SVMs are now."""
        m, part = self.machines, (slice(self._count), slice(self._dim))
        sums: Any = (None, None)
        if self._state.weight_sum is not None:
            sums = m.weight_sum[part].copy(), m.bias_sum[: self._count].copy()
        weight, bias = m.weight[part].copy(), m.bias[: self._count].copy()
        return SvmState(weight, bias, self._state.eta0, self.steps, sums[0], sums[1], self._summed)

    def descend(
        self, batches: Sequence[Batch], share: float, decay: float, *, watch: bool = False
    ) -> tuple[NDArray[np.int64], Floats]:
        """Make a step for each minibatch; return positions and activations of the points, if ``watch`` says so."""
        rows = self._rows(np.concatenate([batch.rows for batch in batches]))
        bounds = np.cumsum([0, *(len(batch.rows) for batch in batches)])
        average = self._state.weight_sum is not None
        met = len(rows.positions) if watch else 0
        kept = np.empty(met, np.int64)
        activations = np.empty((met, len(self.machines.bias)), np.float32)
        plan = (share, decay, self.steps, average)
        count, made, _ = kernel.descend(
            rows,
            bounds,
            self._inputs,
            self.machines,
            self._scratch,
            plan,
            (kept, activations),
        )
        self.steps += count
        self._summed += made if average else 0
        return kept[:count], activations[:count, : self._count]

    def follow(
        self, positions: NDArray[np.int64], slopes: Floats, step: NDArray[np.float64]
    ) -> None:
        """Make a step down another loss of these points, whose derivatives by the activations are ``slopes``."""
        machines = len(self.machines.bias)
        every = np.zeros((len(slopes), machines), np.float32)
        every[:, : self._count] = slopes
        kernel.follow(
            self._rows(positions),
            every,
            _filled(step, machines),
            self._inputs,
            self.machines,
            self._scratch,
        )

    def points(self, positions: NDArray[np.int64]) -> Floats:
        """Return these points, centred, (n, D)."""
        found = np.empty((len(positions), self._dim), np.float32)
        kernel.gather(self._rows(positions), self._inputs, found)
        return found

    def _rows(self, positions: NDArray[np.int64]) -> kernel.Rows:
        count = self._every.starts[-1]
        if len(positions) and not 0 <= positions.min() <= positions.max() < count:
            raise IndexError(f"rows: expected positions in [0, {count}), got {positions}")
        return self._every._replace(positions=positions)


def train(
    state: SvmState,
    batches: Iterable[Batch],
    inputs: kernel.Inputs,
    decay: float,
    *,
    average: bool,
    part: slice,
    neighbours: Neighbours | None = None,
) -> SvmState:
    """Make one pass of SGD; see `streammac.models.linear_svm.train`. ``part`` are the bits that are learnt."""
    stream = iter(batches)
    first = next(stream, None)
    if first is None:
        return state
    ahead = [first]
    if not state.tuned:
        ahead += _until(stream, TUNING_POINTS - len(first.rows))
        state = replace(state, eta0=_tune(state, ahead, inputs, decay, part))
    visit = Pass(state.summing() if average else state, first, part.start, inputs)
    stream = _chained(ahead, stream)
    if neighbours is None:
        while slice_ := list(islice(stream, SLICE)):
            visit.descend(slice_, 1.0, decay)
    else:
        _with_neighbours(visit, stream, decay, neighbours, state.eta0)
    return visit.state()


def _with_neighbours(
    visit: Pass,
    stream: Iterator[Batch],
    decay: float,
    loss: Neighbours,
    eta0: NDArray[np.float64],
) -> None:
    """Train on pools of points, one after the other: hinge loss as they come, then the neighbours' loss of all."""
    while True:
        met: list[tuple[NDArray[np.int64], Floats]] = []
        points, ended, last = 0, False, None
        while points < POOL and not ended:
            slice_ = list(_until(stream, POOL - points))
            ended = not slice_
            if slice_:
                last = slice_[-1]
                met.append(visit.descend(slice_, BESIDE, decay, watch=True))
                points += len(met[-1][0])
        if points >= (LEAST_POINTS if ended else POOL) and last is not None:
            positions = np.concatenate([kept for kept, _ in met])
            activations = np.concatenate([found for _, found in met])
            z = np.concatenate([last.data.z(rows) for rows in _increasing(positions)])
            slopes = loss.slopes(activations, z, _nearest(visit, last, positions))
            step = BESIDE * loss.weight * rates(eta0, decay, visit.steps)
            visit.follow(positions, slopes, step)
        if ended:
            return


def _nearest(visit: Pass, batch: Batch, positions: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the true neighbours in a pool, found once for all visits of the same epoch."""
    key = blake2b(positions.tobytes(), digest_size=16).digest()
    if key not in batch.memo:
        batch.memo[key] = nearest(visit.points(positions)).astype(np.int32)
    found: NDArray[np.int32] = batch.memo[key]
    return found


def _increasing(positions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the positions in pieces that increase, as a shard wants them: those of the minibatches."""
    return np.split(positions, np.flatnonzero(np.diff(positions) < 0) + 1)


def _until(stream: Iterator[Batch], points: int) -> Iterator[Batch]:
    """Yield minibatches until they have so many points."""
    while points > 0 and (batch := next(stream, None)) is not None:
        points -= len(batch.rows)
        yield batch


def _chained(first: Sequence[Batch], rest: Iterator[Batch]) -> Iterator[Batch]:
    yield from first
    yield from rest


def _tune(
    state: SvmState,
    sample: Sequence[Batch],
    inputs: kernel.Inputs,
    decay: float,
    part: slice,
) -> NDArray[np.float64]:
    """Return the step sizes that do best on a sample of minibatches."""

    def losses(eta0: float) -> NDArray[np.float64]:
        visit = Pass(
            replace(state, eta0=np.full(len(state.bias), eta0)), sample[0], part.start, inputs
        )
        for _ in range(TUNING_PASSES):
            visit.descend(sample, 1.0, decay)
        trained = visit.state()
        visit.machines.eta0[:] = 0.0
        positions, activations = visit.descend(sample, 1.0, decay, watch=True)
        if len(positions) == 0:
            return np.zeros(len(state.bias))
        z = np.concatenate([sample[0].data.z(rows) for rows in _increasing(positions)])
        return hinges(activations, z[:, part]) / len(positions) + penalties(trained.weight, decay)

    return best_of(losses)


def _padded(matrix: Floats | None, rows: int, columns: int) -> Floats:
    padded = zeros(rows, columns)
    if matrix is not None:
        padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return padded


def _filled(values: NDArray[Any] | None, length: int) -> Floats:
    filled = np.zeros(length, np.float32)
    if values is not None:
        filled[: len(values)] = values
    return filled


def compile_all() -> None:
    """Compile the loops for the types of points that are stored."""
    for dtype in (np.uint8, np.float32):
        data = ArrayShard(np.zeros((LEAST_POINTS, 1), dtype), ((1,), np.dtype(np.uint8)))
        state = SvmState(np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.ones(1))
        inputs = kernel.Inputs(np.zeros(1, np.float32), np.float32(1), np.float32(1))
        whole = slice(0, 1)
        train(
            state,
            [Batch(data, np.arange(LEAST_POINTS))],
            inputs,
            0.0,
            average=True,
            part=whole,
            neighbours=Neighbours(whole, 1.0),
        )
