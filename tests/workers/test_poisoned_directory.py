"""A directory of an older release, with points and a model that ruined its training: it opens and trains."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save

from streammac.files import document
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.versions import METADATA_KEY, STATISTICS, VersionStore
from streammac.run_directory import RunDirectory, write_json
from streammac.settings.schema import Settings
from streammac.store import Schema, Shard
from streammac.wire.messages import EpochPlan
from tests.workers.live_cluster import LiveCluster, kinds
from workers.coordinator.process import CoordinatorProcess

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


@pytest.mark.parametrize("fault", ["half a file", "of another release"])
def test_training_goes_on_from_the_newest_version_that_is_usable(tmp_path, fault):
    directory = RunDirectory.create(tmp_path)
    model = BinaryAutoencoderModel(bits=8, rotations=2, starts=2, refined=1)
    x = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    shard = {"w1": ArrayShard(x, model.coordinate_shape())}
    params, _ = next(parmac(model, shard, VisitPlan(seed=0, minibatch=64)))
    versions = VersionStore(directory.models, 10)
    described = {"family": model.family, "hyper_parameters": model.hyper_parameters()}
    for epoch in (3, 4):
        if epoch == 4 and fault == "of another release":
            described["hyper_parameters"] |= {"wings": 2}
        plan = {"age": epoch + 1, "fresh": False, "restart": 0}
        versions.publish(
            params,
            {
                "epoch": epoch,
                "statistics": STATISTICS,
                "model": described,
                "next": {"epoch": epoch + 1, "plan": plan},
            },
        )
    versions._save(versions._state() | {"current": 2})
    document.save(
        directory.coordinator_state, {"cluster": "c", "view": 3, "epoch": 9, "plan": {"age": 9}}
    )
    if fault == "half a file":
        versions.file(2).write_bytes(b"half a file")

    process = CoordinatorProcess(directory, Settings.model_validate({"model": {"bits": 8}}))
    progress = process.core.progress
    assert (progress.epoch, progress.plan) == (9, EpochPlan(age=4))
    np.testing.assert_array_equal(progress.params["init/encoder"], params["init/encoder"])
    assert process.publisher.published.current == 1
    (told,) = [e.text for e in process.core.events.newest if e.kind == "unusable"]
    assert told.startswith("training goes on from version 1: ")
    process._end()
