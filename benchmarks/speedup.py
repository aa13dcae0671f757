"""How much faster two workers finish an epoch than one, on two cores."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clusters import running, wait_for_epochs
from streammac.settings.schema import Settings

POINTS, DIM, BITS = 60_000, 784, 32
MEASURED_S = 12.0
REPEATS = 3


def epoch_s(folder: Path, feed: Path, workers: int) -> float:
    """Return the seconds of one epoch in which hash functions do not rest."""
    settings = Settings.model_validate(
        {
            "cluster": {"workers": workers},
            "model": {"bits": BITS, "options": {"mu_factor": 1.0, "rotations": 5}},
            "ingest": {"sources": [str(feed)]},
            "training": {"start_points": int(POINTS * 0.9), "growth": 100.0},
            "publish": {"interval_s": 5.0},
            "held_out": {"share": 0.002},
        }
    )
    with running(folder, settings) as client:
        first, begin = wait_for_epochs(client).epoch, time.monotonic()
        time.sleep(MEASURED_S)
        while client.status().epoch == (last := client.status().epoch):
            time.sleep(0.005)
        return float((time.monotonic() - begin) / (last + 1 - first))


def main() -> None:
    x = np.random.default_rng(0).random((POINTS, DIM), np.float32)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "feed.npy"
        np.save(feed, x)
        for number in range(REPEATS):
            one = epoch_s(Path(folder) / f"one{number}", feed, 1)
            two = epoch_s(Path(folder) / f"two{number}", feed, 2)
            ratios.append(one / two)
            print(
                f"epoch with one worker {one:.2f} s, with two {two:.2f} s: {one / two:.2f}",
                flush=True,
            )
    print(f"median speed-up {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
