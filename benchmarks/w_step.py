"""W step inside a worker as a share of the sgemm peak measured in the same run (one thread).

Without the neighbours' loss, whose searches and exponentials are no matrix products.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streammac.models.base import Block, Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitKey, VisitPlan, enter, minibatches
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Schema, Shard

POINTS, DIM, BITS = 20_000, 784, 32
REPEATS = 7


def median_s(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def peak_flops() -> float:
    a = np.random.default_rng(0).random((2048, 2048), np.float32)
    out = np.empty_like(a)
    return 2 * 2048**3 / median_s(lambda: np.matmul(a, a, out=out))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shard = Shard.open(Path(folder), Schema(DIM))
        x = np.random.default_rng(0).random((POINTS, DIM), np.float32)
        for first in range(0, POINTS, 1000):
            shard.append(PointBlock(x[first : first + 1000]), BatchId("b", 1, first), 0.0)
        print("| bits per block | hash functions | decoders | whole W step |")
        print("|---|---|---|---|")
        for block_bits in (32, 16, 8):
            print(f"| {block_bits} | " + " | ".join(shares(shard, block_bits)) + " |", flush=True)
        shard.close()


def shares(shard: Shard, block_bits: int) -> list[str]:
    model = BinaryAutoencoderModel(bits=BITS, block_bits=block_bits, rotations=1, neighbours=0)
    shard.coordinates(*model.coordinate_shape())
    view = shard.view()
    plan = VisitPlan()

    def visit(
        block: Block, params: Tensors, state: Tensors, epoch: int, lap: int, *, fresh: bool = False
    ) -> Tensors:
        key = VisitKey(epoch, lap, member="w")
        batches = minibatches(view, plan, key, sample=block.sample, fresh=fresh)
        return model.visit(block, params, state, lap, batches)

    (init,) = model.initial_blocks(DIM)
    params = model.start(init, DIM, {}, 0)
    for lap in range(init.laps):
        params = visit(init, {}, params, epoch=0, lap=lap, fresh=True)
        params = model.end_lap(init, {}, params, lap)
    enter(model, params, view, 0)
    seconds = {"encoder": 0.0, "decoder": 0.0}
    flops = {"encoder": 0.0, "decoder": 0.0}
    groups = model.groups_for(1)
    params = dict(model.regrouped(params, groups))
    for block in model.blocks(DIM, groups):
        kind = block.name.split("/")[0]
        state = model.start(block, DIM, params, 1)
        if kind == "encoder":
            state[f"{block.name}/eta0"] = np.array([0.1])  # tuned already, as in all visits but one
            useful = 4.0 * POINTS * DIM * len(state[f"{block.name}/weight"])
        else:
            outputs = state[f"{block.name}/cross"].shape[1]
            useful = 2.0 * POINTS * (BITS + 1) * (outputs + BITS + 1)

        once = functools.partial(visit, block, params, state, epoch=1, lap=0)
        seconds[kind] += median_s(once) * block.laps
        flops[kind] += useful * block.laps
    peak = peak_flops()
    parts = [flops[kind] / seconds[kind] / peak for kind in seconds]
    whole = sum(flops.values()) / sum(seconds.values()) / peak
    return [f"{share:.0%}" for share in (*parts, whole)]


if __name__ == "__main__":
    main()
