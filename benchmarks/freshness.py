"""How long points wait for a version that was trained with them, where `training.refresh` promises five seconds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import anonymous_bytes, background, running
from benchmarks.data import siftsmall
from benchmarks.report import Cell, Report
from streammac.client import Client
from streammac.settings.schema import Settings

WORKERS, BITS, REFRESH = 2, 32, "5s"
FEEDS = ((20_000, 600.0), (50_000, 60.0))
"""Points per second, and for how long."""
BATCH = 1000
KEPT = 200_000
"""Points that each worker keeps."""
SETTLING_S = 30.0
SHORT = 0.02
"""Part of these times that is enough to see that it runs."""


def feed(client: Client, rate: int) -> Iterator[None]:
    """Push variations of real points, so many per second."""
    known, rng = siftsmall().database, np.random.default_rng(0)
    due = time.monotonic()
    while True:
        rows = known[rng.integers(0, len(known), BATCH)].astype(np.float32)
        client.push(rows + rng.normal(0.0, 4.0, rows.shape).astype(np.float32))
        due = max(due + BATCH / rate, time.monotonic() - 1.0)
        time.sleep(max(0.0, due - time.monotonic()))
        yield


def measure(client: Client, rate: int, seconds: float) -> tuple[Cell, ...]:
    time.sleep(SETTLING_S)
    before, begin = client.status(), time.monotonic()
    memory: list[list[int]] = []
    waited, waiting, promoted, last = [], [], 0, before
    while time.monotonic() - begin < seconds:
        time.sleep(0.1)
        now = client.status()
        waiting.append(now.unpublished_s)
        if now.freshness_s not in (None, last.freshness_s):
            waited.append(now.freshness_s)
        promoted += now.promoted != last.promoted
        memory.append([anonymous_bytes(worker.pid) for worker in now.workers])
        last = now
    elapsed = time.monotonic() - begin
    tenth = max(1, len(memory) // 10)
    first, latest = (np.median(part, axis=0) for part in (memory[:tenth], memory[-tenth:]))
    stored = (last.points.accepted - before.points.accepted) / elapsed
    each = np.percentile([float(s or 0.0) for s in waited] or [np.nan], [50, 95])
    return (
        rate,
        elapsed,
        stored,
        (last.epoch - before.epoch) / elapsed,
        last.model_version - before.model_version,
        promoted,
        float(each[0]),
        float(each[1]),
        float(np.percentile(waiting, 95)),
        float(np.max(memory)) / 1e6,
        float((latest - first).max()) / 1e6,
    )


def run(*, short: bool = False) -> Iterator[Report]:
    rows = []
    for rate, seconds in FEEDS:
        settings = Settings.model_validate(
            {
                "cluster": {"workers": WORKERS},
                "model": {"bits": BITS},
                "training": {"refresh": REFRESH},
                "store": {"retain_points": KEPT, "segment_bytes": 8 << 20},
            }
        )
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), settings) as client,
            Client(Path(folder)) as pusher,
            background(feed(pusher, rate)),
        ):
            rows.append(measure(client, rate, seconds * (SHORT if short else 1.0)))
    yield Report(
        f'`refresh = "{REFRESH}"`, {WORKERS} workers that keep {KEPT:,} points each, {BITS} bits',
        {
            "points/s wanted": ",d",
            "s": ".0f",
            "stored, points/s": ",.0f",
            "epochs/s": ".2f",
            "versions": "d",
            "promoted": "d",
            "oldest point of a version, s": ".1f",
            "of 95 %": ".1f",
            "oldest that waits, 95 % of the time, s": ".1f",
            "most memory of a worker, MB": ".0f",
            "grown by, MB": "+.0f",
        },
        tuple(rows),
        "Of a version, promoted or not, from the acknowledgement of its oldest new point until it is written. "
        "Anonymous memory; grown from the first tenth of the time to the last, medians.",
        {f"freshness_{row[0]}": row[7] for row in rows if isinstance(row[7], float)},
    )
