"""Whatever the strategy, and whatever befalls workers and the coordinator: training goes on, and books balance."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from streammac.client import Client
from streammac.errors import ExitCode
from tests.patience import PATIENCE_S
from tests.workers.live_cluster import LiveCluster, states

pytestmark = [pytest.mark.processes, pytest.mark.strategies]

POINTS = 12_000


def feed(folder: Path) -> str:
    """Write points of two classes that a line tells apart; return their source."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((POINTS, 4))
    table = np.column_stack([x, x[:, 0] > x[:, 1]])
    np.savetxt(folder / "points.csv", table, "%.4f", delimiter=",")
    return f"file:{folder}/points.csv?targets=1&rate=1500"


def settings(strategy: str, source: str) -> dict:
    return {
        "cluster": {"heartbeat_s": 1.0},
        "stream": {"classes": 2},
        "model": {"family": "linear", "options": {"passes": 100_000, "last_step": 1.0}},
        "training": {"strategy": strategy, "minibatch": 64, "visit_budget": 2000},
        "ingest": {"sources": [source]},
    }


@pytest.mark.parametrize("strategy", ["ring", "radon", "consensus"])
def test_training_goes_on_and_no_point_is_lost(strategy, tmp_path):
    with LiveCluster(tmp_path, settings(strategy, feed(tmp_path))) as cluster:
        cluster.wait(lambda s: s.epoch >= 3, "training")

        cluster.kill("w2")
        status = cluster.wait(lambda s: s.recovery.count == 1, "recovery from a crash")
        assert states(status) == {"w1": "alive", "w2": "lost", "w3": "alive"}
        cluster.epochs(3)

        cluster.start("worker", "w2")
        cluster.start("worker", "w4")
        cluster.wait(
            lambda s: len(s.members) == 4 and s.points.away == 0, "one that is back and a new one"
        )
        cluster.epochs(3)
        cluster.wait(lambda s: all(w.hops > 3 for w in s.members), "a part for everybody")

        cluster.signal("w1", signal.SIGSTOP)
        status = cluster.wait(lambda s: s.failures.hang == 1, "a hang")
        cluster.epochs(3)
        cluster.signal("w1", signal.SIGCONT)
        cluster.wait(lambda s: states(s)["w1"] == "alive", "the return of the hanging one")

        cluster.restart_coordinator()
        cluster.wait(lambda s: len(s.members) == 4, "everybody at the new coordinator")
        cluster.epochs(3)

        cluster.signal("w3", signal.SIGTERM)
        cluster.wait(lambda s: states(s)["w3"] == "left", "the leave")
        assert cluster.children["w3"].process.wait(PATIENCE_S) == ExitCode.OK
        cluster.epochs(3)

        def balanced(status):
            books = status.points
            return books.accepted == POINTS == books.stored + books.away == books.sent

        status = cluster.wait(balanced, "books that balance")
        averaged = sum(worker.iterations for worker in status.workers)
        assert (averaged > 0) == (strategy == "consensus")
        cluster.wait(lambda s: s.model_version >= 1, "a version")
        with Client(tmp_path) as client:
            x = np.random.default_rng(1).standard_normal((500, 4)).astype(np.float32)
            assert (client.predict(x) == (x[:, 0] > x[:, 1])).mean() > 0.9
