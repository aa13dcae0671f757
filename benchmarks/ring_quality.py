"""Precision through the real ring of three processes, from one feed and from 20 chunks over time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clusters import running, wait_for_rest
from benchmarks.data import Task, baseline_precisions, fashion_mnist
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


def main() -> None:
    task = fashion_mnist()
    near = task.near()
    x = task.database[np.random.default_rng(0).permutation(len(task.database))]
    print("| bits | ITQ | one feed | 20 chunks | sent | accepted | stored |")
    print("|---|---|---|---|---|---|---|")
    for bits in task.bits:
        itq = baseline_precisions(task, near, bits)["itq"]
        scores = []
        with tempfile.TemporaryDirectory() as folder:
            for chunks in (1, CHUNKS):
                model, points = trained(Path(folder) / str(chunks), x, bits, chunks)
                scores.append(f"**{measure(task, near, model):.3f}**")
        counts = " | ".join(f"{n:,}" for n in (points.sent, points.accepted, points.stored))
        print(f"| {bits} | {itq:.3f} | {' | '.join(scores)} | {counts} |", flush=True)


if __name__ == "__main__":
    main()
