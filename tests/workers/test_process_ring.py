"""The ring of processes over ZeroMQ yields the serial reference's parameters, bit for bit."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.store import Schema, Shard
from streammac.supervisor.local_cluster import LocalCluster
from tests.patience import wait_for

pytestmark = pytest.mark.processes

MEMBERS = ("w1", "w2", "w3")
EPOCHS = 4
OPTIONS = {"block_bits": 4, "rotations": 5, "starts": 3, "refined": 2}


def test_three_processes_agree_with_the_serial_reference_bit_for_bit(tmp_path):
    x = load_digits().data.astype(np.float32)
    parts = {name: x[i::3] for i, name in enumerate(MEMBERS)}
    directory = RunDirectory(tmp_path)
    for name, part in parts.items():
        shard = Shard.open(directory.shard(name), Schema(64), segment_bytes=64 * 4 * 100)
        for sequence, first in enumerate(range(0, len(part), 70)):
            shard.append(PointBlock(part[first : first + 70]), BatchId("test", 1, sequence), 0.0)
        shard.close()
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 3, "seed": 7, "restart": "never"},
            "stream": {"dim": 64, "dtype": "float32"},
            "model": {"bits": 16, "options": OPTIONS},
            "training": {"epochs": EPOCHS, "deterministic": True, "start_points": len(x)},
            "publish": {"interval_s": 0.0},
        }
    )
    versions = VersionStore(directory.models, 100)
    with LocalCluster(directory, settings) as cluster:

        def last():
            cluster.step()
            newest = versions.load(versions.newest) if versions.newest else None
            return newest if newest and newest.metadata["epoch"] == EPOCHS - 1 else None

        got = wait_for(last)

    model = BinaryAutoencoderModel(bits=16, **OPTIONS)
    shards = {name: ArrayShard(part, model.coordinate_shape()) for name, part in parts.items()}
    plan = VisitPlan(seed=7, minibatch=settings.training.minibatch)
    *_, (expected, _) = islice(parmac(model, shards, plan), EPOCHS)
    assert got.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(got.tensors[name], tensor, err_msg=name)
