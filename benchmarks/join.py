"""What a join costs the others: their visits per second before it, during it and after, each with a core to itself.

The two workers that are there share one core; the joiner, the coordinator and the feed share the other, so that
only the protocol can slow the two down, and not the competition for cores that machines of their own would not know.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from benchmarks.clusters import fed
from benchmarks.report import Report, Spread
from benchmarks.slow_worker import feed
from streammac.wire.status import ClusterStatus
from tests.workers.live_cluster import LiveCluster, states

REPEATS = 5
BEFORE_S = 8.0
DURING_S = 4.0
"""From the start of the process on; it enters the ring within this time."""
JOINER = "w3"
OTHERS = ("w1", "w2")
Moment: TypeAlias = tuple[float, ClusterStatus]
"""A time and the status then."""


def pin(pid: int, core: int) -> None:
    """Let all threads of a process run on one core only."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def hops(status: ClusterStatus) -> dict[str, int]:
    return {worker.name: worker.hops for worker in status.workers}


def rate(first: Moment, last: Moment) -> float:
    """Return visits per second of the others between two moments."""
    done = sum(hops(last[1])[name] - hops(first[1])[name] for name in OTHERS)
    return done / (last[0] - first[0])


def joined(cluster: LiveCluster) -> tuple[float, float, float, int]:
    """Let one join; return the visit rates before and during it, its seconds, and epochs until it has visited."""

    def now() -> Moment:
        return time.monotonic(), cluster.wait(lambda s: True, "a status")

    begin = now()
    time.sleep(BEFORE_S)
    start = now()
    child = cluster.start("worker", JOINER, before=("taskset", "-c", "1"))
    view = start[1].view
    entered = cluster.wait(lambda s: s.view > view, "a view with it")
    cluster.wait(lambda s: hops(s).get(JOINER, 0) > 0, "its first visit")
    productive = now()
    epochs = productive[1].epoch - entered.epoch
    time.sleep(max(0.0, start[0] + DURING_S - time.monotonic()))
    during = rate(start, now())
    child.process.send_signal(signal.SIGTERM)
    cluster.wait(lambda s: states(s)[JOINER] == "left", "its leave")
    return rate(begin, start), during, productive[0] - start[0], epochs


def run(*, short: bool = False) -> Iterator[Report]:
    settings = {
        "cluster": {"workers": 2, "heartbeat_s": 0.1},
        "model": {"bits": 32, "options": {"mu_factor": 1.0, "rotations": 5}},
        "store": {"retain_points": 30_000, "segment_bytes": 1 << 20},
        "training": {"growth": 1e6},
        "publish": {"interval_s": 5.0},
    }
    affinity = os.sched_getaffinity(0)
    try:
        with fed(settings, feed()) as cluster:
            cluster.wait(lambda s: s.epoch > 3, "three epochs")
            for name, child in cluster.children.items():
                assert child.process.pid is not None
                pin(child.process.pid, 0 if name in OTHERS else 1)
            os.sched_setaffinity(0, {1})
            time.sleep(2.0 if short else 20.0)
            found = [joined(cluster) for _ in range(1 if short else REPEATS)]
    finally:
        os.sched_setaffinity(0, affinity)
    ratio = Spread.of(during / before for before, during, _, _ in found)
    yield Report(
        "Two workers while a third one joins",
        {
            "visits/s before": ".1f",
            "while it joins": ".1f",
            "ratio": ".2f",
            "its first visit after, s": ".1f",
            "epochs until then": "d",
        },
        tuple((b, d, d / b, seconds, epochs) for b, d, seconds, epochs in found),
        "Visits of the two that were there; the joiner has another core.",
        {"ratio": ratio},
    )
