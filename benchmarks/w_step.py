"""W step inside a worker: share of the sgemm peak, beside scikit-learn, and where the time goes."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import SGDClassifier

from benchmarks.data import Task, fashion_mnist, siftsmall
from benchmarks.report import Cell, Report
from streammac.models.base import Array, Block, LocalData, Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitKey, VisitPlan, enter, minibatches, z_pass
from streammac.models.serial import w_step
from streammac.models.signature import Signature
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Schema, Shard

POINTS, BITS = 20_000, 32
BLOCKS = (32, 16, 8, 4)
EPOCHS = 2
"""Trained before: then most points are outside the margin, as they are in most epochs."""
REPEATS, SHORT_REPEATS = 7, 1
LEARNT = 3_000
"""Points that scikit-learn's SGDClassifier gets."""
KEY = VisitKey(EPOCHS + 1, 1, "w1")


def least_s(run: Callable[[], object], repeats: int) -> float:
    """Return the least CPU time of several runs."""
    times = []
    for _ in range(repeats):
        begin = time.thread_time()
        run()
        times.append(time.thread_time() - begin)
    return min(times)


def peak_flops(repeats: int) -> float:
    """Return what matrix products of OpenBLAS make in a second."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    out = np.empty_like(a)
    return 2 * 1024**3 / least_s(lambda: np.matmul(a, a, out=out), 3 * repeats)


class Trained:
    """A shard on disk, and a model that has been trained on it for some epochs."""

    def __init__(self, folder: Path, x: Array) -> None:
        self.shard = Shard.open(folder, Schema(x.shape[1], str(x.dtype)))
        for first in range(0, len(x), 1000):
            self.shard.append(PointBlock(x[first : first + 1000]), BatchId("b", 1, first), 0.0)
        self.model = BinaryAutoencoderModel(bits=BITS, rotations=5)
        self.shard.coordinates(*self.model.coordinate_shape())
        self.view: LocalData = self.shard.view()
        shards, plan = {"w1": self.view}, VisitPlan()
        self.params = w_step(self.model, shards, {}, plan, 0, 0, 1)
        enter(self.model, self.params, self.view, 0)
        for age in range(EPOCHS):
            self.params = w_step(self.model, shards, self.params, plan, age + 1, age, 1)
            z_pass(self.model, self.params, self.view, self.model.mu(age))

    def visits(
        self, kind: str, groups: int, *, neighbours: bool = True, laps: int = 1
    ) -> Callable[[], object]:
        """Return what makes the last lap's visit of all blocks of a kind, in so many groups, for so many laps."""
        model = self.model if neighbours else replace(self.model, neighbours=0.0)
        params = dict(model.regrouped(self.params, groups))
        signature = Signature(self.view.dim)
        blocks = [b for b in model.blocks(signature, groups) if b.name.startswith(kind)]
        states = {b.name: model.start(b, signature, params, EPOCHS) for b in blocks}

        def visit(block: Block, memo: dict[object, object]) -> Tensors:
            batches = minibatches(self.view, VisitPlan(), KEY, memo=memo)
            return model.visit(block, params, states[block.name], block.laps - 1, batches)

        def visit_all() -> None:
            memo: dict[object, object] = {}
            for _ in range(laps):
                for block in blocks:
                    visit(block, memo)

        visit_all()  # everything is compiled, and in memory
        return visit_all


def scikit_learn_s(trained: Trained, repeats: int) -> float:
    """Return the seconds of SGDClassifier.partial_fit for one point and bit."""
    rows = slice(0, LEARNT)
    x = (trained.view.x(rows) - trained.params["input/mean"]) / trained.params["input/scale"]
    label = trained.view.z(rows)[:, 0]
    one = SGDClassifier(loss="hinge", alpha=1e-5, average=True)
    return least_s(lambda: one.partial_fit(x, label, classes=[0, 1]), repeats) / LEARNT


def measured(task: Task, repeats: int) -> Iterator[Report]:
    """Yield the tables of one data set."""
    x = task.database[:POINTS]
    with tempfile.TemporaryDirectory() as folder:
        trained = Trained(Path(folder), x)
        what = f"{task.name}, {len(x):,} x {x.shape[1]} {x.dtype}, {BITS} bits"
        peak, other = peak_flops(repeats), scikit_learn_s(trained, repeats)
        rows: list[tuple[Cell, ...]] = []
        parts: list[tuple[Cell, ...]] = []
        figures: dict[str, float] = {}
        for size in BLOCKS:
            groups = BITS // size
            hinge = least_s(trained.visits("encoder", groups, neighbours=False), repeats)
            share = 4.0 * len(x) * x.shape[1] * BITS / hinge / peak
            times = other * len(x) * BITS / hinge
            rows.append((size, hinge / len(x) * 1e6, share, times))
            laps = trained.model.laps
            both = least_s(trained.visits("encoder", groups, laps=laps), repeats)
            decoders = least_s(trained.visits("decoder", groups), repeats)
            epoch = (laps * hinge, both - laps * hinge, decoders)
            parts.append((size, *(seconds / len(x) * 1e6 for seconds in epoch)))
            figures |= {
                f"w_step_share_{x.shape[1]}_{size}": share,
                f"w_step_times_{x.shape[1]}_{size}": times,
            }
        trained.shard.close()
    yield Report(
        f"Hash functions: {what}",
        {"bits per block": "d", "us per point and lap": ".2f", "of the sgemm peak": ".0%",
         "times SGDClassifier": ".0f"},
        tuple(rows),
        f"A whole visit of all blocks in the last lap, averages included, after {EPOCHS} epochs; hinge loss alone."
        " The blocks visit one after the other; which rows are a minibatch is found once for all, as in an epoch."
        " Counted are the two products with all points, of which one needs only those inside the margin; the peak of"
        f" one thread is {peak / 1e9:.0f} GFLOP/s. SGDClassifier.partial_fit learns the same bits one by one.",
        figures,
    )  # fmt: skip
    yield Report(
        f"W step of an epoch, by pieces: {what}",
        {"bits per block": "d", "hinge loss, us per point": ".2f",
         "neighbours' loss, us per point": ".2f", "decoders, us per point": ".2f"},
        tuple(parts),
        "All blocks at one worker. Neighbours are found once for all blocks and laps.",
    )  # fmt: skip


def run(*, short: bool = False) -> Iterator[Report]:
    for task in (fashion_mnist(), siftsmall()):
        yield from measured(task, SHORT_REPEATS if short else REPEATS)
