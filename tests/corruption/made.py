"""A small run directory that a real cluster has filled, and one of a moment before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

POINTS = 1000
SETTINGS = {
    "STREAMMAC_INGEST__BATCH_POINTS": "20",
    "STREAMMAC_STORE__SEGMENT_BYTES": "4096",
    "STREAMMAC_CLUSTER__WORKERS": "2",
    "STREAMMAC_MODEL__BITS": "4",
    "STREAMMAC_TRAINING__START_POINTS": "100",
}


def make(folder: Path) -> tuple[Path, Path]:
    """Return a run directory of a cluster that has ended, and a copy from between its two runs."""
    root, older = folder / "run", folder / "older"
    for number in range(2):
        x = np.random.default_rng(number).normal(size=(POINTS, 4)).astype(np.float32)
        x[0, 0] = np.nan  # a dead letter
        np.save(folder / f"{number}.npy", x)
        ended = up(root, "--for", 5, "--source", folder / f"{number}.npy")
        assert ended.returncode == 0, ended.stderr
        if number == 0:
            shutil.copytree(root, older)
    return root, older


def up(root: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Run ``streammac up`` on a directory to its end."""
    command = [sys.executable, "-m", "streammac", "up", "--dir", root, "--no-ui", *options]
    return subprocess.run(
        list(map(str, command)),
        env=os.environ | SETTINGS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
