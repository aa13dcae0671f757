"""Real workers hand their points over under a live feed, and are killed in the middle: each point is stored once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from streammac.link.request import ask
from streammac.run_directory import RunDirectory
from streammac.store import Schema, Shard
from streammac.wire.messages import DrainReply, DrainRequest
from tests.patience import PATIENCE_S, wait_for
from tests.workers.live_cluster import LiveCluster, kinds, states

pytestmark = pytest.mark.processes

DIM = 64
POINTS = 12_000
RATE = 3000


def settings(folder: Path) -> dict:
    x = np.random.default_rng(0).normal(size=(POINTS, DIM)).astype(np.float32)
    x[:, 0] = np.arange(POINTS)
    np.save(folder / "x.npy", x)
    return {
        "model": {"bits": 8, "options": {"starts": 3, "refined": 1}},
        "training": {"start_points": 500},
        "ingest": {
            "sources": [f"{folder / 'x.npy'}?rate={RATE}"],
            "batch_points": 16,
            "window_bytes": 4096,  # a batch at a time: a move takes a while
            "resend_s": 1.0,
        },
    }


def drain(
    cluster: LiveCluster, name: str, points: str, deadline_s: float = PATIENCE_S
) -> DrainReply:
    known = cluster.directory.announced("coordinator")
    answer = ask(known["control"], DrainRequest(name, deadline_s, points), DrainReply, PATIENCE_S)
    assert answer is not None
    return answer


def stored(directory: RunDirectory, *names: str) -> Counter[int]:
    """Return how often each point of the feed is in these workers' shards, all of which have ended."""
    found: Counter[int] = Counter()
    for name in names:
        for path in (directory.shard(name), directory.held_out(name)):
            shard = Shard.open(path, Schema(DIM))
            view = shard.view()
            found.update(view.x(slice(None))[:, 0].astype(int).tolist() if len(view) else [])
            shard.close()
    return found


def points_of(status, name: str) -> int:
    return next(w.points for w in status.workers if w.name == name)


def finished(status) -> bool:
    points = status.points
    return (
        all(node.finished for node in status.ingest)
        and points.accepted == points.sent == POINTS
        and points.accepted == points.stored + points.away + points.expired + points.dropped
    )


def at_rest(status) -> bool:
    """Return whether all points are with workers that live, each with one: nothing is left of a move."""
    points = status.points
    return finished(status) and not points.away and points.stored + points.dropped == POINTS


def assert_each_once(directory: RunDirectory, *names: str) -> None:
    found = stored(directory, *names)
    assert len(found) == POINTS
    assert set(found.values()) == {1}


