"""How soon codes follow a feed that changes at once and wholly, with drift detection and without."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.clusters import PUSH_S, fed
from benchmarks.report import Report
from streammac.client import Client, Model
from streammac.models import BinaryAutoencoder
from streammac.models.retrieval import precision, true_neighbours
from tests.workers.live_cluster import LiveCluster

BITS = 16
RATE = 1000
"""Points pushed per second."""
KEPT_S = 15.0
"""Age up to which points are kept."""
CALM_S = 25.0
"""Time before the change."""
LOOK_S, LOOKS, SHORT_LOOKS = 3.0, 16, 2
"""Between two looks after the change, and how many there are."""
NEAR_ENOUGH = 0.02
"""Precision less than that of codes fitted to the new kind alone."""


class Feed:
    """Digits with noise; ``columns`` says in which order their pixels come."""

    def __init__(self, seed: int = 0) -> None:
        self.columns = np.arange(64)
        self._digits = load_digits().data.astype(np.float32)
        self._rng = np.random.default_rng(seed)

    def change(self) -> None:
        """Have the pixels change places."""
        self.columns = np.random.default_rng(0).permutation(64)

    def draw(self, count: int) -> NDArray[np.float32]:
        """Return points."""
        x: NDArray[np.float32] = self._digits[self._rng.integers(0, len(self._digits), count)]
        x = x + self._rng.normal(0, 1, x.shape).astype(np.float32)
        return np.ascontiguousarray(x[:, self.columns])

    def push(self, client: Client) -> None:
        """Push the points of a turn."""
        client.push(self.draw(int(RATE * PUSH_S)))


class NewKind:
    """What codes of the new kind are worth, and the most that they can be: fitted to as many points of it alone."""

    def __init__(self) -> None:
        feed = Feed(seed=1)
        feed.change()
        self._queries, self._points = feed.draw(500), feed.draw(int(RATE * KEPT_S))
        self._near = true_neighbours(self._points, self._queries, 100)
        fitted = [BinaryAutoencoder(bits=BITS, random_state=seed) for seed in range(3)]
        codes = (model.fit(self._points).transform for model in fitted)
        packed = [[np.packbits(code(x), axis=1) for x in self._sets] for code in codes]
        self.best = float(np.mean([self._precision(*pair) for pair in packed]))

    @property
    def _sets(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._queries, self._points

    def _precision(self, queries: NDArray[np.uint8], points: NDArray[np.uint8]) -> float:
        return precision(queries, points, self._near, 100)

    def measure(self, model: Model) -> float:
        """Return the precision of a cluster's current version."""
        return self._precision(*(model.encode(x) for x in self._sets))


def looks(
    cluster: LiveCluster, kind: NewKind, feed: Feed, count: int
) -> Iterator[tuple[float, int, float]]:
    """Change the feed; yield seconds and epochs since then, and the precision of the current version."""
    status = cluster.wait(lambda s: s.quality is not None, "a measured model")
    time.sleep(CALM_S)
    status = cluster.wait(lambda s: True, "a status")
    feed.change()
    began, epoch = time.monotonic(), status.epoch
    for look in range(count):
        time.sleep(max(0.0, began + (look + 1) * LOOK_S - time.monotonic()))
        status = cluster.wait(lambda s: True, "a status")
        with Client(cluster.directory.root) as client:
            found = kind.measure(client.model())
        yield time.monotonic() - began, status.epoch - epoch, found


def run(*, short: bool = False) -> Iterator[Report]:
    kind = NewKind()
    rows, lines = [], []
    for enabled in (True, False):
        settings = {
            "model": {"bits": BITS},
            "store": {"retain_s": KEPT_S, "segment_bytes": 1 << 18},
            "drift": {"enabled": enabled},
        }
        feed = Feed()
        with fed(settings, feed.push) as cluster:
            seen = list(looks(cluster, kind, feed, SHORT_LOOKS if short else LOOKS))
            drifts = cluster.wait(lambda s: True, "a status").drift_events
        name = "with detection" if enabled else "without"
        good = [found >= kind.best - NEAR_ENOUGH for _, _, found in seen]
        first = len(good) - next((i for i, ok in enumerate(reversed(good)) if not ok), len(good))
        back, epochs = seen[first][:2] if first < len(seen) else (None, None)
        rows.append((name, drifts, back, epochs, seen[-1][2]))
        lines += [(name, *one) for one in seen]
    yield Report(
        f"A feed that changes wholly: back within {NEAR_ENOUGH} for good",
        {
            "": "",
            "drifts noticed": "d",
            "after, s": ".0f",
            "epochs": "d",
            "precision at the end": ".3f",
        },
        tuple(rows),
        f"Codes fitted to the new kind alone have {kind.best:.3f}. An empty cell: not within the time.",
    )
    yield Report(
        "The way there",
        {"": "", "s": ".0f", "epochs": "d", "precision": ".3f"},
        tuple(lines),
        "Precision of the current version for the new kind.",
    )
