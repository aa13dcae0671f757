"""Precision of the serial reference on three shards beside its baselines, three seeds."""

from __future__ import annotations

from itertools import islice

import numpy as np

from benchmarks.data import Task, baseline_precisions, fashion_mnist, glove, siftsmall
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.models.retrieval import precision
from streammac.models.serial import parmac

EPOCHS = 11
SEEDS = 3


def curve(task: Task, near: np.ndarray, bits: int, epochs: int, seed: int = 0) -> list[float]:
    """Return the precision after every epoch."""
    model = BinaryAutoencoderModel(bits=bits, seed=seed).grouped_for(3)
    shards = {
        f"w{i + 1}": ArrayShard(task.database[i::3], model.coordinate_shape()) for i in range(3)
    }
    database = np.asarray(task.database, np.float32)
    scores = []
    for params, _ in islice(parmac(model, shards, VisitPlan(seed=seed)), epochs):
        codes = (
            model.encode(params, task.queries.copy()),
            model.encode(params, database.copy()),
        )
        scores.append(precision(*codes, near, task.retrieved))
    return scores


def main() -> None:
    print("| data | bits | random | PCA | ITQ | streammac: mean (min to max) |")
    print("|---|---|---|---|---|---|")
    for load in (siftsmall, glove, fashion_mnist):
        task = load()
        near = task.near()
        for bits in task.bits:
            others = baseline_precisions(task, near, bits)
            ours = [curve(task, near, bits, EPOCHS, seed)[-1] for seed in range(SEEDS)]
            known = " | ".join(f"{others[n]:.3f}" for n in ("random", "pca", "itq"))
            spread = f"**{np.mean(ours):.3f}** ({min(ours):.3f} to {max(ours):.3f})"
            print(f"| {task.name} | {bits} | {known} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
