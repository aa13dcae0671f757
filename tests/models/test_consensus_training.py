"""Copies of a model: what a step does to one, and which of them make the model."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from pydantic import ValidationError

from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.capabilities import Incapable
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.deep_net import DeepNetModel
from streammac.models.linear_model import LinearModel
from streammac.models.local import VisitKey as Key
from streammac.models.local import VisitPlan, endless
from streammac.models.serial import parmac
from streammac.models.shuffling import RUN, Part, minibatch_rows, steps_of
from streammac.models.signature import Signature
from streammac.models.strategies import trained_by
from streammac.points.block import PointBlock
from streammac.settings.schema import Settings

SIGNATURE = Signature(5, 1)
CLASSES = LinearModel(classes=3)
NET = DeepNetModel(layers=(16, 8), activation="tanh", classes=3, passes=2)


def shard() -> ArrayShard:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5)).astype(np.float32)
    y = np.argmax(x[:, :3], axis=1).astype(np.float32)[:, None]
    return ArrayShard(x, ((1,), np.dtype(np.uint8)), y)


def first(model: ConsensusTraining) -> dict[str, np.ndarray]:
    """A model that is about to be trained."""
    params, _ = next(parmac(model, {"w1": shard()}, VisitPlan()))
    return dict(model.regrouped(params, 3))


@pytest.mark.parametrize("family", [CLASSES, NET], ids=["linear", "deep_net"])
def test_steps_lower_the_loss_and_change_nothing_else(family):
    model = ConsensusTraining(family, 32)
    params, data = first(model), shard()
    (block, *_) = model.blocks(SIGNATURE, 3)
    state = model.start(block, SIGNATURE, params, 0)
    w = model.copy_in(block, state)
    for batch in islice(endless(data, VisitPlan(minibatch=32), Key(1, 0, "w1")), 60):
        before = w.copy()
        w = model.stepped(params, w, batch, age=0)
    assert not np.array_equal(before, w)
    trained = model.combined(params | state | model.trained(block, w))
    assert trained.keys() == params.keys()

    def loss(of):
        return model.errors(of, PointBlock(data.x(slice(None)), data.y(slice(None)))).mean()

    assert loss(trained) < 0.8 * loss(params)


def test_the_model_is_the_mean_of_the_copies_that_were_trained():
    model = ConsensusTraining(CLASSES)
    params = first(model)
    blocks = model.blocks(SIGNATURE, 12)
    states = [model.start(block, SIGNATURE, params, 0) for block in blocks]
    w = model.copy_in(blocks[0], states[0])
    one, other = model.trained(blocks[10], w + 1), model.trained(blocks[2], w + 3)
    wild = model.trained(blocks[4], w * np.nan)
    final = dict(params)
    for state in [*states, one, other, wild]:
        final |= state
    made = model.combined(final)
    for name in ("head/0-2/weight", "head/0-2/bias"):
        np.testing.assert_allclose(made[name], params[name] + 2, rtol=1e-6)
    untouched = params | states[0] | states[1]
    for name, tensor in model.combined(untouched).items():
        np.testing.assert_array_equal(tensor, params[name])


def test_minibatches_begin_again_and_of_no_points_there_are_none():
    plan, key = VisitPlan(minibatch=64), Key(3, 0, "w1")
    count = steps_of(300, 64)
    rows = [batch.rows for batch in islice(endless(shard(), plan, key), 2 * count)]
    np.testing.assert_array_equal(np.concatenate(rows[:count]), np.concatenate(rows[count:]))
    nothing = ArrayShard(np.empty((0, 5), np.float32), ((1,), np.dtype(np.uint8)))
    assert not list(endless(nothing, plan, key))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", [Part(0, 0, 2), Part(0, 1, 2)])
def test_of_a_part_without_points_there_are_no_minibatches(part):
    x = np.ones((RUN, 5), np.float32)  # a run that is in one of the two parts
    few = ArrayShard(x, ((1,), np.dtype(np.uint8)))
    plan, key = VisitPlan(minibatch=64, part=part), Key(3, 0, "w1")
    rows = part.rows(len(few), plan.seed, key.member)
    found = list(islice(endless(few, plan, key), 2))
    assert len(found) == (2 if rows is not None and len(rows) else 0)


@pytest.mark.parametrize("limit", [None, 1, 500, 3000])
@pytest.mark.parametrize("points", [0, 1, 31, 1000, 5000, 70_000])
def test_an_epoch_has_as_many_steps_as_a_visit(points, limit):
    visit = list(minibatch_rows(points, 256, (0, 1, 0, "w1"), limit=limit))
    assert ConsensusTraining(CLASSES, 256, limit).iterations_for(points) == len(visit)


def test_who_has_no_gradient_is_told_by_which_setting():
    with pytest.raises(Incapable, match=r"model.family: binary_autoencoder has no gradient"):
        trained_by("consensus", BinaryAutoencoderModel(8))
    nmf = DeepNetModel(layers=(8, 8), activation=("relu", "nmf"), classes=3)
    with pytest.raises(Incapable, match=r"model.options.activation: expected relu, .* got nmf"):
        trained_by("consensus", nmf)
    assert trained_by("consensus", NET) == ConsensusTraining(NET)


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"visit_budget": "2s"}, "a visit_budget in points"),
        ({"refresh": "5s"}, "a visit_budget in points"),
        ({"deterministic": True}, "training.backups = 0"),
        ({"deterministic": True, "backups": 1}, "training.backups = 0"),
        ({"backups": -1}, "greater than or equal to 0"),
        ({"backups": "all"}, "dynamic"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(training, told):
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({"training": {"strategy": "consensus", **training}})


@pytest.mark.parametrize(
    "training", [{"visit_budget": 2000}, {"deterministic": True, "backups": 0}, {"backups": 3}]
)
def test_settings_that_do_are_not(training):
    Settings.model_validate({"training": {"strategy": "consensus", **training}})
