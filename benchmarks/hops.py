"""How fast a token travels from worker to worker, over MPI and over ZeroMQ, and what that means for an epoch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import epoch_seconds
from benchmarks.report import Cell, Report, Spread
from streammac.supervisor.mpi_starter import MISSING, ROOT, is_usable, starter

SIZES = {1 << 10: 2000, 1 << 16: 1000, 1 << 20: 200, 16 << 20: 10}
"""Bytes of a token, and how many hops are measured in a round."""
ROUNDS = 5
SHORT = 20
WAYS = ("mpi4py", "MPI, looking", "MPI", "ZeroMQ ipc", "ZeroMQ tcp")
ASLEEP = ("MPI", "ZeroMQ ipc", "ZeroMQ tcp")
POINTS, DIM = 2000, 128
EPOCHS_S, SHORT_S = 8.0, 1.0
TURNING = {"mu_factor": 1.0, "rotations": 5}
SMALL = TURNING | {"block_bits": 4}
LARGE = TURNING | {"block_bits": 32}
CASES = {
    "small": (2, "16 and 16 small", SMALL),
    "large": (2, "2 and 2 large", LARGE),
    "more_ranks": (4, "16 and 16 small", SMALL),
}
"""Workers, blocks; four workers are twice as many as a machine of two cores has."""


def run(*, short: bool = False) -> Iterator[Report]:
    if not is_usable():
        raise RuntimeError(MISSING)
    wanted = [(size, max(3, hops // SHORT) if short else hops) for size, hops in SIZES.items()]
    yield from _hops(wanted, 1 if short else ROUNDS)
    yield _epochs(1 if short else 3, SHORT_S if short else EPOCHS_S)


def _hops(wanted: list[tuple[int, int]], rounds: int) -> Iterator[Report]:
    command = starter()
    assert command is not None
    with tempfile.TemporaryDirectory() as folder:
        arguments = [folder, json.dumps(wanted), str(rounds)]
        done = subprocess.run(
            [*command, "-n", "2", sys.executable, "-m", "benchmarks.hop_ranks", *arguments],
            env=os.environ | ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
    told = json.loads(done.stdout)
    found = told["hops"]
    rows: list[tuple[Cell, ...]] = []
    figures = {}
    for size, _ in wanted:
        least = {way: min(took for took, _ in found[str(size)][way]) for way in WAYS}
        work = {way: min(work for _, work in found[str(size)][way]) for way in ASLEEP}
        rows.append(
            (_told(size), *(least[way] * 1e6 for way in WAYS), *(work[way] * 1e6 for way in ASLEEP))
        )
        figures[f"mpi_over_bare_{size}"] = least["MPI, looking"] / least["mpi4py"]
        figures[f"tcp_over_mpi_{size}"] = least["ZeroMQ tcp"] / least["MPI"]
        figures[f"work_tcp_over_mpi_{size}"] = work["ZeroMQ tcp"] / work["MPI"]
    columns = {f"{way}, us": ",.1f" for way in WAYS}
    columns |= {f"work of {way}, us": ",.1f" for way in ASLEEP}
    yield Report(
        "A hop between two processes of one machine",
        {"token": "", **columns},
        tuple(rows),
        "Half of a ping-pong, the middle one of a round, the least of several rounds. mpi4py alone "
        "sends one buffer and looks all the time; the others encode, decode and make new arrays, as "
        "workers do. 'MPI, looking' looks all the time, too; in the others the receiver sleeps, and work is "
        "what both processes compute for a hop, threads of ZeroMQ included.",
        figures,
    )
    yield Report(
        "What a rank takes to wait for a token",
        {"way": "", "of a core": ".1%"},
        tuple(told["idle"].items()),
        "Nothing is sent meanwhile. A worker sleeps, with a bell.",
        {"idle_rank": told["idle"]["asleep, with a bell"]},
    )


def _epochs(repeats: int, measured_s: float) -> Report:
    x = np.random.default_rng(0).normal(size=(POINTS, DIM)).astype(np.float32)
    rows: list[tuple[Cell, ...]] = []
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, (workers, kind, options) in CASES.items():
            seconds: dict[str, list[float]] = {"zeromq": [], "mpi": []}
            for number in range(repeats):
                for transport, taken in seconds.items():
                    here = Path(folder) / f"{case}-{transport}-{number}"
                    changed = {"model": {"bits": 64, "options": options}}
                    changed["network"] = {"transport": transport}
                    taken.append(epoch_seconds(here, x, workers, measured_s, changed))
            both = zip(seconds["zeromq"], seconds["mpi"], strict=True)
            ratio = Spread.of(zeromq / mpi for zeromq, mpi in both)
            spreads = (Spread.of(seconds[t]) for t in ("zeromq", "mpi"))
            rows.append((workers, kind, *spreads, ratio))
            figures[f"epoch_{case}"] = ratio
    return Report(
        f"Epochs: {POINTS:,} points of {DIM} dimensions, 64 bits",
        {"workers": "", "blocks": "", "ZeroMQ, s": ".3f", "MPI, s": ".3f", "MPI faster": ".2f"},
        tuple(rows),
        f"Epochs in which hash functions train, on {len(os.sched_getaffinity(0))} cores.",
        figures,
    )


def _told(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} kB"
