"""Hash functions trained by compiled loops: the pass of `streammac.models.linear_svm.train` over rows where they lie.

Minibatches are handed to the loops a slice at a time; between slices a visit may end, and the neighbours' loss pulls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import accumulate, chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streammac.models import neighbour_kernel as nearby
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
from streammac.models.neighbours import LEAST_POINTS, POOL, Neighbours, nearest_of, spacing
from streammac.models.row_kernel import Inputs, Rows, at_positions, of_type, rows_of
from streammac.models.vectors import MULTIPLE, up_to, zeros

SLICE = 16
"""Minibatches that are trained without a look at the clock."""
ALIGNED = 16
"""Inputs come in multiples of this: zeros fill up."""


class Pool(NamedTuple):
    """Points that are looked at together."""

    positions: NDArray[np.int64]
    activations: Floats
    """(machines, points)"""


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

    def __init__(self, state: SvmState, batch: Batch, first_bit: int, inputs: Inputs) -> None:
        self._state = state
        self._stored = batch.data.stored()  # held: the loops get addresses
        self._inputs = of_type(inputs, self._stored.x[0].dtype)
        self._every = rows_of(self._stored, first_bit)
        self._count, self._dim = state.weight.shape
        machines, lanes = up_to(self._count, MULTIPLE), up_to(self._dim, ALIGNED)
        self.machines = kernel.Machines(
            _padded(state.weight, machines, lanes),
            _filled(state.bias, machines),
            _padded(state.weight_sum, machines, lanes),
            _filled(state.bias_sum, machines),
            np.concatenate([state.eta0, np.zeros(machines - self._count)]),
        )
        self._scratch = kernel.scratch(machines, inputs.mean, self._stored.x[0].dtype)
        self._nearby: nearby.Scratch | None = None
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
        """Make a step for each minibatch; return positions and activations of the points, if ``watch`` says so.

        Machines that fill up have activations, too.
        """
        rows = self._rows(np.concatenate([batch.rows for batch in batches]))
        bounds = np.array([*accumulate((len(batch.rows) for batch in batches), initial=0)])
        average = self._state.weight_sum is not None
        met = len(rows.positions) if watch else 0
        kept = np.empty(met, np.int64)
        activations = np.empty((len(self.machines.bias), met), np.float32)
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
        return kept[:count], activations[:, :count]

    def slopes(self, loss: Neighbours, pool: Pool, near: NDArray[np.int32]) -> Floats:
        """Return the neighbours' loss's derivatives by the activations of a pool, (machines, points)."""
        length, points = self._every.codes, len(pool.positions)
        masks = _others(loss.part, length)
        if self._nearby is None or self._nearby.smooth.shape[1] < points:
            self._nearby = nearby.scratch(len(self.machines.bias), max(points, POOL), len(masks))
        found = zeros(*pool.activations.shape)
        plan = (self._count, spacing(points), loss.rate(length))
        rows = self._rows(pool.positions)
        nearby.slopes(rows, pool.activations, near, plan, masks, self._nearby, found)
        return found

    def follow(self, pool: Pool, slopes: Floats, step: NDArray[np.float64]) -> None:
        """Make a step down the slopes of a loss."""
        kernel.follow(
            self._rows(pool.positions),
            slopes,
            _filled(step, len(self.machines.bias)),
            self._inputs,
            self.machines,
            self._scratch,
        )

    def nearest(self, positions: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the nearest others of each query of a pool, (queries, k)."""
        step, wanted = spacing(len(positions)), nearest_of(len(positions))
        near = np.zeros((-(-len(positions) // step), wanted), np.int32)
        tile = self._scratch.tile
        asked = zeros(up_to(len(near), MULTIPLE), tile.shape[1])
        nearby.search(self._rows(positions), step, self._inputs, tile, asked, near)
        return near

    def _rows(self, positions: NDArray[np.int64]) -> Rows:
        return at_positions(self._every, positions)


def train(
    state: SvmState,
    batches: Iterable[Batch],
    inputs: Inputs,
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
    stream = chain(ahead, stream)
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
            positions, activations = zip(*met, strict=True)
            pool = Pool(np.concatenate(positions), np.concatenate(activations, axis=1))
            step = BESIDE * loss.weight * rates(eta0, decay, visit.steps)
            slopes = visit.slopes(loss, pool, _nearest(visit, last, pool.positions))
            visit.follow(pool, slopes, step)
        if ended:
            return


def _nearest(visit: Pass, batch: Batch, positions: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the true neighbours in a pool, found once for all visits of the same epoch."""
    key = blake2b(positions.tobytes(), digest_size=16).digest()
    if key not in batch.memo:
        batch.memo[key] = visit.nearest(positions)
    found: NDArray[np.int32] = batch.memo[key]
    return found


def _others(part: slice, codes: int) -> NDArray[np.uint32]:
    """Return which bits are not trained, in words; of words without any none in the end."""
    others = np.ones(up_to(codes, 32), np.uint8)
    others[part] = others[codes:] = 0
    masks = np.packbits(others, bitorder="little").view(np.uint32)
    return masks[: len(masks) if masks.any() else 0]


def _increasing(positions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the positions in pieces that increase, as a shard wants them: those of the minibatches."""
    return np.split(positions, np.flatnonzero(np.diff(positions) < 0) + 1)


def _until(stream: Iterator[Batch], points: int) -> Iterator[Batch]:
    """Yield minibatches until they have so many points."""
    while points > 0 and (batch := next(stream, None)) is not None:
        points -= len(batch.rows)
        yield batch


def _tune(
    state: SvmState,
    sample: Sequence[Batch],
    inputs: Inputs,
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
        return hinges(activations[: len(state.bias)].T, z[:, part]) / len(positions) + penalties(
            trained.weight, decay
        )

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
        inputs = Inputs(np.zeros(1, np.float32), np.float32(1), np.float32(1))
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
