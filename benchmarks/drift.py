"""Quality beside ITQ's when a feed changes at once and wholly, with a window of ten seconds and very short epochs."""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.clusters import PUSH_S, fed
from streammac.client import Client

RATE = 2000
"""Points pushed per second."""
KEPT_S = 10.0
LOOK_S = 4.0
BEFORE, AFTER = 5, 10
"""Looks before and after the change."""


class Feed:
    """Digits with noise; ``columns`` says in which order their pixels come."""

    def __init__(self) -> None:
        self.columns = np.arange(64)
        self._digits = load_digits().data.astype(np.float32)
        self._rng = np.random.default_rng(0)

    def push(self, client: Client) -> None:
        """Push the points of a turn."""
        x = self._digits[self._rng.integers(0, len(self._digits), int(RATE * PUSH_S))]
        noise = self._rng.normal(0, 1, x.shape).astype(np.float32)
        client.push((x + noise)[:, self.columns])


def main() -> None:
    settings = {
        "model": {"bits": 16},
        "store": {"retain_s": KEPT_S, "segment_bytes": 1 << 18},
        "held_out": {"points": 1024},
    }
    feed = Feed()
    with fed(settings, feed.push) as cluster:
        cluster.wait(lambda s: s.quality is not None, "a measured model")
        print("| | this model / ITQ | drifts |\n|---|---|---|")
        for look in range(BEFORE + AFTER):
            time.sleep(LOOK_S)
            status = cluster.wait(lambda s: True, "a status")
            assert status.quality is not None
            ratio = status.quality.model / status.quality.itq
            after = LOOK_S * (look + 1 - BEFORE)
            when = "before" if look < BEFORE else f"{after:.0f} s after the change"
            print(f"| {when} | {ratio:.2f} | {status.drift_events} |", flush=True)
            if look + 1 == BEFORE:
                feed.columns = np.random.default_rng(0).permutation(64)


if __name__ == "__main__":
    main()
