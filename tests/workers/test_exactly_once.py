"""Real processes are killed under load, and in the end every point that was sent is stored once."""

from __future__ import annotations

import resource
import threading

import numpy as np
import pytest

from streammac.client import Client
from streammac.store import Schema, Shard
from tests.patience import PATIENCE_S
from tests.workers.live_cluster import LiveCluster, kinds, states

pytestmark = pytest.mark.processes

POINTS = 30_000
SETTINGS = {
    "model": {"bits": 4, "options": {"starts": 1, "refined": 1}},
    "ingest": {"batch_points": 100, "resend_s": 0.5},
    "store": {"segment_bytes": 1 << 20},
}


@pytest.fixture
def feed(tmp_path):
    """A file whose points are told apart by their first number."""
    x = np.random.default_rng(0).random((POINTS, 8), np.float32)
    x[:, 0] = np.arange(POINTS)
    path = tmp_path / "feed.npy"
    np.save(path, x)
    return path


def stored(cluster, names=("w1", "w2")):
    """Return the first number of every point in the shards, read once their processes have ended."""
    numbers = []
    for name in names:
        for path in (cluster.directory.shard(name), cluster.directory.held_out(name)):
            shard = Shard.open(path, Schema(8))
            numbers += shard.view().x(slice(None))[:, 0].astype(int).tolist()
            shard.close()
    return sorted(numbers)


def goes_on(accepted):
    """Return whether more points than these are accepted, or all are: a feed does not wait for tests."""
    return lambda status: status.points.accepted > min(accepted, POINTS - 1)


def is_done(status):
    points = status.points
    return (
        status.ingest
        and all(node.finished and not node.revoked for node in status.ingest)
        and points.sent == points.accepted + points.dead_lettered
        and points.accepted == points.stored
    )


def test_a_worker_that_is_killed_under_load_returns_and_nothing_is_stored_twice(tmp_path, feed):
    settings = SETTINGS | {"ingest": SETTINGS["ingest"] | {"sources": [f"{feed}?rate=5000"]}}
    with LiveCluster(tmp_path / "run", settings, workers=2) as cluster:
        for _ in range(2):
            before = cluster.wait(lambda s: s.points.stored > 1000, "points")
            cluster.kill("w1")
            cluster.wait(lambda s: states(s)["w1"] == "lost", "its loss")
            cluster.wait(goes_on(before.points.accepted), "points elsewhere")
            cluster.start("worker", "w1")
            cluster.wait(lambda s: states(s)["w1"] == "alive", "its return")
        status = cluster.wait(is_done, "the end of the feed")
        assert status.points.sent == POINTS
        for name in ("w1", "w2"):
            cluster.kill(name)
        assert stored(cluster) == list(range(POINTS))


def test_an_ingest_node_that_is_killed_goes_on_where_its_file_is_settled(tmp_path, feed):
    settings = SETTINGS | {"ingest": SETTINGS["ingest"] | {"sources": [f"{feed}?rate=12000"]}}
    with LiveCluster(tmp_path / "run", settings, workers=2) as cluster:
        accepted = 0
        for _ in range(3):
            status = cluster.wait(goes_on(accepted + 3000), "points")
            accepted = status.points.accepted
            cluster.kill("i1")
            cluster.start("ingest", "i1")
        status = cluster.wait(is_done, "the end of the feed")
        assert status.points.sent == status.points.stored == POINTS
        cluster.kill("i1")
        cluster.start("ingest", "i1")
        status = cluster.wait(is_done, "the node that has nothing to do")
        assert status.points.stored == POINTS
        for name in ("w1", "w2"):
            cluster.kill(name)
        assert stored(cluster) == list(range(POINTS))


class Pushed:
    """Points that are pushed while a test waits: as many as it takes."""

    def __init__(self, cluster):
        self.cluster, self.sent = cluster, 0

    def until(self, health, what):
        def pushed(status):
            if health(status):
                return True
            if status.points.accepted == self.sent:
                self.push(500)
            return False

        return self.cluster.wait(pushed, what)

    def push(self, count):
        x = np.random.default_rng(self.sent).random((count, 8), np.float32)
        x[:, 0] = np.arange(self.sent, self.sent + count)
        with Client(self.cluster.directory.root) as client:
            assert client.push(x, timeout_s=PATIENCE_S).accepted == count
        self.sent += count


