"""Codes of the serial reference on three shards beside their baselines: precision and recall, three seeds.

Of each run the best epoch counts, chosen as a cluster does: by points that are held out of training, and that are not
the queries that the tables are of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

import numpy as np

from benchmarks.data import Task, fashion_mnist, glove, siftsmall
from benchmarks.report import Cell, Report, Spread
from streammac.models.arrays import ArrayShard
from streammac.models.base import Array
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.models.retrieval import Encode, baselines, precision
from streammac.models.serial import parmac

log = logging.getLogger(__name__)

EPOCHS = 11
SEEDS = 3
BITS = (8, 16, 32, 64, 128)
HELD_OUT = 500
NEAREST = 10
FIRST = 100
"""Recall: how many of the nearest are among the first so many."""
BASELINE_POINTS = 20_000
FEATURES = 500


@dataclass(frozen=True)
class Questions:
    """Queries, their true neighbours for precision and for recall, and where these are looked for."""

    task: Task
    near: np.ndarray
    nearest: np.ndarray

    @classmethod
    def of(cls, task: Task) -> Questions:
        """Find the true neighbours."""
        return cls(task, task.near(), task.near(NEAREST))

    def score(self, encode: Encode) -> np.ndarray:
        """Return precision and recall."""
        queries = encode(self.task.queries.copy())
        database = encode(np.array(self.task.database, np.float32))
        found = precision(queries, database, self.nearest, FIRST) * FIRST / NEAREST
        return np.array([precision(queries, database, self.near, self.task.retrieved), found])


def epochs(
    x: np.ndarray, model: BinaryAutoencoderModel, count: int, seed: int
) -> Iterator[Mapping[str, Array]]:
    """Yield the parameters after each epoch."""
    shards = {f"w{i + 1}": ArrayShard(x[i::3], model.coordinate_shape()) for i in range(3)}
    for params, _ in islice(parmac(model, shards, VisitPlan(seed=seed)), count):
        yield params


def curve(task: Task, near: np.ndarray, bits: int, count: int, seed: int = 0) -> list[float]:
    """Return the precision after every epoch."""
    model = BinaryAutoencoderModel(bits=bits, seed=seed)
    database = np.asarray(task.database, np.float32)
    scores = []
    for params in epochs(task.database, model, count, seed):
        codes = (
            model.encode(params, task.queries.copy()),
            model.encode(params, database.copy()),
        )
        scores.append(precision(*codes, near, task.retrieved))
    return scores


def first_and_best(
    questions: Questions, jury: Questions, model: BinaryAutoencoderModel
) -> tuple[np.ndarray, np.ndarray]:
    """Train on the jury's database; return the scores of the initial model and of the jury's choice."""

    def encoding(params: Mapping[str, Array]) -> Encode:
        return lambda x: model.encode(params, x)

    every = list(epochs(jury.task.database, model, EPOCHS, model.seed))
    recalls = [jury.score(encoding(params))[1] for params in every]
    best = every[int(np.argmax(recalls))]
    return questions.score(encoding(every[0])), questions.score(encoding(best))


def held_out(task: Task) -> Task:
    """Return the same with some points of the database as queries, which are not in it."""
    order = np.random.default_rng(1).permutation(len(task.database))
    asked, kept = order[:HELD_OUT], np.sort(order[HELD_OUT:])
    queries = np.asarray(task.database[asked], np.float32)
    return replace(task, database=task.database[kept], queries=queries)


def beside(questions: Questions, bits: int) -> dict[str, np.ndarray]:
    """Return the scores of the baselines by name, means of three starts."""
    database = np.asarray(questions.task.database, np.float32)
    sample = database[np.random.default_rng(0).permutation(len(database))[:BASELINE_POINTS]]
    scores: dict[str, list[np.ndarray]] = {}
    for seed in range(3):
        for name, encode in baselines(sample, bits, np.random.default_rng(seed)).items():
            scores.setdefault(name, []).append(questions.score(encode))
    return {name: np.mean(values, axis=0) for name, values in scores.items()}


Line: TypeAlias = tuple[Cell, ...]


def lines(
    questions: Questions, jury: Questions, bits: int, features: int, seeds: int
) -> tuple[Line, Line]:
    """Return a line of the table of precision and one of that of recall."""
    others = beside(questions, bits)
    runs = []
    for seed in range(seeds):
        model = BinaryAutoencoderModel(bits=bits, seed=seed, features=features)
        runs.append(first_and_best(questions, jury, model))
    first, best = np.array(runs).swapaxes(0, 1)  # (seeds, 2) each
    name = questions.task.name + (f", {features} features" if features else "")
    log.info("%s, %d bits: %s", name, bits, best.mean(axis=0).round(4))

    def line(measure: int) -> Line:
        known = (float(others[name][measure]) for name in ("random", "pca", "itq"))
        initial = float(first[:, measure].mean())
        return (name, bits, *known, initial, Spread.mean(best[:, measure]))

    return line(0), line(1)


def run(*, short: bool = False) -> Iterator[Report]:
    found: list[tuple[Line, Line]] = []
    seeds = 1 if short else SEEDS
    for load in (siftsmall,) if short else (siftsmall, glove, fashion_mnist):
        task = load()
        questions, jury = Questions.of(task), Questions.of(held_out(task))
        for bits in BITS[:1] if short else BITS:
            found.append(lines(questions, jury, bits, 0, seeds))
        if load is glove:  # where bent hash functions are worth most
            found.append(lines(questions, jury, 32, FEATURES, seeds))
    columns = {"data": "", "bits": "d"}
    columns |= dict.fromkeys(("random", "PCA", "ITQ", "initial", "trained"), ".3f")
    about = f"Mean, least and largest of {seeds} seeds; initial: before hash functions are trained."
    yield Report("Precision", columns, tuple(precise for precise, _ in found), about)
    title = f"Recall of the {NEAREST} nearest among the first {FIRST}"
    yield Report(title, columns, tuple(recalled for _, recalled in found), about)
