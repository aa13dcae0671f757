"""Clusters that benchmarks measure: one with a client, one that is fed steadily, and what there is to wait for."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.client import Client
from streammac.errors import StreammacError
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from streammac.wire.status import ClusterStatus
from tests.workers.live_cluster import LiveCluster

PATIENCE_S = 180.0
BITS = 32
"""Of the clusters whose epochs are timed."""
RESTING_AGE = 10
"""At this age of the continuation the hash functions have come to rest."""
PUSHES = 20
"""In so many pieces a feed goes to workers that are there."""
PUSH_S = 0.1
"""Points of a steady feed come so often."""


@contextmanager
def running(folder: Path, settings: Settings) -> Iterator[Client]:
    """Run a cluster with a client of it.

    Raises
    ------
    SystemExit
        If one of its processes has ended meanwhile: nobody starts it again here, and nothing that was measured counts.
    """
    directory = RunDirectory(folder)
    with LocalCluster(directory, settings) as cluster:
        try:
            directory.wait_for("coordinator", PATIENCE_S)
            with Client(folder) as client:
                yield client
        finally:
            ended = [c.child.exit_message() for c in cluster.children if c.exit_code is not None]
            if ended:
                raise SystemExit("\n".join(ended))


def wait_for_workers(client: Client, number: int) -> None:
    """Wait until so many workers are there, or patience is over."""
    end = time.monotonic() + PATIENCE_S
    while len(client.status().workers) < number and time.monotonic() < end:
        time.sleep(0.05)


def anonymous_bytes(pid: int) -> int:
    """Return the memory of a process that is backed by no file."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise SystemExit(f"process {pid} has ended")


def wait_for_epochs(client: Client) -> ClusterStatus:
    """Wait until some epochs are over, or patience is; return the status."""
    end = time.monotonic() + PATIENCE_S
    while (status := client.status()).epoch < 4 and time.monotonic() < end:
        time.sleep(0.05)
    return status


def wait_for_rest(client: Client) -> None:
    """Wait until the hash functions have come to rest for a while, or patience is over."""
    end = time.monotonic() + PATIENCE_S
    rested = 0
    while rested < 3 and time.monotonic() < end:
        status = client.status()
        rests = status.resting is not None or (status.age or 0) >= RESTING_AGE
        rested = rested + 1 if rests else 0
        time.sleep(1.0)


def epoch_seconds(
    folder: Path,
    x: NDArray[Any],
    workers: int,
    measured_s: float,
    changed: Mapping[str, dict[str, Any]] | None = None,
) -> float:
    """Return the seconds of one epoch of a cluster that has these points, while hash functions do not rest.

    ``changed`` has tables of settings that are to be others.
    """
    folder.mkdir()
    settings = Settings.model_validate(
        {
            "cluster": {"workers": workers},
            "model": {"bits": BITS, "options": {"mu_factor": 1.0, "rotations": 5}},
            "training": {"start_points": int(len(x) * 0.9), "growth": 100.0, "renewal": 100.0},
            "publish": {"interval_s": 5.0},
            "held_out": {"share": 0.002},
        }
        | dict(changed or {})
    )
    with running(folder / "run", settings) as client:
        # who comes first would have all points, and the others nothing to do
        wait_for_workers(client, workers)
        for rows in np.array_split(x, PUSHES):
            client.push(rows)
        wait_for_epochs(client)
        first, begin = _next_epoch(client)
        time.sleep(measured_s)
        last, end = _next_epoch(client)
        return (end - begin) / (last - first)


def _next_epoch(client: Client) -> tuple[int, float]:
    """Return the number of the next epoch, and when it has begun."""
    now = client.status().epoch
    while (epoch := client.status().epoch) == now:
        time.sleep(0.002)
    return epoch, time.monotonic()


@contextmanager
def fed(settings: dict[str, Any], push: Callable[[Client], object]) -> Iterator[LiveCluster]:
    """Run two workers that are fed: ``push`` is called every `PUSH_S`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveCluster(Path(folder), settings, workers=2) as cluster,
    ):
        cluster.wait(lambda s: bool(s.ingest) and len(s.workers) == 2, "the cluster")
        with Client(Path(folder)) as client, background(steadily(lambda: push(client))):
            yield cluster


def duty(cluster: LiveCluster, name: str, slice_s: float) -> Iterator[None]:
    """Stop a process two thirds of the time: it runs for one slice of three."""
    while True:
        cluster.signal(name, signal.SIGSTOP)
        time.sleep(2 * slice_s)
        cluster.signal(name, signal.SIGCONT)
        time.sleep(slice_s)
        yield


def steadily(push: Callable[[], object]) -> Iterator[None]:
    """Call a function every `PUSH_S`."""
    due = time.monotonic()
    while True:
        push()
        due += PUSH_S
        time.sleep(max(0.0, due - time.monotonic()))
        yield


@contextmanager
def background(work: Iterator[None]) -> Iterator[None]:
    """Advance ``work`` in a thread until the block ends.

    Raises
    ------
    StreammacError
        Of the work.
    """
    over, failures = threading.Event(), []

    def go() -> None:
        try:
            for _ in work:
                if over.is_set():
                    return
        except StreammacError as error:
            failures.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
