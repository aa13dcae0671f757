"""Three hosts and a laptop, as docs/security.md has it word by word; then everything that can happen to hosts.

The tests are one story, in their order. ``make test`` reads its beginning, ``make hosts`` all of it.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from streammac.client import Client, ClientError
from streammac.link.request import ask_status
from streammac.security import KeyFolder
from streammac.wire.status import ClusterStatus
from tests.hosts.manual import RUNS, commands, with_key
from tests.hosts.network import LAPTOP, Host, Network
from tests.patience import PATIENCE_S
from tests.workers.live_cluster import kinds, states

pytestmark = [pytest.mark.processes, pytest.mark.netns]

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
COORDINATOR = "tcp://10.0.0.1:7000"
ADDRESSES = {
    "host-a": "10.0.0.1",
    "host-b": "10.0.0.2",
    "host-c": "10.0.0.3",
    LAPTOP: "10.0.0.9",
}
SETTINGS = {
    "STREAMMAC_CLUSTER__JOIN_S": "1",  # the manual's one worker of three is waited for, but not for long
    "STREAMMAC_CLUSTER__HEARTBEAT_S": "1",  # who waits for a core so long is not taken for dead
    "STREAMMAC_MODEL__BITS": "8",
    "STREAMMAC_MODEL__OPTIONS": '{"starts": 3, "refined": 1}',
    "STREAMMAC_TRAINING__RENEWAL": "0.01",  # there is always something to train on
}
DIM, POINTS = 16, 4000
FEED = """
import numpy as np
from streammac import Client
with Client("tcp://10.0.0.1:7000") as client:
    print(client.push(np.ones((10, 16), np.float32)).accepted)
