"""A whole cluster with nothing to do: the share of a core that each of its processes takes, and how soon it wakes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.data import siftsmall
from streammac.client import Client
from streammac.link.attached import Attached
from streammac.run_directory import RunDirectory
from streammac.wire.status import ClusterStatus

WORKERS, BITS = 2, 32
PATIENCE_S, SETTLING_S, MEASURED_S = 120.0, 5.0, 50.0
WAKES = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has taken, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def until(there: Attached, wanted, what: str) -> ClusterStatus:  # type: ignore[no-untyped-def]
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        status = there.status()
        if status is not None and wanted(status):
            return status
        time.sleep(0.01)
    raise SystemExit(f"{what}: not within {PATIENCE_S:.0f} s")


def measure(root: Path, up: subprocess.Popen[bytes]) -> None:
    there = Attached(RunDirectory(root))
    status = until(there, lambda s: s.resting is not None, "rest")
    time.sleep(SETTLING_S)
    pids = {"supervisor": up.pid, "coordinator": status.coordinator.pid}
    pids |= {process.name: process.pid for process in (*status.workers, *status.ingest)}
    before, begin = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(MEASURED_S)
    elapsed = time.monotonic() - begin
    after = until(there, lambda s: True, "a status")
    for name, pid in pids.items():
        print(f"{name:12} {(cpu_s(pid) - before[name]) / elapsed:6.2%} of a core")
    epochs, versions = after.epoch - status.epoch, after.model_version - status.model_version
    print(f"in {elapsed:.0f} s: {epochs} epochs, {versions} versions")
    with Client(root) as client:
        took = []
        for number in range(WAKES):
            rests = until(there, lambda s: s.resting is not None, "rest")
            x = np.random.default_rng(number).random((10, 128), np.float32)
            begin = time.monotonic()
            client.push(x)
            until(there, lambda s, epoch=rests.epoch: s.epoch > epoch, "an epoch")
            took.append(time.monotonic() - begin)
    print(
        f"from a push to the end of an epoch with its points: {np.median(took):.2f} s, median of {WAKES}"
    )


def main() -> None:
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
            measure(root, up)
        finally:
            up.terminate()
            up.wait()


if __name__ == "__main__":
    main()
