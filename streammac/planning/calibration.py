"""The constants of the runtime model, measured on this machine: the real model trains on real shards for some seconds.

One worker trains blocks of several widths on shards of two sizes, a few epochs each; the least time of each kind of job
counts, in seconds of processor time. What a visit costs is fitted to these.
"""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from streammac.models.base import Array, Batch, Block, NestedModel, Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.deep_net import DeepNetModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.serial import w_step
from streammac.models.signature import Signature
from streammac.planning.constants import Constants, HopCost, TokenSize, VisitCost
from streammac.planning.workload import BadPlan, CodeWorkload, NetWorkload, Workload, units
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Schema, Shard

LEAST_POINTS = 2048
MOST_POINTS, MOST_NET_POINTS = 32_768, 8192
"""Of the larger shard: enough for whole minibatches in the smaller one. A net takes longer for each."""
EPOCHS = 3
CLASSES = 2
"""Of points that have none, where a net is to tell some: every net knows so many."""
FOREVER = 1 << 20
"""Passes of a net that is to train on."""
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


class _Watched(NestedModel):
    """A real model, and what its visits cost.

    Attributes
    ----------
    seconds : dict
        Least seconds by block and lap.
    sizes : dict
        Most bytes of a block's state after a visit.
    """

    seconds: dict[tuple[str, int], float]
    sizes: dict[str, int]
    shared: ClassVar[frozenset[str]] = frozenset()
    """Kinds whose blocks share one pass at a worker: whatever their widths, it takes as long."""

    def firsts(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the first block of each kind."""
        first: dict[str, Block] = {}
        for block in super().blocks(signature, groups):  # type: ignore[safe-super]
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
        state = super().visit(block, params, state, lap, batches)  # type: ignore[safe-super]
        seconds, key = time.thread_time() - begin, (block.name, lap)
        self.seconds[key] = min(seconds, self.seconds.get(key, seconds))
        self.sizes[block.name] = max(_size(state), self.sizes.get(block.name, 0))
        return state

    @abstractmethod
    def submodels(self, block: Block, groups: int) -> float:
        """Return how many submodels travel in a block."""

    def timings(self, signature: Signature, groups: int, points: int) -> Iterator[_Timing]:
        """Yield what a visit of each kind of block costs at a shard of so many points, mean of the laps.

        In the first of several laps the worker also does what is done once for all blocks: that is told apart.
        """
        for block in self.firsts(signature, groups):
            seconds = [self.seconds[block.name, lap] for lap in range(block.laps)]
            later = float(np.mean(seconds[1:] or seconds))
            if block.laps > 1:
                yield _Timing(ONCE, 0, points, max(0.0, seconds[0] - later))
            yield _Timing(_kind(block), self.submodels(block, groups), points, later)

    def token_sizes(
        self, params: Mapping[str, Array], signature: Signature
    ) -> dict[str, TokenSize]:
        """Return the bytes of a submodel of each kind, in training and in a model of one block of each kind."""
        found = {}
        for block in self.firsts(signature, 1):
            final = {n: t for n, t in params.items() if n.startswith(f"{block.name}/")}
            count = self.submodels(block, 1)
            found[_kind(block)] = TokenSize(self.sizes[block.name] / count, _size(final) / count)
        return found


@dataclass(frozen=True)
class _WatchedCodes(_Watched, BinaryAutoencoderModel):
    seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    # one pass at a worker makes the sums of all decoders
    shared = frozenset({"decoder"})

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the first block of each kind: no other is needed for it to be trained."""
        return self.firsts(signature, groups)

    def submodels(self, block: Block, groups: int) -> float:
        """Return hash functions; of decoders as many belong to a block."""
        return self.bits / groups


@dataclass(frozen=True)
class _WatchedNet(_Watched, DeepNetModel):
    seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def submodels(self, block: Block, groups: int) -> float:
        """Return units."""
        return units(block)


def _watched(workload: Workload) -> _Watched:
    """Return the real model; nothing ends its training."""
    if isinstance(workload, CodeWorkload):
        return _WatchedCodes(  # a poor first model is good enough
            bits=workload.bits,
            laps=max(LEAST_LAPS, workload.laps),
            mu_factor=1.0,
            rotations=2,
            starts=1,
            refined=1,
            sample=LEAST_POINTS,
        )
    assert isinstance(workload, NetWorkload)
    return _WatchedNet(workload.layers, classes=workload.classes, passes=FOREVER)


def synthetic(workload: Workload, seed: int = 0) -> NDArray[np.float32]:
    """Return points of some clusters with few directions in each, about as learnable as images or descriptors."""
    rng = np.random.default_rng(seed)
    count, dim = min(MOST_POINTS, max(LEAST_POINTS, workload.points)), workload.dim
    directions = min(dim, 2 * workload.leading[1])
    basis = rng.standard_normal((directions, dim), np.float32)
    basis /= np.sqrt(np.arange(1, directions + 1, dtype=np.float32))[:, None]
    centres = 2 * rng.standard_normal((10, directions), np.float32)
    inner = centres[rng.integers(10, size=count)]
    inner += rng.standard_normal(inner.shape, np.float32)
    return inner @ basis + 0.1 * rng.standard_normal((count, dim), np.float32)


def narrowest(workload: Workload, workers: Iterable[int]) -> int:
    """Return how many submodels the narrowest of the leading blocks have that are asked for; never all of them.

    >>> codes = CodeWorkload(60_000, 784, 64)
    >>> narrowest(codes, [1, 2, 8]), narrowest(codes, [1])
    (8, 32)
    """
    kind, total = workload.leading
    pieces = (piece for count in workers for piece in workload.pieces(count))
    narrow = max(1, round(min(piece.submodels for piece in pieces if piece.kind == kind)))
    # a second width is needed to tell what a block costs from what its submodels cost
    return narrow if narrow < total else max(1, total // 2)


def calibrate(
    workload: Workload,
    x: Array,
    narrow: int,
    hop: HopCost,
    machine: str,
    y: Array | None = None,
) -> Constants:
    """Return the constants for this machine.

    Parameters
    ----------
    workload : Workload
        What is to be trained.
    x : (n, D) array
        Points to train on; at most `MOST_POINTS` are used.
    narrow : int
        Submodels of the narrower blocks that are measured, see `narrowest`.
    hop : HopCost
        What a hop costs, see `streammac.planning.hops`.
    machine : str
        Where it is measured.
    y : (n,) array, optional
        Classes of the points, where the model is to tell them; else some are made up.

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
    most = MOST_NET_POINTS if isinstance(workload, NetWorkload) else MOST_POINTS
    x = np.ascontiguousarray(x[:most])
    if not workload.signature.targets:
        y = None
    elif y is None:
        y = np.random.default_rng(0).integers(0, CLASSES, len(x))
    timings: list[_Timing] = []
    sizes: dict[str, TokenSize] = {}
    for part in KEPT:
        points = x[: round(part * len(x))]
        with tempfile.TemporaryDirectory() as folder:
            shard = _shard(Path(folder), points, None if y is None else y[: len(points)])
            try:
                timings += _train(workload, shard, narrow, sizes)
            finally:
                shard.close()
    by_kind = {kind: [t for t in timings if t.kind == kind] for kind in {t.kind for t in timings}}
    z_fixed, z_point, _ = _fitted(by_kind.pop("z"))
    once = [t.seconds / t.points for t in by_kind.pop(ONCE, [])]
    return Constants(
        machine=machine,
        vectors=f"{len(x):,} {x.dtype}",
        dim=workload.dim,
        what=workload.what,
        visits={kind: VisitCost(*_fitted(ours)) for kind, ours in sorted(by_kind.items())},
        sizes=sizes,
        z_fixed_s=z_fixed,
        z_point_s=z_point,
        hop=hop,
        once_point_s=float(np.median(once)) if once else 0.0,
    )


def _shard(folder: Path, x: Array, y: Array | None) -> Shard:
    schema = Schema.of_stream(x.shape[1], str(x.dtype), 0 if y is None else 1)
    shard = Shard.open(folder, schema)
    targets = None if y is None else np.asarray(y, np.float32).reshape(-1, 1)
    for number, first in enumerate(range(0, len(x), 4096)):
        part = PointBlock(x, targets).take(slice(first, first + 4096))
        shard.append(part, BatchId("plan", 1, number), 0.0)
    return shard


def _train(
    workload: Workload, shard: Shard, narrow: int, sizes: dict[str, TokenSize]
) -> Iterator[_Timing]:
    """Train for some epochs, then once more in narrow blocks; yield what visits and the Z step cost."""
    model, signature = _watched(workload), workload.signature
    shard.coordinates(*model.coordinate_shape())
    data, plan = shard.view(), VisitPlan()
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
    yield from model.timings(signature, 1, len(data))
    sizes |= model.token_sizes(params, signature)
    groups = -(-workload.leading[1] // narrow)
    for epoch in range(1, EPOCHS + 1):
        params = w_step(model, shards, params, plan, epoch, epoch, groups)
    narrow_ones = model.timings(signature, groups, len(data))
    yield from (timing for timing in narrow_ones if timing.kind not in model.shared)


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
