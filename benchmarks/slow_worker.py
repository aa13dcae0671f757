"""Load balance when one of two workers is slowed to a third: how soon epochs are as short as they can be."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

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
SLOW = "w2"


@contextmanager
def background(turn: threading.Event, work: Iterator[None]) -> Iterator[None]:
    """Advance ``work`` in a thread until the block ends."""

    def go() -> None:
        for _ in work:
            if turn.is_set():
                return

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        turn.set()
        thread.join()


def feed(client: Client, seed: int = 0) -> Iterator[None]:
    """Push points at a steady rate."""
    rng = np.random.default_rng(seed)
    basis = rng.random((32, DIM), np.float32)
    due = time.monotonic()
    while True:
        client.push(rng.random((RATE // 10, 32), np.float32) @ basis)
        due += 0.1
        time.sleep(max(0.0, due - time.monotonic()))
        yield


def duty(cluster: LiveCluster, name: str) -> Iterator[None]:
    """Stop a process two thirds of the time."""
    while True:
        cluster.signal(name, signal.SIGSTOP)
        time.sleep(2 * SLICE_S)
        cluster.signal(name, signal.SIGCONT)
        time.sleep(SLICE_S)
        yield


def window(cluster: LiveCluster) -> tuple[float, float, dict[str, int]]:
    """Return the seconds of an epoch, its median imbalance, and the points of each worker at the end."""
    begin, imbalances, epochs = time.monotonic(), [], []
    while time.monotonic() < begin + WINDOW_S:
        status = cluster.wait(lambda s: True, "a status")
        epochs.append((time.monotonic(), status["epoch"]))
        imbalances.append(status["imbalance"] or 1.0)
        time.sleep(0.1)
    (t0, e0), (t1, e1) = epochs[0], epochs[-1]
    points = {w["name"]: w["points"] for w in status["workers"]}
    return (t1 - t0) / max(1, e1 - e0), float(np.median(imbalances)), points


def main() -> None:
    settings = {
        "model": {"bits": BITS, "options": {"mu_factor": 1.0, "rotations": 5}},
        "store": {"retain_s": KEPT_S, "segment_bytes": 1 << 20},
        "training": {"growth": 1e6},
        "publish": {"interval_s": 5.0},
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveCluster(Path(folder), settings, workers=2) as cluster,
    ):
        cluster.wait(lambda s: bool(s["ingest"]) and len(s["workers"]) == 2, "the cluster")
        with Client(Path(folder)) as client, background(threading.Event(), feed(client)):
            time.sleep(2 * KEPT_S)
            even, _, _ = window(cluster)
            print("| | epoch, s | of the ideal | largest over mean busy time | points |")
            print("|---|---|---|---|---|")
            print(f"| both at full speed | {even:.3f} | | | |", flush=True)
            ideal = even * 2 / (1 + 1 / 3)
            with background(threading.Event(), duty(cluster, SLOW)):
                slowed = time.monotonic()
                for _ in range(6):
                    epoch, imbalance, points = window(cluster)
                    after = time.monotonic() - slowed
                    shares = ", ".join(f"{name} {count:,}" for name, count in points.items())
                    print(
                        f"| {SLOW} slowed, after {after:.0f} s | {epoch:.3f} | {epoch / ideal:.2f} "
                        f"| {imbalance:.2f} | {shares} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
