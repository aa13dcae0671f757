"""The Python client and the HTTP endpoint against a real cluster of processes."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ingest.dead_letters import read, replay
from streammac import Client
from streammac.client import ClientError
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from streammac.wire.codec import MAX_HEADER_BYTES
from tests.patience import PATIENCE_S, wait_for

pytestmark = pytest.mark.processes

X = load_digits().data


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 2},
            "model": {"bits": 12},
            "ingest": {"sources": ["http://127.0.0.1:0"]},
            "training": {"start_points": 1000},
        }
    )
    directory = RunDirectory(tmp_path_factory.mktemp("cluster"))
    with LocalCluster(directory, settings) as cluster:
        assert directory.wait_for("coordinator", PATIENCE_S)
        yield cluster


def test_the_first_push_finds_its_way_and_a_model_comes_of_it(cluster):
    with Client(cluster.directory.root) as client:
        with pytest.raises(ClientError, match="there is no model version yet"):
            client.model()
        result = client.push(X)
        assert (result.accepted, result.duplicate, result.dead_lettered) == (len(X), 0, 0)
        wait_for(lambda: client.status().promoted)
        model = client.model()
        assert model.metadata["model"]["family"] == "binary_autoencoder"
        codes = client.encode(X)
        assert (codes.shape, codes.dtype) == ((len(X), 2), np.uint8)
        exported = model.encode(X[:5])
        assert exported.shape == (5, 2)
        back = model.decode(model.encode(X))
        assert ((X - back) ** 2).mean() < ((X - X.mean(0)) ** 2).mean()


def test_bad_points_are_told_apart(cluster):
    poisoned = X[:10].copy()
    poisoned[4, 4] = np.inf
    with Client(cluster.directory.root) as client:
        before = client.status().points.accepted
        result = client.push(poisoned, keys=[f"key {i}" for i in range(10)], times=np.arange(10.0))
        assert (result.accepted, result.dead_lettered) == (9, 1)
        assert result.reason == "x: NaN or infinite"
        wait_for(lambda: client.status().points.accepted >= before + 9)


def test_a_push_with_more_keys_than_a_header_holds_is_split(cluster):
    many = np.tile(X, (10, 1))
    keys = [f"{n:0100}" for n in range(len(many))]
    assert sum(map(len, keys)) > MAX_HEADER_BYTES
    with Client(cluster.directory.root) as client:
        assert client.push(many, keys=keys).accepted == len(many)


def test_a_single_point_brings_single_values(cluster):
    with Client(cluster.directory.root) as client:
        assert client.push(X[0], y=3.0, times=5.0, keys=["a"]).accepted == 1


def test_dead_letters_that_are_refused_again_do_not_multiply(cluster):
    folder = cluster.directory.dead_letters
    with Client(cluster.directory.root) as client:
        client.push(np.full((1, X.shape[1]), np.nan))
        before = [letter.raw for letter in read(folder)]
        for _ in range(2):
            assert replay(folder, client).refused == len(before) > 0
            assert [letter.raw for letter in read(folder)] == before


def test_the_http_endpoint_of_the_cluster_takes_points(cluster):
    with Client(cluster.directory.root) as client:
        url = wait_for(lambda: [node.http_url for node in client.status().ingest])[0]
        body = "\n".join(json.dumps({"x": row.tolist()}) for row in X[:20]).encode()
        request = urllib.request.Request(
            f"{url}/points", body, {"Content-Type": "application/x-ndjson"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert json.load(answer)["accepted"] == 20


def test_the_accounting_holds_with_nothing_on_its_way(cluster):
    with Client(cluster.directory.root) as client:

        def settled():
            points = client.status().points
            return (
                points.sent == points.accepted + points.dead_lettered
                and points.accepted == points.stored + points.expired > 0
            )

        wait_for(settled)


def test_the_coordinator_answers_over_http_too(cluster):
    with Client(cluster.directory.root) as client:
        url = client.status().coordinator.http_url

    def get(path):
        with urllib.request.urlopen(f"{url}/{path}", timeout=PATIENCE_S) as answer:
            return json.load(answer)

    assert get("status")["view"] >= 1
    everybody = {"coordinator", "w1", "w2", "i1"}
    wait_for(lambda: {target["labels"]["name"] for target in get("sd")} == everybody)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda client: client.push(np.array([["a"]])), "X: expected numbers"),
        (lambda client: client.push(X[:3], y=[1.0]), "y: expected 3 entries, got 1"),
        (lambda client: client.push(X[:3], keys=["a"]), "keys: expected 3 entries, got 1"),
        (lambda client: client.push(X[:1], keys=["a" * 600_000]), "too long to be sent"),
    ],
)
def test_arguments_that_do_not_fit_are_named(cluster, call, said):
    with Client(cluster.directory.root) as client, pytest.raises(ValueError, match=said):
        call(client)


def test_a_version_that_is_not_there_is_named(cluster):
    with Client(cluster.directory.root) as client:
        wait_for(lambda: client.status().promoted)
        with pytest.raises(ClientError, match="version 99999"):
            client.model(99999)


def test_where_no_cluster_runs_the_remedy_is_named(tmp_path):
    with pytest.raises(ClientError, match="no cluster runs there - `streammac up"):
        Client(tmp_path)
    with Client("tcp://127.0.0.1:9", timeout_s=0.2) as client:
        with pytest.raises(ClientError, match="does not answer"):
            client.status()
