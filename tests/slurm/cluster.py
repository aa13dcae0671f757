"""A cluster as jobs of a real Slurm."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ingest.sources.digits import DigitSource
from streammac.link.attached import Attached
from streammac.run_directory import RunDirectory
from streammac.wire.status import ClusterStatus
from tests.patience import PATIENCE_S, wait_for
from tests.slurm.slurm import Slurm

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "streammac.sbatch"
POINTS, CHUNK = 100_000, 1000


class Cluster:
    """The jobs of one cluster, and what it tells."""

    def __init__(self, slurm: Slurm) -> None:
        self.slurm = slurm
        self.directory = RunDirectory(slurm.root / "run")
        self.job = self.more = ""
        self.pushed = 0

    @property
    def joined(self) -> str:
        """Name of the worker of the further job: it has points on its node's own disk."""
        return f"j{self.more}-{self.slurm.nodes(self.more)}-0"

    def submit(self, what: str, nodes: int, *words: str, **variables: str) -> str:
        options = [f"--nodes={nodes}", "--begin=now"]
        settings = {"STREAMMAC_MODEL__BITS": "32", "STREAMMAC_CLUSTER__HEARTBEAT_S": "1"}
        where = str(self.directory.root)
        return self.slurm.submit(SCRIPT, options, [what, where, *words], **settings, **variables)

    def feed(self) -> Path:
        """Write a feed of `POINTS`: a file, for a job that is requeued goes on in it."""
        path = self.slurm.root / "digits.npy"
        chunks = islice(DigitSource().chunks(CHUNK), POINTS // CHUNK)
        np.save(path, np.concatenate([chunk.x for chunk in chunks]))
        return path

    def status(self) -> ClusterStatus | None:
        return Attached(self.directory).status() if self.directory.keys.exists() else None

    def wait(self, until: Callable[[ClusterStatus], object], what: str) -> ClusterStatus:
        end, status = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            status = self.status()
            if status is not None and until(status):
                return status
            time.sleep(0.1)
        told = self.slurm.output(self.job) if self.job else ""
        raise TimeoutError(
            f"{what}: not within {PATIENCE_S} s; {status}\n{told}\n{self.slurm.told()}"
        )

    def last(self) -> dict[str, Any]:
        """Return the last status, of a cluster that has ended."""
        return json.loads(self.directory.last_status.read_text())["status"]

    def ends(self, job: str) -> None:
        self.slurm.run("scancel", "--signal=TERM", job)
        wait_for(lambda: self.slurm.state(job) not in ("RUNNING", "COMPLETING"))
        assert self.slurm.state(job) == "COMPLETED", self.slurm.output(job) + self.slurm.told()


def points_of(status: ClusterStatus, name: str) -> int:
    return next((w.points for w in status.workers if w.name == name), 0)
