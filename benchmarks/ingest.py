"""Ingest end to end with ``file`` acknowledgements, into one worker, beside plain writes to a file."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import PATIENCE_S, running
from benchmarks.report import Report, Spread
from streammac.settings.schema import Settings

POINTS, DIM, BATCH = 1_000_000, 128, 1024
REPEATS = 3


def write_s(path: Path, x: np.ndarray) -> float:
    begin = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for first in range(0, len(x), BATCH):
            os.write(file.fileno(), x[first : first + BATCH].data)
    return time.perf_counter() - begin


def ingest_s(folder: Path, feed: Path) -> float:
    """Return the seconds from the first acknowledgement to the last, plus one batch's share."""
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 1, "heartbeat_s": 0.02},
            "ingest": {"sources": [str(feed)], "batch_points": BATCH},
            "training": {"start_points": 10 * POINTS},
            "held_out": {"share": 0.0},
        }
    )
    with running(folder, settings) as client:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status = client.status()
            nodes = status.ingest
            if nodes and status.points.accepted >= POINTS:
                return time.time() - nodes[0].first_ack_s
            time.sleep(0.01)
    raise SystemExit("the feed was not stored in time")


def run(*, short: bool = False) -> Iterator[Report]:
    x = np.random.default_rng(0).random((POINTS, DIM), np.float32)
    rates, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "feed.npy"
        np.save(feed, x)
        for number in range(1 if short else REPEATS):
            plain = write_s(Path(folder) / "plain", x)
            ours = ingest_s(Path(folder) / f"run{number}", feed)
            rates.append(POINTS / ours)
            ratios.append(plain / ours)
    rate, ratio = Spread.of(rates), Spread.of(ratios)
    yield Report(
        f"Ingest: {DIM} float32, batches of {BATCH}, one worker, `file` acknowledgements",
        {"points": ",d", "points/s": ",.0f", "of plain writes": ".2f"},
        ((POINTS, rate, ratio),),
        "Beside plain writes of the same bytes to a file.",
        {"rate": rate, "of_plain": ratio},
    )
