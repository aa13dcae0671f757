"""Precision through the real ring of three processes, from one feed and from 20 chunks over time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import running, wait_for_rest
from benchmarks.data import Task, baseline_precisions, fashion_mnist
from benchmarks.report import Report
from streammac.client import Model
from streammac.models.retrieval import precision
from streammac.settings.schema import Settings
from streammac.wire.status import PointCounts

CHUNKS = 20
CHUNK_S = 1.5


def trained(folder: Path, x: np.ndarray, bits: int, chunks: int) -> tuple[Model, PointCounts]:
    """Push the points to a cluster; return the current model when it has come to rest."""
    settings = Settings.model_validate({"cluster": {"workers": 3}, "model": {"bits": bits}})
    with running(folder, settings) as client:
        for part in np.array_split(x, chunks):
            client.push(part)
            time.sleep(CHUNK_S if chunks > 1 else 0.0)
        wait_for_rest(client)
        return client.model(), client.status().points


def measure(task: Task, near: np.ndarray, model: Model) -> float:
    codes = model.encode(task.queries), model.encode(task.database)
    return precision(*codes, near, task.retrieved)


def run(*, short: bool = False) -> Iterator[Report]:
    task = fashion_mnist()
    near = task.near()
    x = task.database[np.random.default_rng(0).permutation(len(task.database))]
    rows = []
    for bits in task.bits[:1] if short else task.bits:
        itq = baseline_precisions(task, near, bits)["itq"]
        scores = []
        with tempfile.TemporaryDirectory() as folder:
            for chunks in (1, CHUNKS):
                model, points = trained(Path(folder) / str(chunks), x, bits, chunks)
                scores.append(measure(task, near, model))
        rows.append((bits, itq, *scores, points.sent, points.accepted, points.stored))
    yield Report(
        "Precision through a ring of three processes, Fashion-MNIST",
        {
            "bits": "d",
            "ITQ": ".3f",
            "one feed": ".3f",
            f"{CHUNKS} chunks": ".3f",
            "sent": ",d",
            "accepted": ",d",
            "stored": ",d",
        },
        tuple(rows),
        "Of the version that is current when the hash functions have come to rest.",
    )
