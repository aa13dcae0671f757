"""A worker on another host, and the cable between them is cut: two network namespaces with a pair of veth."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streammac.security import KeyFolder
from tests.patience import PATIENCE_S
from tests.workers.live_cluster import LiveCluster, states

NEAR, FAR = "10.213.7.1", "10.213.7.2"
SETTINGS = {
    "cluster": {"heartbeat_s": 1.0},  # who waits for a core so long is not taken for dead
    "network": {"host": NEAR},
    "model": {"bits": 8, "options": {"starts": 3, "refined": 1}},
    "ingest": {"sources": ["digits:?rate=3000"]},
}


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"streammac{os.getpid() % 100_000}"
    if shutil.which("ip") is None:
        pytest.skip("there is no ip command (Debian: iproute2)")
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", "smnear", "type", "veth", "peer", "name", "smfar", "netns", name)
        ip("addr", "add", f"{NEAR}/24", "dev", "smnear")
        ip("link", "set", "smnear", "up")
        ip("-n", name, "addr", "add", f"{FAR}/24", "dev", "smfar")
        ip("-n", name, "link", "set", "smfar", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("link", "del", "smnear", check=False)
        ip("netns", "del", name, check=False)


@pytest.mark.processes
@pytest.mark.netns
def test_a_worker_behind_a_cut_cable_is_given_up_and_rejoins_when_it_is_mended(tmp_path, namespace):
    make_keys(tmp_path / "near" / "keys", tmp_path / "far" / "keys")
    with LiveCluster(tmp_path / "near", SETTINGS, workers=2, host=NEAR) as cluster:
        known = cluster.directory.wait_for("coordinator", PATIENCE_S)
        inside = ("ip", "netns", "exec", namespace)
        far = ("--join", known["control"], "--host", FAR)
        cluster.start("worker", "w9", *far, before=inside, directory=tmp_path / "far")
        cluster.wait(lambda s: states(s).get("w9") == "alive" and hops(s) > 3, "the far worker")

        ip("link", "set", "smnear", "down")
        status = cluster.wait(lambda s: s.recovery.count == 1, "going on without it")
        assert states(status) == {"w1": "alive", "w2": "alive", "w9": "lost"}
        assert status.points.away > 0
        before = hops(cluster.epochs(2))

        ip("link", "set", "smnear", "up")
        status = cluster.wait(lambda s: states(s)["w9"] == "alive", "its return")
        assert status.failures.fenced == 1
        cluster.wait(lambda s: hops(s) > before + 3, "its visits")
        cluster.epochs(2)


def make_keys(near: Path, far: Path) -> None:
    """Do what docs/security.md asks for: beyond loopback nothing goes without keys."""
    KeyFolder(near).new("near")
    far.mkdir(parents=True)
    shutil.copy2(near / "cluster.key", far)
    KeyFolder(near).allow("far", KeyFolder(far).new("far").own.public)
    shutil.copy2(near / "allowed", far)


def hops(status) -> int:
    return next((w.hops for w in status.workers if w.name == "w9"), 0)
