"""The data sets of the benchmarks, from the folder that ``STREAMMAC_DATA`` names."""

from __future__ import annotations

import gzip
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.sources.array_files import read_arrays
from streammac.models.retrieval import baselines, precision, true_neighbours

QUERIES = 2000
"""Queries of Fashion-MNIST that are used (all 10,000 give the same within 0.002)."""


@dataclass(frozen=True)
class Task:
    """A database, queries, and what counts as found."""

    name: str
    database: NDArray[np.generic]
    queries: NDArray[np.float32]
    neighbours: int
    retrieved: int
    bits: tuple[int, ...]

    def near(self, count: int | None = None) -> NDArray[np.int64]:
        """Return the ``count`` true neighbours of each query (None: as many as precision asks for)."""
        database = np.asarray(self.database, np.float32)
        return true_neighbours(database, self.queries, count or self.neighbours)


def folder() -> Path:
    """Return the data folder, or end with a word about it."""
    if "STREAMMAC_DATA" not in os.environ:
        raise SystemExit("set STREAMMAC_DATA to the folder of the data sets")
    return Path(os.environ["STREAMMAC_DATA"])


def fashion_mnist() -> Task:
    """Return Fashion-MNIST: training images, test images as queries, uint8."""
    path = folder() / "fashion-mnist"
    train = read_arrays(path / "train-images-idx3-ubyte.gz").x
    test = read_arrays(path / "t10k-images-idx3-ubyte.gz").x[:QUERIES].astype(np.float32)
    return Task("Fashion-MNIST", train, test, 1000, 100, (16, 32, 64))


def siftsmall() -> Task:
    """Return siftsmall: 10,000 descriptors, 100 queries."""
    path = folder() / "siftsmall"
    base = read_arrays(path / "siftsmall_base.fvecs").x
    return Task(
        "siftsmall", base, read_arrays(path / "siftsmall_query.fvecs").x, 100, 100, (16, 32)
    )


def glove() -> Task:
    """Return 10,000 word vectors, 500 random ones of them as queries."""
    (archive,) = (folder() / "glove").glob("*.zip")
    with zipfile.ZipFile(archive) as file:
        lines = file.read(file.namelist()[0]).decode().splitlines()
    words = np.array([line.split()[1:] for line in lines if len(line.split()) == 51], np.float32)
    order = np.random.default_rng(0).permutation(len(words))
    return Task("GloVe", words[order[500:]], words[order[:500]], 100, 100, (16, 32))


def baseline_precisions(task: Task, near: NDArray[np.int64], bits: int) -> dict[str, float]:
    """Return the precision of ITQ (mean of three starts), PCA signs and random projections."""
    database = np.asarray(task.database, np.float32)
    sample = database[np.random.default_rng(0).permutation(len(database))[:20_000]]
    scores: dict[str, list[float]] = {}
    for seed in range(3):
        for name, encode in baselines(sample, bits, np.random.default_rng(seed)).items():
            codes = encode(task.queries), encode(database)
            scores.setdefault(name, []).append(precision(*codes, near, task.retrieved))
    return {name: float(np.mean(values)) for name, values in scores.items()}


@dataclass(frozen=True)
class Labelled:
    """Points and their classes, to learn from and to test on."""

    x: NDArray[np.uint8]
    y: NDArray[np.uint8]
    test_x: NDArray[np.uint8]
    test_y: NDArray[np.uint8]

    def first(self, count: int) -> Labelled:
        """Return the same with the first few points to learn from."""
        return Labelled(self.x[:count], self.y[:count], self.test_x, self.test_y)


def labelled_fashion() -> Labelled:
    """Return Fashion-MNIST with its ten classes."""
    path = folder() / "fashion-mnist"
    found: list[NDArray[np.uint8]] = []
    for part in ("train", "t10k"):
        found.append(read_arrays(path / f"{part}-images-idx3-ubyte.gz").x)
        with gzip.open(path / f"{part}-labels-idx1-ubyte.gz") as file:
            found.append(np.frombuffer(file.read(), np.uint8, offset=8))
    return Labelled(*found)
