"""The probe of three shards beside an evaluation from outside, over versions of very different quality.

Both tell recall of the 10 true nearest among the first 100: the probe for held-out queries among samples of the shards,
the evaluation for other queries among all points. ITQ: the probe's own beside the mean of three fits from outside.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.data import fashion_mnist, siftsmall
from benchmarks.report import Cell, Report
from ingest.cutting import Origin, cut
from streammac.delivery.batch import Ticket
from streammac.models import layout
from streammac.models.arrays import ArrayShard
from streammac.models.base import Floats, Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.models.retrieval import Encode, baselines, precision, true_neighbours
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.inquiry import Stored
from streammac.publishing.measurement import Measurement
from streammac.publishing.probe import Prober
from streammac.settings.schema import HeldOut
from streammac.store import Schema, Shard
from workers.probe_thread import ProbeThread

log = logging.getLogger(__name__)

BITS = 32
EPOCHS = 9
NOISE = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Added to the weights, relative to their norm."""
SILENT = (1, 2, 3, 5, 8, 12)
"""So many bits that never change."""
NEAR, FIRST = 10, 100
CLEAR = 0.01
"""Difference from ITQ whose sign the probe is to know."""


class Workers:
    """Three shards on disk, and who answers for them."""

    def __init__(self, folder: Path, model: BinaryAutoencoderModel, x: Floats) -> None:
        self.threads = {}
        self.counts = {}
        signature = Signature(x.shape[1])
        for i, part in enumerate(np.array_split(x, 3), 1):
            shard = Shard.open(folder / f"w{i}", Schema(x.shape[1], "float32"))
            shard.append(PointBlock(part), BatchId("s", 1, i), 0.0)
            self.counts[f"w{i}", 1] = len(part)
            self.threads[f"w{i}"] = ProbeThread(f"w{i}", signature, 0, shard)
            self.threads[f"w{i}"].start(model)

    def measure(
        self, prober: Prober, model: BinaryAutoencoderModel, params: Tensors
    ) -> Measurement:
        """Do what the coordinator's I/O loop does until a model is measured."""
        prober.inquiry.see(Stored(self.counts, sum(self.counts.values())))
        with ThreadPoolExecutor(1) as pool:
            measured: Future[Measurement | None] = pool.submit(prober.measure, model, params)
            while not measured.done():
                time.sleep(0.002)
                for name, question in prober.inquiry.take():
                    self.threads[name].handle(question)
                for worker in self.threads.values():
                    for answer in worker.take():
                        prober.inquiry.answer(answer)
            found = measured.result()
        assert found is not None, "there are points and queries"
        return found

    def close(self) -> None:
        """End the threads."""
        for worker in self.threads.values():
            worker.stop()


def versions(model: BinaryAutoencoderModel, x: Floats) -> Iterator[tuple[str, Tensors]]:
    """Yield models of all qualities: initial, after each epoch, with noise, of one lap, random."""
    shards = {
        f"w{i}": ArrayShard(part, model.coordinate_shape())
        for i, part in enumerate(np.array_split(x, 3), 1)
    }
    rng = np.random.default_rng(0)
    best: Tensors = {}
    for params, _ in islice(parmac(model, shards, VisitPlan()), EPOCHS):
        yield ("initial" if not best else "trained"), dict(params)
        best = dict(params)
    weights = [name for name in best if name.startswith("encoder/") and name.endswith("weight")]
    for level in NOISE:
        noisy = dict(best)
        for name in weights:
            size = level * np.linalg.norm(best[name]) / np.sqrt(best[name].size)
            noise = size * rng.standard_normal(best[name].shape)
            noisy[name] = best[name] + noise.astype(np.float32)
        yield f"noise {level}", noisy
    for count in SILENT:
        silent = dict(best)
        for name in layout.blocks_in(best, "encoder"):
            bias = silent[f"{name}/bias"] = best[f"{name}/bias"].copy()
            bias[: max(0, count - layout.rows(name).start)] = 1e6
        yield f"silent {count}", silent
    mean = x.mean(axis=0)
    for _ in range(2):
        weight = rng.standard_normal((BITS, x.shape[1])).astype(np.float32)
        yield "random", model.linear(mean, weight)


def fed(x: Floats) -> tuple[Floats, Floats]:
    """Return what an ingest node holds out of a feed, and the rest."""
    origin = Origin(BatchId.of_feed("i1", 1, 0), len(x), HeldOut().share, 0, durable=True)
    parts: dict[bool, list[Floats]] = {True: [], False: []}
    for batch in cut(PointBlock(x), origin, Ticket()):
        parts[batch.message.held_out].append(batch.message.tensors["x"])
    return np.concatenate(parts[True]), np.concatenate(parts[False])


def agree(name: str, database: Floats, queries: Floats, most: int | None) -> tuple[Cell, ...]:
    held_out, x = fed(np.random.default_rng(0).permutation(database))
    model = BinaryAutoencoderModel(bits=BITS)
    near = true_neighbours(x, queries, NEAR)

    def recall(encode: Encode) -> float:
        share = precision(encode(queries.copy()), encode(x.copy()), near, FIRST)
        return share * FIRST / NEAR

    fits = (baselines(x[:20_000], BITS, np.random.default_rng(seed))["itq"] for seed in range(3))
    itq = float(np.mean([recall(fit) for fit in fits]))
    prober = Prober(HeldOut(), 0)
    prober.held_out.add(held_out)
    inside, outside, margins = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        workers = Workers(Path(folder), model, x)
        for kind, params in islice(versions(model, x), most):
            measured = workers.measure(prober, model, params)
            inside.append((measured.model, measured.reference))
            margins.append(measured.measures["recall_100"]["model"].margin)
            outside.append(recall(lambda points, p=params: model.encode(p, points)))  # type: ignore[misc]
            log.info("%s %-10s probe %.4f  outside %.4f", name, kind, inside[-1][0], outside[-1])
        workers.close()
    probe, theirs = np.array(inside).T
    true = np.array(outside)
    clear = np.abs(true - itq) > CLEAR
    right = np.sign(probe - theirs)[clear] == np.sign(true - itq)[clear]
    return (
        name,
        len(true),
        measured.queries,
        measured.points,
        float(spearmanr(probe, true).statistic),
        f"{right.sum()} of {clear.sum()}",
        float(np.abs(probe - true).mean()),
        float(np.mean(margins)),
        float(theirs[0]),
        itq,
    )


def run(*, short: bool = False) -> Iterator[Report]:
    rows = []
    most = 3 if short else None
    task = siftsmall()
    x = np.random.default_rng(1).permutation(np.asarray(task.database, np.float32))
    rows.append(agree(task.name, x[1000:], x[:1000], most))
    if not short:
        task = fashion_mnist()
        rows.append(agree(task.name, np.asarray(task.database, np.float32), task.queries, most))
    yield Report(
        f"The probe beside an evaluation from outside, {BITS} bits",
        {
            "data": "",
            "versions": "d",
            "queries": ",d",
            "points": ",d",
            "rank correlation": ".3f",
            "sign of (model - ITQ) right": "",
            "mean difference": ".4f",
            "margin": ".4f",
            "ITQ": ".4f",
            "ITQ from outside": ".4f",
        },
        tuple(rows),
        f"The sign counts where model and ITQ differ by more than {CLEAR}.",
    )
