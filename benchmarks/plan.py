"""What ``streammac plan`` predicts, beside what is measured here, and its two models beside each other."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks.clusters import BITS, epoch_seconds
from benchmarks.data import fashion_mnist, siftsmall
from benchmarks.report import Cell, Report, Spread
from streammac.models.base import Array
from streammac.planning.calibration import MOST_POINTS, calibrate, narrowest
from streammac.planning.constants import Constants, HopCost
from streammac.planning.hops import measure
from streammac.planning.outlook import Outlook, outlook
from streammac.planning.workload import CodeWorkload, NetWorkload, Workload
from workers.transports.zeromq import ZeroMQTransport

MEASURED_S, SHORT_S = 12.0, 2.0
REPEATS = 3
HERE = (1, 2)
"""Numbers of workers that can be measured on two cores."""
BEYOND = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def hop() -> HopCost:
    """Measure a hop between two sockets of this machine."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    here, there = ZeroMQTransport(context), ZeroMQTransport(context)
    try:
        return measure(here, there)
    finally:
        here.close()
        there.close()
        context.term()


def measured_here(
    x: Array,
    workload: Workload,
    repeats: int,
    changed: Mapping[str, dict[str, Any]] | None = None,
    *,
    short: bool,
) -> Iterator[Report]:
    """Yield predictions beside measurements, calibrated anew for each repeat: the machine is not always as fast."""
    found: dict[int, list[tuple[float, Outlook]]] = {workers: [] for workers in HERE}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1 if short else repeats):
            constants = calibrate(workload, x, narrowest(workload, HERE), hop(), platform.node())
            for one in outlook(workload, constants, HERE):
                here = Path(folder) / f"{number}-{one.workers}"
                measured_s = SHORT_S if short else MEASURED_S
                seconds = epoch_seconds(here, x, one.workers, measured_s, changed)
                found[one.workers].append((seconds, one))
    rows: list[tuple[Cell, ...]] = []
    for workers, pairs in found.items():
        took = Spread.of(taken for taken, _ in pairs)
        formula, simulated = (
            Spread.of(getattr(one, name) / taken for taken, one in pairs)
            for name in ("formula_s", "simulated_s")
        )
        rows.append((workers, took, formula, simulated))
    yield Report(
        f"Predicted and measured epochs: {len(x):,} points, Fashion-MNIST (784 uint8), {workload.what}",
        {
            "workers": "d",
            "measured, s": ".3f",
            "formula / measured": ".2f",
            "simulated / measured": ".2f",
        },
        tuple(rows),
        "Real clusters on this machine; constants measured just before each of them.",
        {
            f"predicted_{row[0]}": row[3]
            for row in rows
            if isinstance(row[3], Spread) and isinstance(workload, CodeWorkload)
        },
    )


def beside_each_other(
    title: str, workload: CodeWorkload, constants: Constants, workers: tuple[int, ...]
) -> Report:
    """Return both models of rings that are larger than this machine."""
    found = list(outlook(workload, constants, workers))
    return Report(
        f"{title}: {workload.points:,} points of {workload.dim}, {workload.bits} bits",
        {
            "workers": "d",
            "blocks": "d",
            "epoch, s: formula": ".4g",
            "simulated": ".4g",
            "speed-up: formula": ".1f",
            "simulated, speed-up": ".1f",
            "sent by each, MB": ".3g",
            "refresh, s": ".3g",
        },
        tuple(
            (
                one.workers,
                one.blocks,
                one.formula_s,
                one.simulated_s,
                one.formula_speedup,
                one.simulated_speedup,
                one.sent_bytes / 1e6,
                one.refresh_s,
            )
            for one in found
        ),
        "One machine and one core for each worker, each as fast as a core here; hops as between two processes here.",
        {f"{title}_{one.workers}": one.simulated_speedup for one in found},
    )


def run(*, short: bool = False) -> Iterator[Report]:
    x = np.random.default_rng(0).permutation(fashion_mnist().database)
    codes = CodeWorkload(len(x), x.shape[1], BITS)
    yield from measured_here(x, codes, REPEATS, short=short)
    workers = BEYOND[:8] if short else BEYOND
    between = hop()
    eight = CodeWorkload(len(x), x.shape[1], 64)
    constants = calibrate(eight, x, narrowest(eight, workers), between, platform.node())
    yield beside_each_other("images", eight, constants, workers[:6])
    paper = CodeWorkload(100_000_000, 128, 64)
    y = descriptors()
    for title, work in (("paper", paper), ("paper, blocks of one bit", _fine(paper))):
        narrow = narrowest(work, workers)
        constants = calibrate(work, y, narrow, between, platform.node())
        yield beside_each_other(title, work, constants, workers if work is paper else (1, 8, 128))
    # one that is to tell its input; it never rests, and while it is timed no version of it is measured
    net = NetWorkload(len(x), x.shape[1], (256, 128))
    options = {"layers": net.layers, "passes": 1 << 20}
    changed: dict[str, dict[str, Any]] = {
        "model": {"family": "deep_net", "options": options},
        "publish": {"interval_s": 60.0},
    }
    yield from measured_here(x, net, 1, changed, short=short)


def _fine(work: CodeWorkload) -> CodeWorkload:
    return CodeWorkload(work.points, work.dim, work.bits, work.laps, block_bits=1)


def descriptors() -> Array:
    """Return SIFT descriptors, each several times with a little noise: there are only ten thousand."""
    base = np.asarray(siftsmall().database, np.float32)
    rng = np.random.default_rng(0)
    many = base[rng.integers(len(base), size=MOST_POINTS)]
    return np.asarray(many + rng.normal(0, 4, many.shape), np.float32)
