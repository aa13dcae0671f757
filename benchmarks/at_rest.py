"""A whole cluster with nothing to do: the share of a core that each of its processes takes, and how soon it wakes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.data import siftsmall
from benchmarks.report import Report, Spread
from streammac.client import Client
from streammac.link.attached import Attached
from streammac.run_directory import RunDirectory
from streammac.wire.status import ClusterStatus

WORKERS, BITS = 2, 32
PATIENCE_S, SETTLING_S = 120.0, 5.0
MEASURED_S, SHORT_S = 50.0, 5.0
WAKES = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has taken, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def until(there: Attached, wanted: Callable[[ClusterStatus], bool], what: str) -> ClusterStatus:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        status = there.status()
        if status is not None and wanted(status):
            return status
        time.sleep(0.01)
    raise SystemExit(f"{what}: not within {PATIENCE_S:.0f} s")


def measure(root: Path, up: subprocess.Popen[bytes], measured_s: float) -> Iterator[Report]:
    there = Attached(RunDirectory(root))
    until(there, lambda s: s.resting is not None, "rest")
    time.sleep(SETTLING_S)  # the last epochs are still to be published, and may be gone on from
    status = until(there, lambda s: s.resting is not None, "rest")
    pids = {"supervisor": up.pid, "coordinator": status.coordinator.pid}
    pids |= {process.name: process.pid for process in (*status.workers, *status.ingest)}
    before, begin = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(measured_s)
    elapsed = time.monotonic() - begin
    after = until(there, lambda s: True, "a status")
    shares = {name: (cpu_s(pid) - before[name]) / elapsed for name, pid in pids.items()}
    epochs, versions = after.epoch - status.epoch, after.model_version - status.model_version
    yield Report(
        "A cluster with nothing to do",
        {"process": "", "of a core": ".2%"},
        tuple(shares.items()),
        f"In {elapsed:.0f} s: {epochs} epochs, {versions} versions.",
        {"most": max(shares.values())},
    )
    with Client(root) as client:
        took = []
        for number in range(WAKES):
            rests = until(there, lambda s: s.resting is not None, "rest")
            x = np.random.default_rng(number).random((10, 128), np.float32)
            begin = time.monotonic()
            client.push(x)
            until(there, lambda s, epoch=rests.epoch: s.epoch > epoch, "an epoch")  # type: ignore[misc]
            took.append(time.monotonic() - begin)
    yield Report(
        "It wakes",
        {"pushes": "d", "s": ".2f"},
        ((WAKES, Spread.of(took)),),
        "From a push to the end of an epoch with its points.",
        {"wakes": Spread.of(took)},
    )


def run(*, short: bool = False) -> Iterator[Report]:
    with tempfile.TemporaryDirectory() as folder:
        root, feed = Path(folder) / "run", Path(folder) / "feed.npy"
        np.save(feed, siftsmall().database)
        command = [
            sys.executable,
            "-m",
            "streammac",
            "up",
            "--no-ui",
            "--quiet",
            "--dir",
            str(root),
        ]
        command += ["--workers", str(WORKERS), "--bits", str(BITS), "--source", str(feed)]
        up = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield from measure(root, up, SHORT_S if short else MEASURED_S)
        finally:
            up.terminate()
            up.wait()