"""


class Feed(threading.Thread):
    """The laptop pushes points until it is stopped."""

    def __init__(self, keys: Path) -> None:
        super().__init__()
        self.keys = keys
        self.accepted = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        random = np.random.default_rng(1)
        with Client(COORDINATOR, keys=self.keys, timeout_s=PATIENCE_S) as client:
            while not self.stopped.wait(0.05):
                points = random.normal(size=(100, DIM)).astype(np.float32)
                self.accepted += client.push(points).accepted


class Cluster:
    """The cluster of the manual, as the laptop sees it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.keys = network[LAPTOP].home / "mine" / "keys"
        self.feed: Feed | None = None

    def wait(self, until: Callable[[ClusterStatus], object], what: str) -> ClusterStatus:
        end, status = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            status = ask_status(COORDINATOR, keys=self.keys)
            if status is not None and until(status):
                return status
            time.sleep(0.05)
        raise TimeoutError(f"{what}: not within {PATIENCE_S} s; {status}")

    def goes_on(self) -> ClusterStatus:
        """Wait for a further epoch."""
        now = self.wait(lambda _: True, "a status").epoch
        return self.wait(lambda s: s.epoch > now + 1, "another epoch")

    def start_worker(self, host: Host, name: str) -> None:
        where = f"--join {COORDINATOR} --host {host.address} --dir cluster"
        host.start(f"streammac worker --name {name} {where}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Network(tmp_path_factory.mktemp("hosts"), ADDRESSES) as network:
        network.environment |= SETTINGS
        made = Cluster(network)
        yield made
        if made.feed is not None:
            made.feed.stopped.set()
            made.feed.join()


def test_the_manual_word_by_word(cluster: Cluster):
    network = cluster.network
    points = np.random.default_rng(0).normal(size=(POINTS, DIM)).astype(np.float32)
    np.save(network["host-c"].home / "feed.npy", points)
    (network[LAPTOP].home / "feed.py").write_text(FEED)
    printed: dict[str, str] = {}
    for name, command in commands(PAGE, "Three hosts and a laptop"):
        host = network[name]
        if RUNS.search(command):
            host.start(command)
            continue
        output = host.run(with_key(command, printed))
        if "keys new" in command.partition("#")[0]:
            own, key = output.split()[:2]
            printed[own] = key
    assert output.strip() == "10", "the laptop's points are stored"

    status = cluster.wait(lambda s: s.model_version and s.points.stored > POINTS, "a model")
    assert states(status) == {"w1": "alive"}
    assert status.points.accepted == POINTS + 10


def test_who_has_no_key_that_is_allowed_hears_nothing(cluster: Cluster, tmp_path: Path):
    stranger = KeyFolder(tmp_path / "keys")
    stranger.new("stranger", KeyFolder(cluster.keys).load().cluster)
    assert ask_status(COORDINATOR, 0.5, stranger.root) is None
    assert ask_status(COORDINATOR, 0.5) is None


@pytest.mark.hosts
def test_workers_of_further_hosts_join(cluster: Cluster):
    cluster.feed = Feed(cluster.keys)
    cluster.feed.start()
    cluster.start_worker(cluster.network["host-c"], "w2")
    cluster.start_worker(cluster.network["host-a"], "w3")
    cluster.wait(
        lambda s: all(hops(s, name) > 2 for name in ("w1", "w2", "w3")), "three that train"
    )


@pytest.mark.hosts
def test_a_worker_that_is_killed_comes_back_with_its_points(cluster: Cluster):
    host = cluster.network["host-b"]
    before = cluster.wait(lambda s: points_of(s, "w1"), "points")
    (worker,) = host.processes
    worker.kill()
    worker.wait()
    cluster.wait(lambda s: states(s)["w1"] == "lost", "its loss")
    cluster.goes_on()
    host.processes.clear()
    cluster.start_worker(host, "w1")
    status = cluster.wait(lambda s: states(s)["w1"] == "alive" and hops(s, "w1"), "its return")
    assert points_of(status, "w1") >= points_of(before, "w1")


@pytest.mark.hosts
def test_a_host_behind_a_cut_cable_is_given_up_and_rejoins_when_it_is_mended(cluster: Cluster):
    host = cluster.network["host-b"]
    before = cluster.wait(lambda _: True, "a status").failures
    host.cut()
    status = cluster.wait(lambda s: states(s)["w1"] == "lost", "its loss")
    assert status.points.away
    cluster.goes_on()
    host.mend()
    # on a busy machine another one may be taken for lost meanwhile, and be back soon
    status = cluster.wait(lambda s: not s.points.away and hops(s, "w1") > 2, "its return")
    assert states(status)["w1"] == "alive"
    assert status.failures.hang > before.hang
    assert status.failures.fenced > before.fenced


@pytest.mark.hosts
def test_a_worker_leaves_in_good_order(cluster: Cluster):
    leaver = cluster.network["host-a"].processes[-1]
    leaver.send_signal(signal.SIGTERM)
    assert leaver.wait(PATIENCE_S) == 0
    status = cluster.wait(lambda s: states(s)["w3"] == "left", "its leave")
    assert status.failures.drained == 1
    cluster.goes_on()


@pytest.mark.hosts
def test_a_host_that_vanishes_takes_its_points_with_it_and_nothing_else(cluster: Cluster):
    cluster.network["host-b"].vanish()
    status = cluster.wait(lambda s: states(s)["w1"] == "lost", "its loss")
    assert "lost" in kinds(status, "w1")
    cluster.goes_on()


@pytest.mark.hosts
def test_the_books_balance_at_the_end(cluster: Cluster):
    assert cluster.feed is not None
    cluster.feed.stopped.set()
    cluster.feed.join(PATIENCE_S)
    wanted = POINTS + 10 + cluster.feed.accepted

    def balanced(status: ClusterStatus) -> bool:
        points = status.points
        there = points.stored + points.away
        books = points.sent == points.accepted == there == wanted
        return books and states(status)["w1"] == "alive"

    # what it stored and had no time to tell is known when it is back
    host = cluster.network["host-b"]
    host.mend()
    cluster.start_worker(host, "w1")
    status = cluster.wait(balanced, f"books of {wanted} points")
    assert status.points.away == points_of(status, "w3")
    ingest, w2 = cluster.network["host-c"].processes
    (w1,) = host.processes
    coordinator = cluster.network["host-a"].processes[0]
    coordinator.send_signal(signal.SIGTERM)  # it ends them all, from the front
    for process in (ingest, w1, w2, coordinator):
        assert process.wait(PATIENCE_S) == 0
    last = json.loads((cluster.network["host-a"].home / "cluster" / "last-status.json").read_text())
    left = {
        one["name"]: one["state"] for one in (*last["status"]["workers"], *last["status"]["ingest"])
    }
    assert set(left.values()) == {"left"}
    assert last["status"]["points"]["stored"] + status.points.away == wanted
    with pytest.raises(ClientError):
        Client(COORDINATOR, keys=cluster.keys, timeout_s=0.1).push(np.ones((1, DIM), np.float32))


def hops(status: ClusterStatus, name: str) -> int:
    return next((w.hops for w in status.workers if w.name == name), 0)


def points_of(status: ClusterStatus, name: str) -> int:
    return next((w.points for w in status.workers if w.name == name), 0)