def fed(cluster: LiveCluster) -> None:
    cluster.wait(lambda s: s.points.stored > POINTS // 3 and s.epoch > 0, "points")


def in_the_middle(cluster: LiveCluster) -> str:
    """Return the worker with most points as soon as a batch of it is with others, long before all are."""
    workers = cluster.wait(lambda s: True, "a status").workers
    name = str(max(workers, key=lambda worker: worker.points).name)
    withdrawn = cluster.directory.shard(name) / "withdrawn"
    assert drain(cluster, name, "move").accepted
    wait_for(lambda: withdrawn.exists() and withdrawn.stat().st_size)
    return name


def test_a_worker_leaves_and_its_points_go_to_the_others(tmp_path):
    with LiveCluster(tmp_path / "run", settings(tmp_path)) as cluster:
        fed(cluster)
        assert drain(cluster, "w1", "move").accepted
        status = cluster.wait(lambda s: states(s)["w1"] == "left", "the leave")
        assert cluster.children["w1"].process.wait(PATIENCE_S) == 0
        assert points_of(status, "w1") == 0
        left = next(e for e in status.events if e.kind == "left")
        assert "went to the others" in left.text
        status = cluster.wait(finished, "the end of the feed")
        assert (status.points.stored, status.points.away) == (POINTS, 0)
    assert_each_once(cluster.directory, "w2", "w3")
    assert not stored(cluster.directory, "w1")


def test_the_mover_is_killed_in_the_middle(tmp_path):
    with LiveCluster(tmp_path / "run", settings(tmp_path)) as cluster:
        fed(cluster)
        mover = in_the_middle(cluster)
        cluster.kill(mover)
        cluster.wait(lambda s: states(s)[mover] == "lost", "its loss")
        cluster.start("worker", mover)
        status = cluster.wait(at_rest, "the end of the feed")
        assert points_of(status, mover) > 0, "it was killed after the middle"
    assert_each_once(cluster.directory, "w1", "w2", "w3")


def test_a_receiver_is_killed_in_the_middle(tmp_path):
    with LiveCluster(tmp_path / "run", settings(tmp_path)) as cluster:
        fed(cluster)
        mover = in_the_middle(cluster)
        receiver, other = sorted({"w1", "w2", "w3"} - {mover})
        cluster.kill(receiver)
        cluster.wait(lambda s: states(s)[receiver] == "lost", "its loss")
        cluster.start("worker", receiver)
        cluster.wait(lambda s: states(s)[mover] == "left", "the leave")
        status = cluster.wait(at_rest, "the end of the feed")
        assert points_of(status, mover) == 0
    assert_each_once(cluster.directory, receiver, other)


def test_nothing_is_moved_while_a_feed_has_not_let_go_and_what_is_left_comes_back(tmp_path):
    # as long as it is not taken for dead the node that is stopped counts, and holds what it may have sent
    chosen = settings(tmp_path) | {"cluster": {"heartbeat_s": 2.0}}
    with LiveCluster(tmp_path / "run", chosen) as cluster:
        fed(cluster)
        cluster.signal("i1", signal.SIGSTOP)
        assert drain(cluster, "w1", "move", deadline_s=1.0).accepted
        status = cluster.wait(lambda s: states(s)["w1"] == "left", "the leave")
        left = next(e for e in status.events if e.kind == "left")
        assert "wait in its directory" in left.text
        assert "went to the others" not in left.text
        assert status.points.away == points_of(status, "w1") > 0
        cluster.signal("i1", signal.SIGCONT)
        cluster.start("worker", "w1")
        cluster.wait(at_rest, "the end of the feed")
    assert_each_once(cluster.directory, "w1", "w2", "w3")


def test_a_worker_that_joins_late_is_handed_its_share(tmp_path):
    # who waits for a core so long is not taken for dead
    chosen = settings(tmp_path) | {"cluster": {"heartbeat_s": 1.0}}
    chosen["training"] |= {"rebalance": True}
    with LiveCluster(tmp_path / "run", chosen, workers=1) as cluster:
        cluster.wait(finished, "the end of the feed")
        cluster.start("worker", "w2")
        status = cluster.wait(lambda s: "moved" in kinds(s, "w1"), "the move")
        assert states(status) == {"w1": "alive", "w2": "alive"}
        status = cluster.wait(finished, "the counts")
        # more than half as many again as is fair moves points; what is fair depends on who gets the cores
        assert POINTS // 4 < points_of(status, "w2") < POINTS
        cluster.epochs(2)
    assert_each_once(cluster.directory, "w1", "w2")


def test_points_are_dropped_after_a_good_end_and_counted(tmp_path):
    with LiveCluster(tmp_path / "run", settings(tmp_path)) as cluster:
        fed(cluster)
        assert drain(cluster, "w1", "drop").accepted
        status = cluster.wait(lambda s: states(s)["w1"] == "left", "the leave")
        dropped = status.points.dropped
        assert dropped > 0
        assert "are given up" in next(e.text for e in status.events if e.kind == "left")
        status = cluster.wait(finished, "the end of the feed")
        assert status.points.stored == POINTS - dropped
    assert len(stored(cluster.directory, "w1", "w2", "w3")) == POINTS - dropped
