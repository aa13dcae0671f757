"""One worker with five million points: the memory that it takes, besides mapped files, while it trains on them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import anonymous_bytes, running
from benchmarks.data import siftsmall
from benchmarks.report import Report
from streammac.client import Client
from streammac.settings.schema import Settings

POINTS, BATCH, BITS = 5_000_000, 10_000, 32
SHORT = 25
"""A part of the points is enough to see that it runs: so many times fewer."""
EPOCHS = 3
PATIENCE_S = 1200.0


def run(*, short: bool = False) -> Iterator[Report]:
    points = POINTS // SHORT if short else POINTS
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 1},
            "model": {"bits": BITS},
            "training": {"start_points": points * 9 // 10, "growth": 100.0, "renewal": 100.0},
        }
    )
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as client:
        push(client, points)
        began = time.monotonic()
        status, most = client.status(), 0
        while status.epoch < EPOCHS or status.quality is None:
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f"no {EPOCHS} epochs within {PATIENCE_S:.0f} s")
            time.sleep(0.1)
            status = client.status()
            most = max(most, anonymous_bytes(status.workers[0].pid))
        row = (status.workers[0].points, time.monotonic() - began, most / 1e6)
    yield Report(
        f"One worker, 128 float32, {BITS} bits, {EPOCHS} epochs and the first measuring",
        {"points": ",d", "s": ".0f", "most anonymous memory, MB": ".0f"},
        (row,),
        "",
        {"anonymous_mb": row[2]},
    )


def push(client: Client, points: int) -> None:
    """Push variations of real points."""
    known, rng = siftsmall().database, np.random.default_rng(0)
    for _ in range(points // BATCH):
        rows = known[rng.integers(0, len(known), BATCH)].astype(np.float32)
        client.push(rows + rng.random(rows.shape, np.float32), timeout_s=PATIENCE_S)
