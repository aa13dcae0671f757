"""The ring of processes, over ZeroMQ and over MPI, yields the serial reference's parameters, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.client import Client
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.deep_net import DeepNetModel
from streammac.models.learner_codes import LearnerCodesModel
from streammac.models.linear_model import LinearModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.radon_training import RadonTraining
from streammac.models.registry import FAMILIES
from streammac.models.serial import parmac, w_step
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.store import Schema, Shard
from streammac.supervisor.local_cluster import LocalCluster
from tests.patience import wait_for
from tests.workers.live_cluster import LiveCluster, states
from tests.workers.mpi_program import mpiexec

pytestmark = pytest.mark.processes

MEMBERS = ("w1", "w2", "w3")
EPOCHS = 4
MORE = 3
"""Epochs that two of the three train on."""
BITS = 32
POINTS = 1797
OPTIONS = {"rotations": 5, "starts": 3, "refined": 2}
PLAN = VisitPlan(seed=7, minibatch=Settings().training.minibatch)


NET = {"layers": (48, 32), "slice_points": 600, "passes": 2}
STAGES = {
    **NET,
    "layers": (48, 32, 24, 16),
    "activation": ("relu", "relu", "nmf", "relu"),
    "stage_layers": 2,
    "multipliers": True,
}
CODES = {"stream": {}, "model": {"bits": BITS, "options": OPTIONS}}
LEARN = {"learner_options": {"average": True}, "mu_factor": 1.05}
LEARNERS = {"stream": {}, "model": {"family": "learner_codes", "bits": 8, "options": LEARN}}
PUSHED = 300
APART = {
    "stream": {"classes": 2},
    "model": {"family": "linear"},
    "training": {"strategy": "radon"},
}
AVERAGED = {
    "stream": {"classes": 10},
    "model": {"family": "linear"},
    "training": {"strategy": "consensus", "backups": 0, "minibatch": 64},
}


def settings_for(
    members: int, epochs: int, points: int, transport: str = "zeromq", kind: dict[str, Any] = CODES
) -> Settings:
    return Settings.model_validate(
        {
            "cluster": {"workers": members, "seed": 7, "restart": "never"},
            "network": {"transport": transport},
            "stream": {"dim": 64, "dtype": "float32", **kind["stream"]},
            "model": kind["model"],
            "training": {
                "epochs": epochs,
                "deterministic": True,
                "start_points": points,
                **kind.get("training", {}),
            },
            "publish": {"interval_s": 0.0},
        }
    )


def trained(directory: RunDirectory, settings: Settings) -> Mapping[str, np.ndarray]:
    """Return what a cluster has trained when it has made the epochs that are asked for."""
    versions, last = VersionStore(directory.models, 100), settings.training.epochs - 1
    with LocalCluster(directory, settings) as cluster:

        def done():
            cluster.step()
            newest = versions.load(versions.newest) if versions.newest else None
            return newest if newest and newest.metadata["epoch"] == last else None

        return wait_for(done).tensors


def assert_equal(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(got[name], tensor, err_msg=name)


def stored(directory: RunDirectory, targets: int = 0, classes: int = 10) -> dict[str, np.ndarray]:
    """Store the points on three shards; return what each has."""
    digits = load_digits()
    x, y = digits.data.astype(np.float32), (digits.target % classes).astype(np.float32)[:, None]
    parts = {name: x[i::3] for i, name in enumerate(MEMBERS)}
    schema = Schema.of_stream(64, "float32", targets)
    for i, name in enumerate(MEMBERS):
        shard = Shard.open(directory.shard(name), schema, segment_bytes=64 * 4 * 100)
        points = PointBlock(x[i::3], y[i::3] if targets else None)
        for sequence, first in enumerate(range(0, len(points), 70)):
            rows = slice(first, first + 70)
            shard.append(points.take(rows), BatchId("test", 1, sequence), 0.0)
        shard.close()
    return parts


def test_every_family_is_among_those_on_which_processes_agree():
    here = {BinaryAutoencoderModel, DeepNetModel, LearnerCodesModel, LinearModel}
    assert here == set(FAMILIES.values())


def test_processes_agree_on_learners_which_learn_on_when_one_is_killed(tmp_path):
    directory = RunDirectory.create(tmp_path)
    model = LearnerCodesModel(8, **LEARN)
    parts = stored(directory).items()
    shards = {name: ArrayShard(part, model.coordinate_shape()) for name, part in parts}
    settings = settings_for(3, 0, POINTS, kind=LEARNERS).model_dump(mode="json")
    settings["publish"]["keep"] = 1000
    x = load_digits().data.astype(np.float32)
    with LiveCluster(tmp_path, settings) as cluster:
        # while the processes start
        serial = [params for params, _ in islice(parmac(model, shards, PLAN), 2 * EPOCHS)]
        versions = VersionStore(directory.models, 1000)
        wait_for(lambda: versions.newest >= EPOCHS)
        found = [versions.load(number) for number in range(1, EPOCHS + 1)]
        same = [v for v in found if v.metadata["epoch"] < len(serial)]
        assert len(same) > 1
        for version in same:
            assert_equal(version.tensors, serial[version.metadata["epoch"]])

        with Client(directory.root) as client:
            client.push(x[:PUSHED])
            cluster.wait(lambda s: s.points.accepted == POINTS + PUSHED, "reports")
            cluster.kill("w2")
            client.push(x[:PUSHED])
        status = cluster.wait(lambda s: s.recovery.count == 1, "recovery")
        assert states(status) == {"w1": "alive", "w2": "lost", "w3": "alive"}
        assert status.resting is None
        cluster.epochs(3)
        pushed = POINTS + 2 * PUSHED
        points = cluster.wait(lambda s: s.points.accepted == pushed, "reports").points
        assert points.stored + points.away == pushed
        last = versions.load(versions.newest)
        assert last.metadata["epoch"] > found[-1].metadata["epoch"]
        first, now = (
            model.errors(v.tensors, PointBlock(x.copy())).mean() for v in (found[0], last)
        )
        assert now < 0.99 * first


@pytest.mark.parametrize("options", [NET, STAGES], ids=["penalty", "multipliers, stages, factors"])
def test_processes_agree_on_a_net_that_is_trained_slice_by_slice(tmp_path, options):
    directory = RunDirectory.create(tmp_path)
    parts, y = stored(directory, targets=1), load_digits().target
    model = DeepNetModel(classes=10, **options)
    shape = model.coordinate_shape()
    shards = {n: ArrayShard(x, shape, y[i::3]) for i, (n, x) in enumerate(parts.items())}
    *_, (expected, _) = islice(parmac(model, shards, PLAN), 6)
    classes = {"stream": {"classes": 10}, "model": {"family": "deep_net", "options": options}}
    assert_equal(trained(directory, settings_for(3, 6, POINTS, kind=classes)), expected)


def test_processes_agree_on_models_that_are_trained_apart(tmp_path):
    directory = RunDirectory.create(tmp_path)
    parts, y = stored(directory, targets=1, classes=2), load_digits().target % 2
    model = RadonTraining(LinearModel(classes=2))
    shape = model.coordinate_shape()
    shards = {n: ArrayShard(x, shape, y[i::3]) for i, (n, x) in enumerate(parts.items())}
    *_, (expected, _) = islice(parmac(model, shards, PLAN), 3)
    assert_equal(trained(directory, settings_for(3, 3, POINTS, kind=APART)), expected)


def test_processes_agree_on_copies_that_wait_for_each_other(tmp_path):
    directory = RunDirectory.create(tmp_path)
    parts, y = stored(directory, targets=1), load_digits().target
    model = ConsensusTraining(LinearModel(classes=10), minibatch=64)
    shape = model.coordinate_shape()
    shards = {n: ArrayShard(x, shape, y[i::3]) for i, (n, x) in enumerate(parts.items())}
    plan = VisitPlan(seed=7, minibatch=64)
    *_, (expected, objective) = islice(parmac(model, shards, plan), 4)
    assert objective.named["correct"] > 0.9 * POINTS
    assert_equal(trained(directory, settings_for(3, 4, POINTS, kind=AVERAGED)), expected)


def test_processes_agree_with_the_serial_reference_bit_for_bit(tmp_path):
    """Three of them, and then two of these three, for whom the blocks are laid out anew."""
    directory = RunDirectory.create(tmp_path)
    parts = stored(directory)
    model = BinaryAutoencoderModel(bits=BITS, **OPTIONS)
    shards = {name: ArrayShard(part, model.coordinate_shape()) for name, part in parts.items()}
    *_, (expected, _) = islice(parmac(model, shards, PLAN), EPOCHS)
    assert_equal(trained(directory, settings_for(3, EPOCHS, POINTS)), expected)

    del shards["w3"]
    for shard in shards.values():
        enter(model, expected, shard, 0)
    params: Mapping[str, np.ndarray] = expected
    for epoch in range(EPOCHS, EPOCHS + MORE):
        # the first of these epochs was planned when there were three
        groups = model.groups_for(3 if epoch == EPOCHS else 2)
        params = w_step(model, shards, params, PLAN, epoch, epoch - 1, groups)
        for shard in shards.values():
            z_pass(model, params, shard, model.mu(epoch - 1))
    assert params.keys() != expected.keys()
    assert_equal(trained(directory, settings_for(2, EPOCHS + MORE, 1)), params)


def test_processes_agree_over_mpi_too(tmp_path):
    mpiexec()
    directory = RunDirectory.create(tmp_path)
    model = BinaryAutoencoderModel(bits=BITS, **OPTIONS)
    parts = stored(directory).items()
    shards = {name: ArrayShard(part, model.coordinate_shape()) for name, part in parts}
    *_, (expected, _) = islice(parmac(model, shards, PLAN), EPOCHS)
    assert_equal(trained(directory, settings_for(3, EPOCHS, POINTS, "mpi")), expected)
    assert "over MPI: 3 of 3 members" in (directory.logs / "w1.log").read_text()
