"""The in-process ring yields the serial reference's parameters, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.linear_model import LinearModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.radon_training import RadonTraining
from streammac.models.registry import FAMILIES
from streammac.models.serial import parmac, w_step
from streammac.wire.messages import EpochPlan
from tests.models.families import SMALL
from workers.inprocess import InProcessRing

MODEL = SMALL["binary_autoencoder"]
NET = SMALL["deep_net"]
NETS = {
    "penalty": NET,
    "multipliers": replace(NET, multipliers=True),
    "stages": replace(NET, layers=(48, 32, 16), stage_layers=2),
    "factors": replace(NET, activation=("relu", "nmf"), multipliers=True),
}
PLAN = VisitPlan(seed=3, minibatch=64)


def shards(members: int, model=MODEL) -> dict[str, ArrayShard]:
    digits = load_digits()
    x, shape = digits.data.astype(np.float32), model.coordinate_shape()
    return {
        f"w{i + 1}": ArrayShard(x[i::members], shape, digits.target[i::members])
        for i in range(members)
    }


@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_the_ring_and_the_serial_reference_agree_bit_for_bit(members):
    epochs = 5
    *_, (expected, objective) = islice(parmac(MODEL, shards(members), PLAN), epochs)
    ring = InProcessRing(MODEL, shards(members), PLAN)
    got = ring.run(epochs)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    last = [r.objective for r in ring.reports if r.epoch == epochs - 1]
    assert sum(o.points for o in last) == objective.points == len(load_digits().data)
    assert sum(o.nested for o in last) == pytest.approx(objective.nested)


@pytest.mark.parametrize("family", FAMILIES)
def test_they_agree_on_every_family(family):
    model = SMALL[family]
    *_, (expected, _) = islice(parmac(model, shards(3, model), PLAN), 4)
    got = InProcessRing(model, shards(3, model), PLAN).run(4)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "members"), [("penalty", 1), ("penalty", 4), *((kind, 3) for kind in NETS)]
)
def test_they_agree_on_a_net_and_the_slices_of_its_shards(kind, members):
    net, epochs = NETS[kind], 8  # two passes of three slices, and one more in which it rests
    parts, others = shards(members, net), shards(members, net)
    runs = list(islice(parmac(net, parts, PLAN), epochs))
    expected, _ = runs[-1]
    ring = InProcessRing(net, others, PLAN)
    got = ring.run(epochs)
    for name, data in parts.items():
        np.testing.assert_array_equal(others[name].z(slice(None)), data.z(slice(None)))
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    parts = [(r.epoch, r.plan.age, r.plan.slice) for r in ring.reports[::members]]
    assert sorted(parts)[1:] == [(e + 1, e // 3, e % 3) for e in range(epochs - 1)]
    for epoch, (_, told) in enumerate(runs):
        sums = [r.objective for r in ring.reports if r.epoch == epoch]
        assert sum(one.points for one in sums) == told.points
        assert sum(one.named["correct"] for one in sums) == told.named["correct"]


@pytest.mark.parametrize("members", [1, 3, 4])
def test_they_agree_on_models_that_are_trained_apart(members):
    model, epochs = RadonTraining(LinearModel(classes=10)), 4

    def few() -> dict[str, ArrayShard]:  # inputs, so that there are few hypotheses
        return {
            name: ArrayShard(
                data.x(slice(None))[:, 20:23], model.coordinate_shape(), data.y(slice(None))
            )
            for name, data in shards(members, model).items()
        }

    *_, (expected, _) = islice(parmac(model, few(), PLAN), epochs)
    got = InProcessRing(model, few(), PLAN).run(epochs)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("members", "trained"),
    [(1, LinearModel(classes=10)), (2, LinearModel()), (3, NET), (8, LinearModel(classes=10))],
)
def test_they_agree_on_copies_that_are_averaged_in_training(members, trained):
    model, epochs = ConsensusTraining(trained, PLAN.minibatch), 4
    *_, (expected, objective) = islice(parmac(model, shards(members, model), PLAN), epochs)
    ring = InProcessRing(model, shards(members, model), PLAN)
    got = ring.run(epochs)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    steps = sum(report.plan.iterations for report in ring.reports)
    assert sum(member.iterations for member in ring.members.values()) == steps > 0
    assert sum(member.neighbours for member in ring.members.values()) == steps * (members - 1)
    assert objective.error < 0.7 * next(parmac(model, shards(members, model), PLAN))[1].error


def test_a_ring_that_adopts_a_model_trains_as_the_serial_reference_does_from_it():
    parts, others = shards(3), shards(3)
    ring = InProcessRing(MODEL, parts, PLAN)
    early = ring.run(2)
    ring.run(5)
    got = ring.adopt(early, 5, EpochPlan(age=6, restart=1, groups=4), epochs=7)
    expected = dict(early)
    for data in others.values():
        enter(MODEL, expected, data, 0)
    for epoch, age in ((5, 6), (6, 7)):
        expected = w_step(MODEL, others, expected, PLAN, epoch, age, groups=4)
        for data in others.values():
            z_pass(MODEL, expected, data, MODEL.mu(age))
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    for name, data in parts.items():
        np.testing.assert_array_equal(data.z(slice(None)), others[name].z(slice(None)))


@pytest.mark.parametrize("members", [1, 2, 4])
def test_a_ring_with_more_or_fewer_members_trains_as_the_serial_reference_does(members):
    """Its first epoch is the one that the former ring planned; then blocks are laid out for those who are there."""
    model = BinaryAutoencoderModel(bits=64, rotations=2, starts=2, refined=1)
    early = InProcessRing(model, shards(3, model), PLAN).run(3)
    planned, wanted = model.groups_for(3), model.groups_for(members)
    assert planned != wanted
    plan = EpochPlan(age=2, groups=planned)
    got = InProcessRing(model, shards(members, model), PLAN).adopt(early, 3, plan, epochs=6)
    parts, expected = shards(members, model), early
    for data in parts.values():
        enter(model, expected, data, 0)
    for epoch, groups in ((3, planned), (4, wanted), (5, wanted)):
        expected = w_step(model, parts, expected, PLAN, epoch, epoch - 1, groups)
        for data in parts.values():
            z_pass(model, expected, data, model.mu(epoch - 1))
    assert got.keys() == expected.keys() != early.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def test_another_seed_gives_other_parameters():
    first = InProcessRing(MODEL, shards(2), PLAN).run(3)
    second = InProcessRing(MODEL, shards(2), VisitPlan(seed=4, minibatch=64)).run(3)
    assert not np.array_equal(first["encoder/0-3/weight"], second["encoder/0-3/weight"])


def test_an_empty_shard_takes_part():
    parts = shards(2) | {"w9": ArrayShard(np.empty((0, 64), np.float32), MODEL.coordinate_shape())}
    ring = InProcessRing(MODEL, parts, PLAN)
    params = ring.run(3)
    assert all(np.isfinite(tensor).all() for tensor in params.values())
