"""Z step: time per point, and beside that of the product with the inputs that it cannot do without (one thread)."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.data import Task, fashion_mnist, siftsmall
from benchmarks.report import Report
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import CHUNK, VisitPlan, enter, z_pass
from streammac.models.serial import w_step

POINTS = 10_000
BITS = (8, 16, 32, 64)
REPEATS = 5


def least_s(run: Callable[[], object]) -> float:
    """Return the least CPU time of several runs."""
    times = []
    for _ in range(REPEATS):
        begin = time.thread_time()
        run()
        times.append(time.thread_time() - begin)
    return min(times)


def row(task: Task, bits: int) -> tuple[str, int, float, float]:
    """Return a line of the table: of the epoch after the first one."""
    model = BinaryAutoencoderModel(bits=bits, rotations=5)
    shard = ArrayShard(task.database[:POINTS], model.coordinate_shape())
    shards, plan = {"w1": shard}, VisitPlan()
    params = w_step(model, shards, {}, plan, epoch=0, age=0, groups=1)
    enter(model, params, shard, 0)
    params = w_step(model, shards, params, plan, epoch=1, age=0, groups=1)
    begin = shard.z(slice(0, len(shard)))

    def step() -> None:
        shard.set_z(slice(0, len(shard)), begin)
        z_pass(model, params, shard, model.mu(0))

    x = np.ones((CHUNK, shard.dim), np.float32)
    small = np.ones((2 * bits + 1, shard.dim), np.float32)
    product = least_s(lambda: [x @ small.T for _ in range(len(shard) // CHUNK)])
    product *= len(shard) / (len(shard) // CHUNK * CHUNK)
    seconds = least_s(step)
    return task.name, bits, seconds / len(shard) * 1e6, seconds / product


def run(*, short: bool = False) -> Iterator[Report]:
    tasks = (siftsmall(),) if short else (fashion_mnist(), siftsmall())
    rows = [row(task, bits) for task in tasks for bits in BITS[: 1 if short else None]]
    yield Report(
        "Z step",
        {"data": "", "bits": "d", "us per point": ".1f", "times the product": ".1f"},
        tuple(rows),
        "Beside the product of the points with weights and decoders, which it cannot do without; least of "
        f"{REPEATS} runs, processor time of one thread.",
        {f"z_step_{name}_{bits}": us for name, bits, us, _ in rows},
    )
