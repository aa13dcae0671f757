"""Load balance when one of two workers is slowed to a third: how soon epochs are as short as they can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.clusters import PUSH_S, background, duty, fed
from benchmarks.report import Cell, Report
from streammac.client import Client
from tests.workers.live_cluster import LiveCluster

DIM, BITS = 256, 32
RATE = 3000
"""Points pushed per second."""
KEPT_S = 15.0
"""Points are kept so long: all of the data is newly arrived after it."""
SLICE_S = 0.02
"""A slowed worker runs for one slice of three."""
WINDOW_S = 10.0
WINDOWS = 6
SLOW = "w2"


def feed() -> Callable[[Client], None]:
    """Return what pushes the points of a turn."""
    rng = np.random.default_rng(0)
    basis = rng.random((32, DIM), np.float32)

    def push(client: Client) -> None:
        client.push(rng.random((int(RATE * PUSH_S), 32), np.float32) @ basis)

    return push


def window(cluster: LiveCluster) -> tuple[float, float, dict[str, int]]:
    """Return the seconds of an epoch, its median imbalance, and the points of each worker at the end."""
    begin, imbalances, epochs = time.monotonic(), [], []
    while time.monotonic() < begin + WINDOW_S:
        status = cluster.wait(lambda s: True, "a status")
        epochs.append((time.monotonic(), status.epoch))
        imbalances.append(status.imbalance or 1.0)
        time.sleep(0.1)
    (t0, e0), (t1, e1) = epochs[0], epochs[-1]
    points = {w.name: w.points for w in status.workers}
    return (t1 - t0) / max(1, e1 - e0), float(np.median(imbalances)), points


def run(*, short: bool = False) -> Iterator[Report]:
    settings = {
        "model": {"bits": BITS, "options": {"mu_factor": 1.0, "rotations": 5}},
        "store": {"retain_s": KEPT_S, "segment_bytes": 1 << 20},
        "training": {"growth": 1e6},
        "publish": {"interval_s": 5.0},
    }
    rows: list[tuple[Cell, ...]] = []
    figures = {}
    with fed(settings, feed()) as cluster:
        time.sleep(2 * KEPT_S)
        even, _, _ = window(cluster)
        rows.append(("both at full speed", even, None, None, None))
        ideal = even * 2 / (1 + 1 / 3)
        with background(duty(cluster, SLOW, SLICE_S)):
            slowed = time.monotonic()
            for _ in range(1 if short else WINDOWS):
                epoch, imbalance, points = window(cluster)
                after = time.monotonic() - slowed
                shares = ", ".join(f"{name} {count:,}" for name, count in points.items())
                rows.append((f"after {after:.0f} s", epoch, epoch / ideal, imbalance, shares))
                figures[f"imbalance_{after:.0f}"] = imbalance
    yield Report(
        f"{SLOW} of two workers slowed to a third",
        {
            "": "",
            "epoch, s": ".3f",
            "of the ideal": ".2f",
            "largest over mean busy time": ".2f",
            "points": "",
        },
        tuple(rows),
        f"{RATE:,} points/s arrive, and are kept for {KEPT_S:.0f} s.",
        figures,
    )
