"""How much faster several workers finish an epoch than one: the same points, and as many for each (weak scaling)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import BITS, epoch_seconds
from benchmarks.data import fashion_mnist
from benchmarks.report import Report, Spread

MEASURED_S, SHORT_S = 12.0, 2.0
REPEATS = 3
MOST_WORKERS = 16


def run(*, short: bool = False) -> Iterator[Report]:
    x = np.random.default_rng(0).permutation(fashion_mnist().database)
    cores = min(MOST_WORKERS, len(os.sched_getaffinity(0)))
    counts = [2**power for power in range(cores.bit_length())]
    repeats = range(1 if short else REPEATS)
    measured_s = SHORT_S if short else MEASURED_S
    same: dict[int, list[float]] = {workers: [] for workers in counts}
    each: dict[int, list[float]] = {workers: [] for workers in counts}
    with tempfile.TemporaryDirectory() as folder:
        for number in repeats:
            for workers in counts:
                here = Path(folder) / f"{number}-{workers}"
                same[workers].append(epoch_seconds(here, x, workers, measured_s))
            for workers in counts[:-1]:
                points = len(x) * workers // counts[-1]
                here = Path(folder) / f"{number}-{workers}-weak"
                each[workers].append(epoch_seconds(here, x[:points], workers, measured_s))
            each[counts[-1]].append(same[counts[-1]][-1])
    one = f"{BITS} bits, Fashion-MNIST (784 uint8)"
    fast = {workers: _ratios(same[1], same[workers]) for workers in counts}
    yield Report(
        f"Speed-up: {len(x):,} points in all, {one}",
        {"workers": "d", "epoch, s": ".3f", "speed-up": ".2f", "of perfect": ".0%"},
        tuple((w, Spread.of(same[w]), fast[w], fast[w].middle / w) for w in counts),
        f"Epochs in which hash functions train, on {cores} cores, which the cluster's other processes use, too.",
        {f"speedup_{w}": fast[w] for w in counts[1:]},
    )
    kept = {workers: _ratios(each[1], each[workers]) for workers in counts}
    yield Report(
        f"Weak scaling: {len(x) // counts[-1]:,} points for each worker, {one}",
        {"workers": "d", "epoch, s": ".3f", "of one worker's speed": ".2f"},
        tuple((w, Spread.of(each[w]), kept[w]) for w in counts),
        "Perfect would be 1.",
        {f"weak_{w}": kept[w] for w in counts[1:]},
    )


def _ratios(ones: list[float], others: list[float]) -> Spread:
    return Spread.of(one / other for one, other in zip(ones, others, strict=True))
