"""Codes by learners of other libraries beside linear SVMs, on the serial ring of three: precision and seconds.

All of Fashion-MNIST, 32 bits. Seconds are of one thread, for all epochs of all three shards, the first model included.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from benchmarks.data import Task, fashion_mnist
from benchmarks.report import Report
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.learner_codes import LearnerCodesModel
from streammac.models.local import VisitPlan
from streammac.models.retrieval import precision
from streammac.models.serial import parmac

log = logging.getLogger(__name__)

BITS = 32
EPOCHS = 8
TREE_POINTS = 2000
"""Points of a shard that a tree learns from at one visit: each takes it about 50 microseconds and more."""
QUERIES = 1000
SHARE = 60
"""One of so many points is a true neighbour, as of all of Fashion-MNIST."""
SHORT_POINTS, SHORT_EPOCHS = 3000, 4

Model = BinaryAutoencoderModel | LearnerCodesModel
MODELS: dict[str, Model] = {
    "linear SVMs with the neighbours' loss": BinaryAutoencoderModel(BITS),
    "linear SVMs": BinaryAutoencoderModel(BITS, neighbours=0.0),
    "SGDClassifier": LearnerCodesModel(BITS, learner_options={"average": True}),
    "SGDClassifier on components": LearnerCodesModel(
        BITS, learner_options={"average": True}, inputs="components"
    ),
    "passive-aggressive": LearnerCodesModel(
        BITS, "passive_aggressive", {"C": 0.01, "average": True}
    ),
    "k-means, 16 centres of each value": LearnerCodesModel(
        BITS, "mini_batch_k_means", {"n_clusters": 16}, inputs="components"
    ),
    "Hoeffding trees on components": LearnerCodesModel(
        BITS, "hoeffding_tree", inputs="components", visit_points=TREE_POINTS
    ),
}


def run(*, short: bool = False) -> Iterator[Report]:
    points, epochs = (SHORT_POINTS, SHORT_EPOCHS) if short else (None, EPOCHS)
    whole = fashion_mnist()
    task = replace(whole, database=whole.database[:points], queries=whole.queries[:QUERIES])
    near = task.near(len(task.database) // SHARE)
    rows = []
    for name, model in MODELS.items():
        first, last, seconds = trained(task, near, model, epochs)
        log.info("%s: %.3f, %.0f s", name, last, seconds)
        rows.append((name, first, last, seconds))
    columns = {"bits by": "", "initial": ".3f", "trained": ".3f", "seconds": ".0f"}
    about = f"{len(task.database):,} points, {epochs} epochs; precision after the last one, seed 0."
    yield Report("Learners", columns, tuple(rows), about)


def trained(task: Task, near: np.ndarray, model: Model, epochs: int) -> tuple[float, float, float]:
    """Return the precision of the first and of the last model, and the seconds that training took."""
    model.prepare()
    parts = [task.database[i::3] for i in range(3)]
    shards = {f"w{i}": ArrayShard(x, model.coordinate_shape()) for i, x in enumerate(parts)}
    begin = time.thread_time()
    every = [params for params, _ in islice(parmac(model, shards, VisitPlan()), epochs)]
    seconds = time.thread_time() - begin
    scores = []
    for params in (every[0], every[-1]):
        database = model.encode(params, np.array(task.database, np.float32))
        queries = model.encode(params, task.queries.copy())
        scores.append(precision(queries, database, near, task.retrieved))
    return scores[0], scores[1], seconds
