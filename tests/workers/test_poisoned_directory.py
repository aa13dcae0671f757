"""A directory of an older release, with points and a model that ruined its training: it opens and trains."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.versions import METADATA_KEY, VersionStore
from streammac.run_directory import RunDirectory, write_json
from streammac.store import Schema, Shard
from tests.workers.live_cluster import LiveCluster, kinds

pytestmark = pytest.mark.processes

DIM, POINTS, ABSURD = 6, 1500, 30
SETTINGS = {
    "stream": {"dim": DIM, "dtype": "float32"},
    "model": {"bits": 4, "options": {"starts": 2, "refined": 1}},
    "training": {"start_points": 100},
}


def poison(directory: RunDirectory) -> None:
    x = np.random.default_rng(0).standard_normal((POINTS, DIM)).astype(np.float32)
    x[:ABSURD] = np.float32(3e38)
    for path, points in ((directory.shard("w1"), x), (directory.held_out("w1"), x[:200])):
        shard = Shard.open(path, Schema(DIM, "float32"))
        shard.append(PointBlock(points), BatchId("s", 1, 1), 0.0)
        shard.close()
    directory.models.mkdir()
    metadata = {METADATA_KEY: json.dumps({"version": 7, "epoch": 3})}
    wild = {"input/scale": np.array([np.inf], np.float32)}
    (directory.models / "v00000007.safetensors").write_bytes(save(wild, metadata))
    write_json(directory.models / "versions.json", {"current": 7, "last": 7, "reasons": {}})


def test_a_poisoned_directory_opens_and_trains(tmp_path):
    directory = RunDirectory.create(tmp_path)
    poison(directory)
    with LiveCluster(tmp_path, SETTINGS, workers=1) as cluster:
        status = cluster.wait(lambda s: s.model_version >= 9 and s.quality, "measured versions")
        assert status.left_out == ABSURD
        assert 0 < status.objective < 1
        assert math.isfinite(status.quality.itq)
        assert {"unusable", "outliers", "malformed"} <= set(kinds(status))
        assert "step_failed" not in kinds(status)
        assert (status.failures.deaths, status.points.stored) == (0, POINTS + 200)
    found = VersionStore(directory.models, 10).load(8)
    assert found.metadata["promoted"] or found.metadata["version"] == 8
