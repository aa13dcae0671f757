"""Real workers join, leave, hang and die under a live feed, and the coordinator, too: training goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from socket import gethostname

import pytest

from streammac.errors import ExitCode
from streammac.names import plain
from streammac.wire.status import FailureCounts
from tests.patience import PATIENCE_S
from tests.workers.live_cluster import LiveCluster, kinds, states

pytestmark = pytest.mark.processes

SETTINGS = {
    "cluster": {"heartbeat_s": 1.0},  # who waits for a core so long is not taken for dead
    "model": {"bits": 8, "options": {"starts": 3, "refined": 1}},
    "ingest": {"sources": ["digits:?rate=3000"]},
}


def doubles(cluster: LiveCluster, folder: Path) -> dict[str, str]:
    """Start processes under names that others have; return what each is to be told, by a name of its own."""
    address = cluster.directory.announced("coordinator")["control"]
    living, told = dict(cluster.children), {}
    for role, name in (("worker", "w3"), ("ingest", "i1")):
        second = cluster.start(role, name, "--join", address, directory=folder / "elsewhere")
        told[f"second {name}"] = f"on {plain(gethostname(), 'host')} has this name"
        living[f"second {name}"] = second
    living["third w3"] = cluster.start("worker", "w3")
    told["third w3"] = "w3 runs already in"
    cluster.children = living
    return told


def test_the_ring_goes_on_whatever_happens_to_workers(tmp_path):
    with LiveCluster(tmp_path, SETTINGS) as cluster:
        cluster.wait(lambda s: s.epoch >= 2, "training")
        pids = {w.name: w.pid for w in cluster.status().workers}

        cluster.kill("w2")
        status = cluster.wait(lambda s: s.recovery.count == 1, "recovery from a crash")
        assert states(status) == {"w1": "alive", "w2": "lost", "w3": "alive"}
        assert status.failures.crash == 1
        assert status.points.away > 0
        cluster.epochs(2)

        cluster.start("worker", "w2")
        status = cluster.wait(lambda s: states(s)["w2"] == "alive", "its return")
        cluster.wait(lambda s: s.points.away == 0, "its points")
        cluster.wait(lambda s: worker(s, "w2").hops > 3, "its visits")

        cluster.start("worker", "w4")
        cluster.wait(lambda s: hops_of(s, "w4") > 3, "the joiner's visits")
        failures = cluster.status().failures
        assert failures == FailureCounts(crash=1)

        refused = doubles(cluster, tmp_path)

        cluster.signal("w1", signal.SIGSTOP)
        status = cluster.wait(lambda s: s.recovery.count == 2, "recovery from a hang")
        assert status.failures.hang == 1
        cluster.epochs(2)
        cluster.signal("w1", signal.SIGCONT)
        status = cluster.wait(lambda s: states(s)["w1"] == "alive", "the return of the hanging one")
        assert "returned" in kinds(status, "w1")
        cluster.epochs(2)

        for name, words in refused.items():
            assert cluster.children[name].process.wait(PATIENCE_S) == ExitCode.REFUSED
            assert words in cluster.children[name].tail()
        assert "malformed" not in kinds(cluster.status(), ""), "who is refused does not say goodbye"

        cluster.signal("w3", signal.SIGTERM)
        status = cluster.wait(lambda s: states(s)["w3"] == "left", "the leave")
        assert cluster.children["w3"].process.wait(PATIENCE_S) == 0
        assert "draining" in kinds(status, "w3")
        assert status.failures.drained == 1
        status = cluster.epochs(2)
        now = {w.name: w.pid for w in status.workers}
        assert (now["w1"], now["w3"]) == (pids["w1"], pids["w3"]), "no healthy worker restarted"


def test_the_ring_is_the_same_after_a_sleep_of_all_and_a_restart_of_the_coordinator(tmp_path):
    with LiveCluster(tmp_path, SETTINGS, workers=2) as cluster:
        first = cluster.wait(lambda s: s.model_version >= 3, "training")
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for name in cluster.children:
                cluster.signal(name, number)
            time.sleep(5.0 if number == signal.SIGSTOP else 0.0)
        before = cluster.wait(lambda s: s.epoch > first.epoch + 2, "epochs")
        assert (before.view, before.failures) == (first.view, FailureCounts())
        assert not {"lost", "ingest_lost", "stall"} & set(kinds(before))

        hops = {w.name: w.hops for w in before.workers}
        cluster.restart_coordinator()
        status = cluster.wait(lambda s: s.view > before.view, "a view")
        assert {w.name: w.pid for w in status.workers} == {w.name: w.pid for w in before.workers}
        assert status.cluster == before.cluster
        cluster.wait(lambda s: s.epoch > before.epoch + 2, "epochs")

        def heard(status):
            there = all(w.hops not in (0, hops[w.name]) for w in status.workers)
            return there and status.points.accepted > before.points.accepted

        after = cluster.wait(heard, "news of everybody")
        assert all(w.hops > hops[w.name] for w in after.workers), "nobody began anew"
        assert after.epoch > before.epoch
        assert kinds(after)[0] == "coordinator_restarted"


def test_a_worker_that_fails_is_lost_and_has_not_left(tmp_path):
    segments = {"store": {"segment_bytes": 1 << 16}}
    with LiveCluster(tmp_path, SETTINGS | segments, workers=2) as cluster:
        cluster.wait(lambda s: s.epoch >= 2, "training")
        files = cluster.directory.shard("w2")

        def robbed(status):
            for file in files.glob("*.x"):
                file.unlink()
            return states(status)["w2"] != "alive"

        status = cluster.wait(robbed, "a failure for want of a file")
        assert states(status)["w2"] == "lost"
        assert status.failures.crash == 1
        assert cluster.children["w2"].process.wait(PATIENCE_S) == 1
        assert "FileNotFoundError" in (cluster.directory.logs / "w2.log").read_text()
        cluster.epochs(2)


def worker(status, name):
    return next(w for w in status.workers if w.name == name)


def hops_of(status, name):
    return sum(w.hops for w in status.workers if w.name == name)