def test_a_worker_whose_disk_is_full_trains_on_and_takes_points_again_when_there_is_room(tmp_path):
    with LiveCluster(tmp_path, SETTINGS, workers=2) as cluster:
        cluster.wait(lambda s: s.ingest and s.ingest[0].client, "the ingest node")
        pushed = Pushed(cluster)
        pushed.push(5000)
        pushed.until(lambda s: s.epoch >= 1, "training")
        pid = cluster.children["w1"].process.pid
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
        status = pushed.until(lambda s: "disk_full" in kinds(s, "w1"), "the event")
        full = points_of(status, "w1")
        cluster.epochs(1)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
        pushed.until(lambda s: points_of(s, "w1") > full, "points that it takes again")
        status = cluster.wait(lambda s: s.points.stored == pushed.sent, "all points")
        assert states(status)["w1"] == "alive"
        assert status.points.dead_lettered == 0
        for name in ("w1", "w2"):
            cluster.kill(name)
        assert stored(cluster) == list(range(pushed.sent))


def points_of(status, name):
    return next(w.points for w in status.workers if w.name == name)


def test_a_push_whose_ingest_node_is_killed_is_stored_once(tmp_path):
    x = np.random.default_rng(0).random((2000, 8), np.float32)
    x[:, 0] = np.arange(2000)
    with LiveCluster(tmp_path, SETTINGS, workers=2) as cluster:
        cluster.wait(lambda s: s.ingest and s.ingest[0].client, "the ingest node")
        results = []

        def push():
            with Client(tmp_path) as client:
                for first in range(0, 2000, 100):
                    results.append(client.push(x[first : first + 100], timeout_s=PATIENCE_S))

        thread = threading.Thread(target=push)
        thread.start()
        for enough in (400, 1000):
            cluster.wait(lambda s, n=enough: s.points.accepted > n, "points")
            cluster.kill("i1")
            cluster.start("ingest", "i1")
        thread.join(2 * PATIENCE_S)
        assert sum(r.accepted for r in results) == 2000
        cluster.wait(lambda s: s.points.stored == 2000, "all points")
        for name in ("w1", "w2"):
            cluster.kill(name)
        assert stored(cluster) == list(range(2000))


def test_points_wait_for_their_targets_over_the_death_of_their_ingest_node(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1800)
    x = rng.normal(y[:, None], 0.3, (1800, 8)).astype(np.float32)
    x[:, 0] = np.arange(1800) / 1000
    keys = [f"k{n}" for n in range(1200, 1800)]
    settings = {
        "stream": {"classes": 3, "late_targets": "600s"},
        "model": {"family": "deep_net", "options": {"layers": [8], "passes": 2}},
        "held_out": {"share": 0.0},
    }
    with LiveCluster(tmp_path, settings, workers=2) as cluster:
        cluster.wait(lambda s: s.ingest and s.ingest[0].client, "the ingest node")
        with Client(tmp_path) as client:
            assert client.push(x[:1200], y[:1200], timeout_s=PATIENCE_S).accepted == 1200
            result = client.push(x[1200:], keys=keys)
            assert (result.waiting, result.accepted, result.dead_lettered) == (600, 0, 0)
        cluster.kill("i1")
        cluster.start("ingest", "i1")
        status = cluster.wait(lambda s: s.points.waiting == 600 and s.epoch > 1, "a model")
        assert status.points.accepted == 1200
        with Client(tmp_path) as other:
            result = other.push_targets(keys, y[1200:], timeout_s=PATIENCE_S)
            assert (result.accepted, result.duplicate, result.dead_lettered) == (600, 0, 0)
            result = other.push_targets(["k1300", "nobody"], y[1300:1302])
            assert (result.duplicate, result.dead_lettered) == (1, 1)
        # each process tells of itself in its own time
        status = cluster.wait(
            lambda s: (
                (s.points.waiting, s.points.sent, s.points.dead_lettered) == (0, 1801, 1)
                and s.points.stored == 1800
                and s.prequential
                and s.prequential.points >= 600
            ),
            "the books and figures",
        )
        assert status.prequential.points <= 1800
        assert status.prequential.overall["accuracy"] > 0.8
        for name in ("w1", "w2"):
            cluster.kill(name)
        found = {}
        for name in ("w1", "w2"):
            shard = Shard.open(cluster.directory.shard(name), Schema.of_stream(8, "float32", 1))
            view = shard.view()
            numbers = np.rint(1000 * view.x(slice(None))[:, 0]).astype(int).tolist()
            assert not found.keys() & numbers
            found |= dict(zip(numbers, view.y(slice(None))[:, 0].tolist(), strict=True))
            shard.close()
        assert found == dict(enumerate(y.tolist()))
