"""Precision after a stream with ten changes of the ring's members (deaths, returns, joins, leaves), and without any."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import wait_for_rest
from benchmarks.data import fashion_mnist
from benchmarks.report import Report
from benchmarks.ring_quality import CHUNK_S, CHUNKS, measure
from streammac.client import Client, Model
from streammac.wire.status import PointCounts
from tests.workers.live_cluster import LiveCluster, states

BITS = 32

Change = Callable[[LiveCluster], object]
CHANGES: dict[int, Change] = {
    1: lambda c: c.start("worker", "w4"),
    3: lambda c: c.kill("w2"),
    5: lambda c: c.start("worker", "w2"),
    7: lambda c: c.signal("w1", signal.SIGTERM),
    9: lambda c: c.start("worker", "w5"),
    11: lambda c: c.kill("w4"),
    13: lambda c: c.start("worker", "w1"),
    15: lambda c: c.kill("w3"),
    17: lambda c: c.start("worker", "w4"),
    19: lambda c: c.start("worker", "w3"),
}
"""Before which chunk of the stream somebody comes, goes or dies. In the end all are there, with their points."""


def trained(
    folder: Path, x: np.ndarray, changes: dict[int, Change]
) -> tuple[Model, PointCounts, int, str]:
    """Push the points in chunks while members change; return what is there when the model has come to rest."""
    with LiveCluster(folder, {"model": {"bits": BITS}}) as cluster:
        cluster.wait(lambda s: len(s.workers) == 3 and bool(s.ingest), "the cluster")
        with Client(folder) as client:
            for number, part in enumerate(np.array_split(x, CHUNKS)):
                if number in changes:
                    changes[number](cluster)
                client.push(part)
                time.sleep(CHUNK_S)
            wait_for_rest(client)
            status = client.status()
            lives = ", ".join(f"{n} {s}" for n, s in sorted(states(status).items()))
            return client.model(), status.points, status.view, lives


def run(*, short: bool = False) -> Iterator[Report]:
    task = fashion_mnist()
    near = task.near()
    x = task.database[np.random.default_rng(0).permutation(len(task.database))]
    rows, figures = [], {}
    for changes in (CHANGES,) if short else ({}, CHANGES):
        with tempfile.TemporaryDirectory() as folder:
            model, points, view, lives = trained(Path(folder), x, changes)
        twice = points.stored + points.away - points.sent
        found = measure(task, near, model)
        figures[f"precision_{len(changes)}"] = found
        rows.append((len(changes), found, view, points.sent, points.stored, twice, lives))
    yield Report(
        f"Fashion-MNIST, {BITS} bits, in {CHUNKS} chunks, while members come and go",
        {
            "changes": "d",
            "precision": ".4f",
            "views": "d",
            "sent": ",d",
            "stored": ",d",
            "stored twice": ",d",
            "workers at the end": "",
        },
        tuple(rows),
        "The same stream without changes, and with ten.",
        figures,
    )
