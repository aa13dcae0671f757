"""Real processes: a cluster with keys works, and one without stays on loopback."""

import os
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from streammac.client import Client, ClientError
from streammac.errors import ExitCode
from streammac.link.request import ask_status
from streammac.models.learners import seal
from streammac.models.learners.seal import BadSeal
from streammac.publishing.versions import VersionStore, rebuild
from streammac.run_directory import RunDirectory
from streammac.security import KeyFolder, share_seal
from streammac.settings.schema import Settings
from streammac.settings.sources import load
from streammac.supervisor.local_cluster import LocalCluster
from streammac.supervisor.run import supervise
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture
from tests.models.packages import install

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("run")]
ANY = "0.0.0.0"


ENTRY_POINTS = """
[streammac.serialisers]
pickle = pickle

[streammac.learners]
net = sklearn.neural_network:MLPClassifier
"""
SERIALISED = {
    "learner": "net",
    "learner_options": {"hidden_layer_sizes": [2]},
    "serialiser": "pickle",
    "visit_points": 100,
}
"""Learners that are no arrays: members open what members have sealed, and nobody else does."""


def test_a_cluster_with_keys_trains_and_talks_to_nobody_else(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(seal, "_shared", None)
    install(tmp_path, ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    feed = tmp_path / "feed.npy"
    np.save(feed, np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32))
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 2},
            "network": {"host": ANY},
            "model": {"family": "learner_codes", "bits": 4, "options": SERIALISED},
            "training": {"start_points": 500},
            "ingest": {"sources": [str(feed)]},
        }
    )
    local = LocalCluster(RunDirectory(tmp_path / "d"), settings)
    member, laptop = KeyFolder(local.directory.keys), KeyFolder(tmp_path / "laptop")
    cluster = member.new("here").cluster
    laptop.new("laptop", cluster)
    seen = {}

    def show(status, _):
        if not (status and status.model_version > 1 and status.points.accepted >= 2000):
            return
        address = status.coordinator.address
        if "stranger" not in seen:
            seen["plain"] = ask_status(address, 0.3)
            seen["stranger"] = ask_status(address, 0.3, laptop.root)
            member.allow("laptop", laptop.load().own.public)
            monkeypatch.setenv("STREAMMAC_KEYS", str(laptop.root))
            with Client(address) as client:
                seen["pushed"] = client.push(np.zeros((3, 8), np.float32)).accepted
                seen["model"] = client.model().version
        url = status.coordinator.metrics_url
        assert "127.0.0.1" in url
        seen["metrics"] = urllib.request.urlopen(url, timeout=5).read().decode()
        if 'handshake_failures_total{reason="unknown_key"} 0.0' not in seen["metrics"]:
            local.interrupt()

    done = supervise(local, show, duration_s=60)
    assert done.failure is None
    assert seen, f"no model: {done.status}"
    assert (seen["plain"], seen["stranger"]) == (None, None)
    assert (seen["pushed"], seen["model"] > 0) == (3, True)
    assert 'streammac_handshake_failures_total{reason="unknown_key"}' in seen["metrics"]
    assert 'handshake_failures_total{reason="unknown_key"} 0.0' not in seen["metrics"]
    assert done.status is not None
    assert done.status.points.stored == 2003
    assert [worker.failed_steps for worker in done.status.workers] == [0, 0]
    versions = VersionStore(local.directory.models, 1000)
    trained = versions.load(versions.newest)
    with pytest.raises(BadSeal, match="net by pickle: its bytes may hold code"):
        rebuild(trained.metadata).encode(trained.tensors, np.zeros((3, 8), np.float32))
    share_seal(member.load())
    rebuild(trained.metadata).encode(trained.tensors, np.zeros((3, 8), np.float32))


@pytest.mark.parametrize("role", ["up", "coordinator", "worker", "ingest"])
def test_without_keys_nothing_starts_beyond_loopback(run: Run, monkeypatch, role):  # noqa: F811
    monkeypatch.setenv("STREAMMAC_NETWORK__HOST", ANY)
    joining = ["--host", ANY, "--join", "tcp://127.0.0.1:1"] if role in ("worker", "ingest") else []
    code, _, err = run(role, "--dir", "d", *joining)
    assert code == ExitCode.CONFIGURATION
    for word in ("network.host", "streammac keys new", "--insecure"):
        assert word in err


def test_insecure_is_said_each_time_anew(run: Run, monkeypatch):  # noqa: F811
    monkeypatch.setenv("STREAMMAC_NETWORK__HOST", ANY)
    options = ("up", "--dir", "d", "--workers", 1, "--for", 4, "--no-ui")
    code, _, err = run(*options, "--insecure")
    assert code == 0, err
    assert "insecure" in Path("d/logs/coordinator.log").read_text()
    assert "insecure" in Path("d/logs/w1.log").read_text()
    assert not load(None, {}, {}, Path("d/settings.json")).settings.network.insecure
    assert run(*options)[0] == ExitCode.CONFIGURATION


def test_keys_that_are_not_in_order_stop_a_start(run: Run):  # noqa: F811
    assert run("keys", "new", "a", "--dir", "d")[0] == 0
    Path("d/keys/own.key").chmod(0o644)
    code, _, err = run("up", "--dir", "d")
    assert (code, "chmod 600" in err) == (ExitCode.CONFIGURATION, True)


def test_http_takes_points_beyond_loopback_only_where_that_is_said(run: Run):  # noqa: F811
    code, _, err = run("up", "--dir", "d", "--source", f"http://{ANY}:0", "--no-ui", "--for", 30)
    assert code == ExitCode.BAD_INPUT
    assert "network.http_host" in err


def test_a_client_names_the_keys_that_it_does_not_find(monkeypatch):
    monkeypatch.setenv("STREAMMAC_KEYS", "/nowhere")
    with pytest.raises(ClientError, match="streammac keys new"):
        Client("tcp://127.0.0.1:1")
