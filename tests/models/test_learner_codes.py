"""Codes by other libraries' classifiers: bit for bit on the ring, and sound on odd data."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.learner_codes import LearnerCodesModel
from streammac.models.learners.scikit import Scikit
from streammac.models.local import VisitPlan, enter
from streammac.models.registry import ModelError, create
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from tests.models.batches import batches_of
from workers.inprocess import InProcessRing

PLAN = VisitPlan(seed=3, minibatch=128)
SGD = LearnerCodesModel(bits=12, learner_options={"alpha": 1e-3})
BAYES = LearnerCodesModel(bits=8, learner="gaussian_nb", inputs="components", visit_points=200)


TREES = LearnerCodesModel(
    4, "hoeffding_tree", {"grace_period": 60, "delta": 0.01}, inputs="components", visit_points=150
)


DIGITS = load_digits().data.astype(np.float32)[:600]


def digits() -> np.ndarray:
    return DIGITS.copy()


def shards(model, members=3, x=None):
    x = digits() if x is None else x
    return {f"w{i}": ArrayShard(x[i::members], model.coordinate_shape()) for i in range(members)}


def trained(model, epochs, x=None):
    *_, (params, objective) = islice(parmac(model, shards(model, x=x), PLAN), epochs)
    return params, objective


@cache
def known(name, epochs):
    """Return the parameters of one of the models above; no test changes them."""
    return trained({"sgd": SGD, "bayes": BAYES}[name], epochs)[0]


@pytest.mark.parametrize("model", [SGD, BAYES, TREES], ids=lambda model: model.learner)
def test_the_ring_and_the_serial_reference_agree_bit_for_bit(model):
    expected, _ = trained(model, 4)
    got = InProcessRing(model, shards(model), PLAN).run(4)
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def test_learners_lower_the_nested_objective_and_rest_with_the_constraints_fulfilled():
    model = LearnerCodesModel(12, learner_options={"average": True}, mu_start=0.05, mu_factor=2.0)
    _, first = trained(model, 1)
    params, last = trained(model, 8)
    assert last.nested < 0.995 * first.nested
    assert last.violated / last.points < 0.02
    assert model.rests(6)
    block = model.blocks(Signature(64), 1)[0]
    resting = model.start(block, Signature(64), params, 6)
    z = np.zeros((50, 12), np.uint8)
    after = model.visit(block, params, resting, 0, batches_of(digits()[:50], z))
    ended = model.end_lap(block, params, after, model.laps - 1)
    begun = model.start(block, Signature(64), params, 0)
    assert ended.keys() == begun.keys()
    for name in begun:
        np.testing.assert_array_equal(ended[name], begun[name], err_msg=name)


def test_a_visit_changes_nothing_that_it_was_given():
    params = known("sgd", 2)
    block = SGD.blocks(Signature(64), 1)[0]
    state = SGD.start(block, Signature(64), params, 1)
    before = {name: tensor.copy() for name, tensor in (*state.items(), *params.items())}
    z = np.random.default_rng(0).integers(0, 2, (100, 12), np.uint8)
    after = SGD.visit(block, params, state, 0, batches_of(digits()[:100], z, size=25))
    for name, tensor in (*state.items(), *params.items()):
        np.testing.assert_array_equal(tensor, before[name])
    assert any(not np.array_equal(after[name], state[name]) for name in state)


def test_a_bit_is_that_of_the_first_model_until_it_has_had_both_values():
    params = known("sgd", 1)
    block = SGD.blocks(Signature(64), 1)[0]
    state = SGD.start(block, Signature(64), params, 0)
    z = np.ones((100, 12), np.uint8)
    z[60:, 3] = 0  # in the second minibatch
    after = SGD.visit(block, params, state, 0, batches_of(digits()[:100], z, size=50))
    assert {name.split("/")[2] for name in after if name.count("/") == 3} == {"3"}
    model = dict(params) | after
    x = digits()
    same = SGD.coordinates(model, x.copy()) == SGD.coordinates(params, x.copy())
    assert same[:, [bit for bit in range(12) if bit != 3]].all()
    assert not same[:, 3].all()


@pytest.mark.parametrize("groups", [1, 5])
def test_another_layout_of_the_blocks_is_the_same_model(groups):
    params = known("sgd", 3)
    other = SGD.regrouped(params, groups)
    x = digits()
    np.testing.assert_array_equal(SGD.encode(other, x.copy()), SGD.encode(params, x.copy()))
    np.testing.assert_array_equal(
        SGD.errors(other, PointBlock(x.copy())), SGD.errors(params, PointBlock(x.copy()))
    )
    one, two = SGD.functions(other), SGD.functions(params)
    assert one.keys() == two.keys()
    back = SGD.regrouped(other, 3)
    assert back.keys() == params.keys()
    for name in params:
        np.testing.assert_array_equal(back[name], params[name], err_msg=name)


@pytest.mark.parametrize(("name", "model"), [("sgd", SGD), ("bayes", BAYES)])
def test_bits_can_have_other_names_and_signs(name, model):
    """They are those of another model, and learn on under their new names."""
    params = known(name, 3)
    x = digits()
    z = model.coordinates(params, x.copy())
    order = np.random.default_rng(0).permutation(model.bits)
    like = z[:, order] ^ (np.arange(model.bits) % 2).astype(np.uint8)
    new = model.aligned(params, x, like)
    np.testing.assert_array_equal(model.coordinates(new, x.copy()), like)
    np.testing.assert_allclose(
        model.decode(new, like), model.decode(params, z), rtol=1e-3, atol=1e-3
    )
    parts = shards(model)
    for data in parts.values():
        enter(model, new, data, 0)
    block = model.blocks(Signature(64), 1)[0]
    whole = model.regrouped(new, 1)
    state = model.start(block, Signature(64), whole, 1)
    after = dict(whole) | model.visit(block, whole, state, 0, batches_of(x, like, size=100))
    assert (model.coordinates(after, x.copy()) == like).mean() > 0.8


def test_points_that_are_far_or_beyond_the_range_have_bits():
    params = known("sgd", 2)
    x = digits()[:4]
    x[0] = 1e30
    x[1] = np.finfo(np.float32).max
    x[2, 0] = np.nan
    assert SGD.encode(params, x).shape == (4, 2)


def test_a_far_point_is_left_out_of_training():
    x = digits()
    x[7] = 1e8
    params, objective = trained(SGD, 3, x)
    assert objective.left_out == 1
    assert all(np.isfinite(tensor).all() for tensor in params.values())


@pytest.mark.parametrize("x", [np.ones((1, 5)), np.full((90, 5), 3.0), np.eye(5)[:4]], ids=len)
def test_odd_data_gives_finite_models(x):
    params, objective = trained(LearnerCodesModel(bits=6), 3, x.astype(np.float32))
    assert all(np.isfinite(tensor).all() for tensor in params.values())
    assert np.isfinite(objective.nested)


def test_a_library_that_fails_costs_a_visit_and_not_the_worker(monkeypatch):
    """Errors of arithmetic are those that a worker tells of and goes on."""

    def overflow(*_):
        raise ValueError("Floating-point under-/overflow occurred")

    params = known("sgd", 1)
    block = SGD.blocks(Signature(64), 1)[0]
    state = SGD.start(block, Signature(64), params, 0)
    z = np.random.default_rng(0).integers(0, 2, (50, 12), np.uint8)
    monkeypatch.setattr(Scikit, "learn", overflow)
    with pytest.raises(ArithmeticError, match="sgd_classifier: Floating-point"):
        SGD.visit(block, params, state, 0, batches_of(digits()[:50], z))


def test_settings_that_are_wrong_are_named():
    with pytest.raises(ModelError, match=r"model\.options\.learner: no 'x', there is bernoulli"):
        create("learner_codes", learner="x")
    with pytest.raises(ModelError, match=r"model\.options\.learner_options: sgd_classifier: The"):
        create("learner_codes", learner_options={"alpha": "much"})
    with pytest.raises(ModelError, match=r"model\.options\.visit_points: expected a number from 1"):
        create("learner_codes", visit_points=0)
    model = create("learner_codes", bits=4, learner="perceptron")
    assert create("learner_codes", **model.hyper_parameters()) == model
