"""The same with MPI inside the job: workers are ranks, and who dies goes on over ZeroMQ.

The tests are one story, in their order.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from streammac.supervisor.mpi_starter import ROOT
from streammac.wire.status import ClusterStatus
from tests.slurm.cluster import POINTS, Cluster
from tests.slurm.slurm import Slurm
from tests.workers.live_cluster import states
from tests.workers.mpi_program import mpiexec

pytestmark = [pytest.mark.processes, pytest.mark.slurm]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    mpiexec()
    with Slurm() as slurm:
        yield Cluster(slurm)


def test_ranks_on_three_nodes_train_and_their_codes_beat_itq(cluster: Cluster):
    settings = {"STREAMMAC_NETWORK__TRANSPORT": "mpi"}
    cluster.job = cluster.submit("cluster", 3, "--source", str(cluster.feed()), **settings, **ROOT)
    status = cluster.wait(lambda s: s.points.accepted == POINTS, "all points")
    assert states(status) == {"w0": "alive", "w1": "alive", "w2": "alive"}
    assert "over MPI: 3 of 3 members" in cluster.slurm.output(cluster.job)
    cluster.wait(lambda s: s.quality and (s.quality.model or 0) > (s.quality.itq or 1), "a model")


def test_who_dies_comes_back_over_zeromq_and_the_others_stay_with_mpi(cluster: Cluster):
    before = cluster.wait(lambda _: True, "a status")
    pids = {worker.name: worker.pid for worker in before.workers}
    os.kill(pids["w1"], signal.SIGKILL)
    status = cluster.wait(
        lambda s: not s.points.away and all(w.pid != pids["w1"] and w.hops > 2 for w in s.workers),
        "its return",
    )
    assert set(states(status).values()) == {"alive"}
    assert [w.pid for w in status.workers if w.name != "w1"] == [pids["w0"], pids["w2"]]
    assert "over MPI: 2 of 3 members" in cluster.slurm.output(cluster.job)
    assert status.points.stored == POINTS


def test_a_node_that_is_lost_ends_mpi_and_the_others_go_on_over_zeromq(cluster: Cluster):
    (pid,) = (w.pid for w in cluster.wait(lambda _: True, "a status").workers if w.name == "w0")
    cluster.slurm.lose_node("n3")

    def back(status: ClusterStatus) -> bool:
        w0, w1, w2 = status.workers
        return w0.pid != pid and w0.state == w1.state == "alive" and w2.state == "lost"

    status = cluster.wait(back, "the loss of w2, and the return of w0")
    assert "w0 goes on over ZeroMQ" in cluster.slurm.output(cluster.job)
    status = cluster.wait(lambda s: s.epoch > status.epoch + 1 or s.resting is not None, "an epoch")
    assert status.points.stored + status.points.away == POINTS


def test_the_end_is_in_good_order(cluster: Cluster):
    cluster.ends(cluster.job)
    last = cluster.last()
    assert {one["name"]: one["state"] for one in last["workers"]}["w0"] == "left"
    points = last["points"]
    assert points["sent"] == points["accepted"] == points["stored"] + points["away"] == POINTS
    assert points["damaged"] == points["dropped"] == 0
