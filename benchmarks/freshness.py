"""How long points wait for a version that was trained with them, where `training.refresh` promises five seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clusters import background, running
from benchmarks.data import siftsmall
from streammac.client import Client
from streammac.settings.schema import Settings

WORKERS, BITS, REFRESH = 2, 32, "5s"
RATES = (10_000, 20_000, 40_000)
BATCH = 1000
KEPT = 200_000
"""Points that each worker keeps."""
SETTLING_S, MEASURED_S = 20.0, 45.0


def anonymous_bytes(pid: int) -> int:
    """Return the memory of a process that is backed by no file."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def feed(client: Client, rate: int):  # type: ignore[no-untyped-def]
    """Push variations of real points, so many per second."""
    known, rng = siftsmall().database, np.random.default_rng(0)
    due = time.monotonic()
    while True:
        rows = known[rng.integers(0, len(known), BATCH)].astype(np.float32)
        client.push(rows + rng.normal(0.0, 4.0, rows.shape).astype(np.float32))
        due = max(due + BATCH / rate, time.monotonic() - 1.0)
        time.sleep(max(0.0, due - time.monotonic()))
        yield


def measure(client: Client, rate: int) -> None:
    time.sleep(SETTLING_S)
    before, begin = client.status(), time.monotonic()
    memory = [anonymous_bytes(worker.pid) for worker in before.workers]
    waited, waiting, last = [], [], before
    while time.monotonic() - begin < MEASURED_S:
        time.sleep(0.1)
        now = client.status()
        waiting.append(now.unpublished_s)
        if now.freshness_s not in (None, last.freshness_s):
            waited.append(now.freshness_s)
        last = now
    elapsed = time.monotonic() - begin
    grown = max(anonymous_bytes(w.pid) - m for w, m in zip(last.workers, memory, strict=True))
    stored = (last.points.accepted - before.points.accepted) / elapsed
    each, age = (
        np.percentile([float(s or 0.0) for s in waited] or [np.nan], [50, 95]),
        np.percentile(waiting, 95),
    )
    print(
        f"{rate:,} points/s wanted, {stored:,.0f} stored: {(last.epoch - before.epoch) / elapsed:.2f} epochs/s, "
        f"{last.model_version - before.model_version} versions; oldest point of a version {each[0]:.1f} s, "
        f"95 % {each[1]:.1f} s; oldest point that waits, 95 % of the time {age:.1f} s; "
        f"memory of a worker {max(memory) / 1e6:.0f} MB, {grown / 1e6:+.0f} MB",
        flush=True,
    )


def main() -> None:
    for rate in RATES:
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
            measure(client, rate)


if __name__ == "__main__":
    main()
