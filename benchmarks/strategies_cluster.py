"""Consensus on a real cluster: a net at three workers, one of them slowed to a third, by who is waited for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clusters import background, duty
from benchmarks.data import Labelled, labelled_fashion
from benchmarks.report import Cell, Report, Spread
from streammac.client import Client
from streammac.wire.status import ClusterStatus
from tests.workers.live_cluster import LiveCluster

WORKERS, SLOW = 3, "w2"
POINTS = 30_000
SECONDS = 9.0
RUNS = 3
SLICE_S = 0.005
"""The slow worker runs for one slice of three, of which a step has several."""
RULES: tuple[tuple[str, Any], ...] = (("wait for all", 0), ("dynamic", "dynamic"))


@dataclass(frozen=True, slots=True)
class _Curve:
    """What a cluster came to: after so many seconds an epoch had ended, with this loss."""

    times: list[float]
    losses: list[float]
    last: ClusterStatus

    def reached_s(self, loss: float) -> float:
        """Return when it first had a loss, between two epochs in proportion; infinite if never."""
        for number in range(1, len(self.losses)):
            before, after = self.losses[number - 1 : number + 1]
            if after <= loss:
                share = (before - loss) / (before - after)
                begin, end = self.times[number - 1 : number + 1]
                return begin + share * (end - begin)
        return float("inf")

    @property
    def epoch_s(self) -> float:
        return (self.times[-1] - self.times[0]) / max(1, len(self.times) - 1)

    def neighbours(self, *, slow: bool) -> float:
        """Return with how many the slow one, or another, averaged in an iteration."""
        return next(w.neighbours for w in self.last.workers if (w.name == SLOW) is slow)


def _settings(backups: Any, points: int) -> dict[str, Any]:
    return {
        "cluster": {"heartbeat_s": 0.5},
        "stream": {"classes": 10},
        "model": {"family": "deep_net", "options": {"layers": [256, 128], "passes": 1 << 20}},
        "training": {
            "strategy": "consensus",
            "backups": backups,
            "minibatch": 256,
            "start_points": points,
        },
        "publish": {"interval_s": 1000.0},
        "held_out": {"share": 0.002},
    }


def _curve(task: Labelled, backups: Any, seconds: float, *, slowed: bool) -> _Curve:
    x, y = task.x[:POINTS], task.y[:POINTS]
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveCluster(Path(folder), _settings(backups, int(0.99 * POINTS)), WORKERS) as cluster,
    ):
        cluster.wait(lambda s: bool(s.ingest) and len(s.members) == WORKERS, "the cluster")
        with Client(Path(folder)) as client:
            for first in range(0, POINTS, 1000):
                client.push(x[first : first + 1000], y[first : first + 1000])
        cluster.wait(lambda s: s.epoch >= 1, "a first model")
        with background(duty(cluster, SLOW, SLICE_S)) if slowed else nullcontext():
            return _watched(cluster, seconds)


def _watched(cluster: LiveCluster, seconds: float) -> _Curve:
    begin, seen = time.monotonic(), 0
    times: list[float] = []
    losses: list[float] = []
    while True:
        status = cluster.wait(lambda s: s.objective is not None, "a loss")
        now = time.monotonic() - begin
        if status.epoch > seen and status.objective is not None:
            seen = status.epoch
            times.append(now)
            losses.append(status.objective)
        if now > seconds:
            return _Curve(times, losses, status)


def run(*, short: bool = False) -> Iterator[Report]:
    task, runs, seconds = labelled_fashion(), 1 if short else RUNS, 6.0 if short else SECONDS
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float | Spread] = {}
    for slowed in (True, False):
        curves = {
            name: [_curve(task, backups, seconds, slowed=slowed) for _ in range(runs)]
            for name, backups in RULES
        }
        first = next(iter(curves))
        for name, its in curves.items():
            faster = []
            for mine, theirs in zip(its, curves[first], strict=True):
                target = theirs.losses[len(theirs.losses) * 2 // 3]
                faster.append(theirs.reached_s(target) / mine.reached_s(target))
            told = Spread.of(faster)
            rows.append(
                (
                    "one slow" if slowed else "none slow",
                    name,
                    Spread.of(curve.epoch_s for curve in its),
                    told,
                    Spread.of(curve.losses[-1] for curve in its),
                    Spread.of(curve.neighbours(slow=False) for curve in its),
                    Spread.of(curve.neighbours(slow=True) for curve in its),
                )
            )
            if name != first:
                figures["faster_slow" if slowed else "faster_none"] = told
    yield Report(
        f"A net of 784, 256 and 128 units on {POINTS:,} images of Fashion-MNIST, at {WORKERS} workers",
        {
            "": "",
            "rule": "",
            "epoch, s": ".2f",
            "to the same loss, times faster": ".2f",
            "loss at the end": ".3f",
            "neighbours averaged with": ".2f",
            f"of {SLOW}": ".2f",
        },
        tuple(rows),
        f"{SLOW} is stopped two thirds of the time, {SLICE_S * 2000:.0f} ms at a time. {seconds:.0f} s; the loss is "
        "that which waiting for all has after two thirds of its epochs. The middle of "
        f"{runs} runs, least and largest.",
        figures,
    )
