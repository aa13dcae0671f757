"""A cluster as a job of a real Slurm: with keys; it loses a node, grows, shrinks, is requeued, and ends.

The tests are one story, in their order.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from streammac.client import Client
from streammac.wire.status import ClusterStatus
from tests.patience import wait_for
from tests.slurm.cluster import POINTS, Cluster, points_of
from tests.slurm.slurm import Slurm
from tests.workers.live_cluster import kinds, states

pytestmark = [pytest.mark.processes, pytest.mark.slurm]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Slurm() as slurm:
        yield Cluster(slurm)


def test_a_job_trains_on_two_nodes_and_its_codes_beat_itq(cluster: Cluster):
    cluster.job = cluster.submit("cluster", 2, "--source", str(cluster.feed()))
    status = cluster.wait(lambda s: s.points.accepted == POINTS, "all points")
    assert states(status) == {"w0": "alive", "w1": "alive"}
    assert all(worker.points > POINTS / 10 for worker in status.workers)
    assert not status.coordinator.address.startswith("tcp://127."), "other nodes reach it"
    cluster.wait(lambda s: s.quality and (s.quality.model or 0) > (s.quality.itq or 1), "a model")


def test_a_process_that_dies_is_started_again_by_its_job(cluster: Cluster):
    status = cluster.wait(lambda s: True, "a status")
    os.kill(next(w.pid for w in status.workers if w.name == "w1"), signal.SIGKILL)
    os.kill(status.coordinator.pid, signal.SIGKILL)
    before = status.coordinator
    status = cluster.wait(
        lambda s: s.coordinator.pid != before.pid and set(states(s).values()) == {"alive"}, "both"
    )
    assert status.coordinator.address == before.address
    assert cluster.wait(lambda s: not s.points.away, "its points").points.stored == POINTS


def test_a_node_that_is_lost_does_not_end_the_job(cluster: Cluster):
    slurm = cluster.slurm
    slurm.lose_node("n2")
    status = cluster.wait(lambda s: states(s)["w1"] == "lost", "its loss")
    assert status.points.stored + status.points.away == POINTS
    wait_for(lambda: "down" in slurm.run("sinfo", "--noheader", "--nodes=n2", "--format=%t"))
    assert slurm.state(cluster.job) == "RUNNING"
    slurm.start_node("n2")
    wait_for(
        lambda: slurm.run("sinfo", "--noheader", "--nodes=n2", "--format=%t").strip() == "idle"
    )


def test_another_job_lets_more_workers_join(cluster: Cluster):
    disk = cluster.slurm.root / "disk"
    cluster.more = cluster.submit("workers", 1, STREAMMAC_LOCAL=str(disk))
    cluster.wait(lambda s: states(s).get(cluster.joined) == "alive", "a worker more")
    points = np.random.default_rng(0).integers(256, size=(500, 128), dtype=np.uint8)
    with Client(cluster.directory.root) as client:

        def some_go_there() -> bool:
            cluster.pushed += client.push(points).accepted
            return points_of(cluster.wait(lambda _: True, "a status"), cluster.joined) > 0

        wait_for(some_go_there)
    assert (disk / cluster.joined / "shards").is_dir()


def test_ending_that_job_takes_its_points_to_the_others(cluster: Cluster):
    name = cluster.joined
    cluster.ends(cluster.more)
    status = cluster.wait(lambda s: states(s)[name] == "left", "its leave")
    assert "left" in kinds(status, name)
    assert not points_of(status, name)


def test_a_job_that_is_requeued_goes_on_with_all_its_points(cluster: Cluster):
    before = cluster.wait(lambda s: True, "a status")
    cluster.slurm.requeue(cluster.job)

    def back(status: ClusterStatus) -> bool:
        again = status.coordinator.pid != before.coordinator.pid
        return again and status.points.stored == POINTS + cluster.pushed

    status = cluster.wait(back, "all points")
    assert states(status)["w0"] == states(status)["w1"] == "alive"
    assert status.model_version >= before.model_version


def test_the_end_is_in_good_order(cluster: Cluster):
    cluster.ends(cluster.job)
    last = cluster.last()
    assert {one["state"] for one in (*last["workers"], *last["ingest"])} == {"left"}
    points = last["points"]
    wanted = POINTS + cluster.pushed
    assert points["sent"] == points["accepted"] == points["stored"] == wanted
    assert points["away"] == points["damaged"] == points["dropped"] == 0
