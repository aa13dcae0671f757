"""The constants of the runtime model, measured on this machine: the real model trains on real shards for some seconds.

One worker trains blocks of several widths on shards of two sizes, a few epochs each; the least time of each kind of job
counts, in seconds of processor time. What a visit costs is fitted to these.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from streammac.models.base import Array, Batch, Block, Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.serial import w_step
from streammac.models.signature import Signature
from streammac.planning.constants import Constants, HopCost, TokenSize, VisitCost
from streammac.planning.workload import BadPlan, Workload
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Schema, Shard

LEAST_POINTS = 2048
MOST_POINTS = 32_768
"""Of the larger shard: enough for whole minibatches in the smaller one."""
EPOCHS = 3
LEAST_LAPS = 2
"""To tell what is done in the first lap only."""
ONCE = "once"
KEPT = (1.0, 0.5)
"""Parts of the points that the two shards have."""


class _Timing(NamedTuple):
    """Seconds of a visit of a kind of block ("z": the Z step, `ONCE`: what is done once), its width, and its points."""

    kind: str
    submodels: float
    points: int
    seconds: float


@dataclass(frozen=True)
class _Watched(BinaryAutoencoderModel):
    """The real model, and what its visits cost. Only the first block of each kind travels."""

    seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    """Least seconds by block and lap."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Most bytes of a block's state after a visit."""

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the first block of each kind."""
        first: dict[str, Block] = {}
        for block in BinaryAutoencoderModel.blocks(self, signature, groups):
            first.setdefault(_kind(block), block)
        return tuple(first.values())

    def visit(
        self,
        block: Block,
        params: Mapping[str, Array],
        state: Tensors,
        lap: int,
        batches: Iterable[Batch],
    ) -> Tensors:
        """See `NestedModel.visit`."""
        begin = time.thread_time()
        state = BinaryAutoencoderModel.visit(self, block, params, state, lap, batches)
        seconds, key = time.thread_time() - begin, (block.name, lap)
        self.seconds[key] = min(seconds, self.seconds.get(key, seconds))
        self.sizes[block.name] = max(_size(state), self.sizes.get(block.name, 0))
        return state

    def timings(self, dim: int, groups: int, points: int) -> Iterator[_Timing]:
        """Yield what a visit of each kind of block costs at a shard of so many points, mean of the laps.

        In the first of several laps the worker also does what is done once for all blocks: that is told apart.
        """
        for block in self.blocks(Signature(dim), groups):
            seconds = [self.seconds[block.name, lap] for lap in range(block.laps)]
            submodels = self.bits / groups
            later = float(np.mean(seconds[1:] or seconds))
            if block.laps > 1:
                yield _Timing(ONCE, 0, points, max(0.0, seconds[0] - later))
            yield _Timing(_kind(block), submodels, points, later)

    def token_sizes(self, params: Mapping[str, Array], dim: int) -> dict[str, TokenSize]:
        """Return the bytes of a submodel of each kind, in training and in a model of one block of each kind."""
        found = {}
        for block in self.blocks(Signature(dim), 1):
            final = {n: t for n, t in params.items() if n.startswith(f"{block.name}/")}
            found[_kind(block)] = TokenSize(
                self.sizes[block.name] / self.bits, _size(final) / self.bits
            )
        return found


def synthetic(workload: Workload, seed: int = 0) -> NDArray[np.float32]:
    """Return points of some clusters with few directions in each, about as learnable as images or descriptors."""
    rng = np.random.default_rng(seed)
    count, dim = min(MOST_POINTS, max(LEAST_POINTS, workload.points)), workload.dim
    directions = min(dim, 2 * workload.bits)
    basis = rng.standard_normal((directions, dim), np.float32)
    basis /= np.sqrt(np.arange(1, directions + 1, dtype=np.float32))[:, None]
    centres = 2 * rng.standard_normal((10, directions), np.float32)
    inner = centres[rng.integers(10, size=count)]
    inner += rng.standard_normal(inner.shape, np.float32)
    return inner @ basis + 0.1 * rng.standard_normal((count, dim), np.float32)


def narrowest(workload: Workload, workers: Iterable[int]) -> int:
    """Return how many hash functions the narrowest of the blocks have that are asked for; never all of them.

    >>> narrowest(Workload(60_000, 784, 64), [1, 2, 8]), narrowest(Workload(60_000, 784, 64), [1])
    (8, 32)
    """
    asked = min(piece.submodels for count in workers for piece in workload.pieces(count))
    narrow = max(1, round(asked))
    # a second width is needed to tell what a block costs from what its submodels cost
    return narrow if narrow < workload.bits else max(1, workload.bits // 2)


def calibrate(workload: Workload, x: Array, narrow: int, hop: HopCost, machine: str) -> Constants:
    """Return the constants for this machine.

    Parameters
    ----------
    workload : Workload
        What is to be trained.
    x : (n, D) array
        Points to train on; at most `MOST_POINTS` are used.
    narrow : int
        Hash functions of the narrower blocks that are measured, see `narrowest`.
    hop : HopCost
        What a hop costs, see `streammac.planning.hops`.
    machine : str
        Where it is measured.

    Raises
    ------
    BadPlan
        If there are too few points.
    """
    if len(x) < LEAST_POINTS or x.shape[1] != workload.dim:
        raise BadPlan(
            f"expected at least {LEAST_POINTS:,} vectors of {workload.dim:,} numbers to measure on, "
            f"got {len(x):,} of {x.shape[1]:,}"
        )
    x = np.ascontiguousarray(x[:MOST_POINTS])
    timings: list[_Timing] = []
    sizes: dict[str, TokenSize] = {}
    for part in KEPT:
        points = x[: round(part * len(x))]
        with tempfile.TemporaryDirectory() as folder:
            shard = _shard(Path(folder), points)
            try:
                timings += _train(workload, shard, narrow, sizes)
            finally:
                shard.close()
    by_kind = {kind: [t for t in timings if t.kind == kind] for kind in {t.kind for t in timings}}
    z_fixed, z_point, _ = _fitted(by_kind.pop("z"))
    once = float(np.median([t.seconds / t.points for t in by_kind.pop(ONCE)]))
    return Constants(
        machine=machine,
        vectors=f"{len(x):,} {x.dtype}",
        dim=workload.dim,
        bits=workload.bits,
        visits={kind: VisitCost(*_fitted(ours)) for kind, ours in sorted(by_kind.items())},
        sizes=sizes,
        z_fixed_s=z_fixed,
        z_point_s=z_point,
        hop=hop,
        once_point_s=once,
    )


def _shard(folder: Path, x: Array) -> Shard:
    shard = Shard.open(folder, Schema(x.shape[1], str(x.dtype)))
    for number, first in enumerate(range(0, len(x), 4096)):
        shard.append(PointBlock(x[first : first + 4096]), BatchId("plan", 1, number), 0.0)
    return shard


def _train(
    workload: Workload, shard: Shard, narrow: int, sizes: dict[str, TokenSize]
) -> Iterator[_Timing]:
    """Train for some epochs, then once more in narrow blocks; yield what visits and the Z step cost."""
    model = _Watched(  # a poor first model is good enough, and the penalty never ends the training
        bits=workload.bits,
        laps=max(LEAST_LAPS, workload.laps),
        mu_factor=1.0,
        rotations=2,
        starts=1,
        refined=1,
        sample=LEAST_POINTS,
    )
    shard.coordinates(*model.coordinate_shape())
    data, plan, dim = shard.view(), VisitPlan(), workload.dim
    shards = {"w1": data}
    model.prepare()
    params = w_step(model, shards, {}, plan, 0, 0, 1)
    enter(model, params, data, 0)
    z_step_s = np.inf
    for epoch in range(1, EPOCHS + 1):
        params = w_step(model, shards, params, plan, epoch, epoch, 1)
        begin = time.thread_time()
        z_pass(model, params, data, model.mu(epoch))
        z_step_s = min(z_step_s, time.thread_time() - begin)
    yield _Timing("z", 0, len(data), float(z_step_s))
    yield from model.timings(dim, 1, len(data))
    sizes |= model.token_sizes(params, dim)
    groups = -(-workload.bits // narrow)
    for epoch in range(1, EPOCHS + 1):
        params = w_step(model, shards, params, plan, epoch, epoch, groups)
    # one pass at a worker makes the sums of all decoders: whatever their blocks, they share its time
    yield from (t for t in model.timings(dim, groups, len(data)) if t.kind in ("encoder", ONCE))


def _kind(block: Block) -> str:
    return block.name.split("/")[0]


def _size(tensors: Mapping[str, Array]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _fitted(timings: Sequence[_Timing]) -> tuple[float, float, float]:
    """Return seconds per visit, per point, and per point and submodel: none negative, least relative errors.

    What was measured in one width only costs nothing per point that is not the submodels'.
    """
    seconds = np.array([timing.seconds for timing in timings])
    one_width = len({t.submodels for t in timings}) == 1 and timings[0].submodels > 0
    terms = np.array(
        [(1.0, 0.0 if one_width else t.points, t.points * t.submodels) for t in timings]
    )
    scale = terms.max(axis=0)
    scale[scale == 0] = 1.0
    found, _ = nnls(terms / scale / seconds[:, None], np.ones(len(seconds)))
    fixed, point, submodel = (float(value) for value in found / scale)
    return fixed, point, submodel
