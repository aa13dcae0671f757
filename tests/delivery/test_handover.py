"""A worker's batches go to others, and each is stored exactly once whoever is killed whenever."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.delivery.simulated_cluster import FEED, Cluster, Worker

WORKERS = ["w1", "w2", "w3"]


def stored(cluster) -> dict[str, int]:
    return {name: sum(map(len, disk.shards.values())) for name, disk in cluster.disks.items()}


def fed(batches: int, seed: int = 0) -> Cluster:
    cluster = Cluster(WORKERS, random.Random(seed))
    for _ in range(batches):
        cluster.feed()
    assert cluster.quiet()
    return cluster


def assert_once(cluster) -> None:
    assert {s: len(names) for s, names in cluster.holders().items()} == dict.fromkeys(
        range(cluster.fed), 1
    )


def test_everything_goes_to_the_others():
    cluster = fed(60)
    assert stored(cluster)["w1"] > 5
    assert any(cluster.disks["w1"].shards[True])
    cluster.drain("w1")
    assert cluster.quiet()
    assert stored(cluster)["w1"] == 0
    assert_once(cluster)


def test_some_points_go_to_those_who_are_named_the_oldest_first():
    cluster = fed(90)
    before = stored(cluster)
    oldest = list(cluster.disks["w1"].shards[False])[:3]
    cluster.drain("w1", points=5, to=["w3"])
    assert cluster.quiet()
    after = stored(cluster)
    assert after["w2"] == before["w2"]
    assert 2 <= after["w3"] - before["w3"] <= 5
    assert oldest[0] in cluster.disks["w3"].shards[False]
    assert cluster.here["w1"].handover.moved == after["w3"] - before["w3"]
    assert cluster.here["w2"].handover.moved == 0
    assert_once(cluster)


def test_what_was_moved_may_come_back():
    cluster = fed(30)
    for name in ("w1", "w2", "w1", "w3"):
        cluster.drain(name)
        assert cluster.quiet()
        assert stored(cluster)[name] == 0
        cluster.stay(name)
        assert cluster.quiet()
    assert_once(cluster)


def doubled(cluster) -> dict[int, list[str]]:
    return {s: names for s, names in cluster.holders().items() if len(names) > 1}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("victim", ["w1", "w2"])
def test_each_batch_is_stored_once_whichever_write_is_the_last(victim, after):
    for write in range(1000):
        cluster = fed(20)
        cluster.drain("w1")
        cluster.disks[victim].fuse, cluster.disks[victim].after = write, after
        assert cluster.run(lambda: cluster.at_rest or victim not in cluster.here)  # noqa: B023
        if victim in cluster.here:
            break
        cluster.begin(victim)
        assert cluster.quiet()
        assert_once(cluster)
    assert write > 3


def test_what_a_worker_may_hold_that_has_gone_goes_to_nobody_else():
    cluster = fed(60)
    cluster.drain("w1")
    assert cluster.run(lambda: ("w2", "w1") in cluster.arrived and bool(doubled(cluster)))
    cluster.queues["w2", "w1"].clear()
    doubtful = doubled(cluster)
    cluster.kill("w2")
    assert not cluster.run(lambda: cluster.here["w1"].handover.done)
    assert doubled(cluster) == doubtful, "they are with both, until the one can be asked"
    in_doubt = cluster.here["w1"].handover.in_doubt
    assert stored(cluster)["w1"] == in_doubt >= len(doubtful), "all others have gone"
    cluster.kill("w1")
    cluster.begin("w1")
    cluster.drain("w1")
    assert not cluster.run(lambda: doubled(cluster) != doubtful)
    assert cluster.quiet()
    assert_once(cluster)


def test_a_feed_takes_back_its_own_copies_and_none_that_were_moved_there():
    cluster = Cluster(["w1", "w2"], random.Random(0))
    cluster.run(lambda: all(s.is_open for s in cluster.here[FEED].sender.sessions.values()))
    cluster.feed()
    assert cluster.run(lambda: bool(cluster.holders()[0]))
    ((first,), (other,)) = cluster.holders()[0], {"w1", "w2"} - set(cluster.holders()[0])
    cluster.kill(first)
    cluster.queues[first, FEED].clear()  # its answer
    assert cluster.run(lambda: cluster.here[FEED].sender.idle)
    assert doubled(cluster) == {0: sorted((first, other))}
    cluster.begin(first)
    cluster.blocked = {(FEED, first)}  # it does not hear yet that the batch is not its own
    assert cluster.run(lambda: not cluster.untold)
    cluster.drain(other)
    assert cluster.run(lambda: cluster.here[other].handover.done)
    assert cluster.holders()[0] == [first]
    cluster.blocked.clear()
    assert cluster.run(lambda: cluster.here[FEED].sender.revoked == 0)
    assert_once(cluster)


@settings(max_examples=300)
@given(st.integers(0, 1 << 30))
@example(107703)
def test_each_batch_is_stored_once_whoever_dies_whenever(seed):
    rng = random.Random(seed)
    cluster = Cluster(WORKERS, rng)
    for _ in range(rng.randint(50, 600)):
        happens(cluster, rng)
    assert cluster.quiet()
    assert_once(cluster)
    for name in cluster.drains:
        if cluster.drains[name].points is None:
            assert stored(cluster)[name] == 0


def happens(cluster: Cluster, rng: random.Random) -> None:
    names = [*WORKERS, FEED]
    name = rng.choice(names)
    kind = rng.choices(
        ("feed", "hear", "turn", "tell", "time", "look", "drain", "stay", "fuse", "kill", "begin"),
        (6, 30, 20, 8, 4, 3, 1, 0.4, 1, 0.5, 2),
    )[0]
    process = cluster.here.get(name)
    if kind == "feed":
        cluster.feed()
    elif kind == "time":
        cluster.now += rng.choice((0.1, 1.0, 4.0))
    elif kind == "look":
        cluster.look()
    elif kind == "begin" and process is None:
        cluster.begin(name)
    elif process is None:
        return
    elif kind in ("hear", "turn", "tell"):
        for _ in range(rng.randint(1, 4)):
            cluster.step(kind, name)
    elif kind == "fuse":
        cluster.disks[name].fuse, cluster.disks[name].after = rng.randint(0, 3), rng.random() < 0.5
    elif kind == "kill":
        cluster.kill(name)
    elif isinstance(process, Worker):
        others = [w for w in WORKERS if w not in (name, *cluster.drains)]
        if kind == "drain" and others and name not in cluster.drains:
            cluster.drain(name, rng.choice((None, None, 5)), rng.choice((None, others[:1])))
        elif kind == "stay" and name in cluster.drains:
            cluster.stay(name)
