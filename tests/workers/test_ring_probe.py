"""The probe of a real ring finds what one finds who has all its points at one place, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.registry import create
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.store import Schema, Shard
from tests.publishing.direct import recall_of
from tests.workers.live_cluster import LiveCluster

pytestmark = pytest.mark.processes

X = np.random.default_rng(0).permutation(load_digits().data.astype(np.uint8))
STORED, HELD_OUT = X[:1400], X[1400:]
PARTS = {"w1": slice(0, 700), "w2": slice(700, 720), "w3": slice(720, 1400)}
SETTINGS = {
    "stream": {"dim": 64, "dtype": "uint8"},
    "model": {"bits": 16, "options": {"starts": 3, "refined": 1}},
    "training": {"start_points": len(STORED)},
}


def test_the_ring_measures_what_one_with_all_points_does(tmp_path):
    directory = RunDirectory.create(tmp_path)
    there = [(directory.shard(name), STORED[part]) for name, part in PARTS.items()]
    for path, x in (*there, (directory.held_out("w1"), HELD_OUT)):
        shard = Shard.open(path, Schema(64, "uint8"))
        shard.append(PointBlock(x), BatchId(path.name, 1, 1), 0.0)
        shard.close()
    with LiveCluster(tmp_path, SETTINGS) as cluster:
        status = cluster.wait(
            lambda s: s.quality and s.quality.points == len(STORED), "a measured version"
        )
    quality = status.quality
    assert quality.queries == len(HELD_OUT)
    found = VersionStore(directory.models, 10).load(quality.version)
    model = create("binary_autoencoder", **found.metadata["model"]["hyper_parameters"])
    stored, queries = STORED.astype(np.float32), HELD_OUT.astype(np.float32)
    direct = recall_of(model, found.tensors, stored, queries)
    assert quality.model == pytest.approx(direct.mean(), abs=1e-12)
    assert quality.estimates()["model"].value == pytest.approx(direct.mean(), abs=1e-6)
    initial = {n: a for n, a in found.tensors.items() if not n.startswith(("encoder", "decoder"))}
    direct = recall_of(model, initial, stored, queries)
    assert quality.initial == pytest.approx(direct.mean(), abs=1e-12)
    assert quality.model > quality.random
