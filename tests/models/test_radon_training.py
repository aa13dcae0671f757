"""Radon points on the ring: hypotheses are trained apart, each on points of its own, and put together."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from streammac.models.arrays import ArrayShard
from streammac.models.base import NestedModel
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.capabilities import Incapable
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.hypotheses import TooFewPoints
from streammac.models.linear_model import LinearModel
from streammac.models.local import VisitPlan
from streammac.models.radon import iterated_radon_point
from streammac.models.radon_training import RadonTraining, TooManyParameters
from streammac.models.serial import parmac, w_step
from streammac.models.signature import Signature
from streammac.models.strategies import check, trained_by
from streammac.models.strategy_model import StrategyModel

LINEAR = LinearModel(classes=2)


def shards(model=LINEAR, inputs: int = 5, members: int = 3):
    x, y = load_breast_cancer(return_X_y=True)
    x, shape = x[:, :inputs].astype(np.float32), model.coordinate_shape()
    return {f"w{i}": ArrayShard(x[i::members], shape, y[i::members, None]) for i in range(members)}


def accuracy(params, parts) -> float:
    right = [LINEAR.predict(params, p.x(slice(None))) == p.y(slice(None))[:, 0] for p in parts]
    return float(np.concatenate(right).mean())


@pytest.mark.parametrize("height", [1, 2])
def test_learns_about_as_well_as_the_model_that_goes_round(height):
    plan = VisitPlan(minibatch=64)
    found = []
    for model in (LINEAR, trained_by("radon", LINEAR, height=height)):
        parts = shards(model, 3)
        *_, (params, _) = islice(parmac(model, parts, plan), 8)
        found.append(accuracy(params, parts.values()))
        assert {name.partition("/")[0] for name in params} == {"input", "target", "head"}
    assert found[1] > found[0] - 0.02


def test_each_hypothesis_learns_from_points_of_its_own(monkeypatch):
    visited: Counter[float] = Counter()
    hypotheses = 0

    def visit(self, block, params, state, lap, batches):
        nonlocal hypotheses
        hypotheses += block.name.startswith("head")
        if block.name.startswith("head"):
            visited.update(float(x) for batch in batches for x in batch.x[:, 0])
        return state

    model = RadonTraining(LINEAR)
    x = np.arange(900, dtype=np.float32)[:, None]
    y = np.arange(900)[:, None] % 2
    parts = {f"w{i}": ArrayShard(x[i::3], model.coordinate_shape(), y[i::3]) for i in range(3)}
    *_, (params, _) = islice(parmac(model, parts, VisitPlan()), 1)
    monkeypatch.setattr(LinearModel, "visit", visit)
    w_step(model, parts, params, VisitPlan(), 1, 0, groups=model.groups_for(3))
    assert hypotheses == 2 * 2 + 2
    assert set(visited.values()) == {1}
    assert len(visited) > 800, "about all of them"


def test_the_model_is_the_radon_point_of_what_was_learnt_apart():
    model, rng = RadonTraining(LINEAR, 2), np.random.default_rng(0)
    weights, biases = rng.normal(size=(36, 2, 1)), rng.normal(size=(36, 2))
    former = {"head/0-1/weight": np.zeros((2, 1)), "head/0-1/bias": np.zeros(2)}
    params = {"input/mean": np.zeros(1), **former}
    for first, last in ((0, 9), (10, 35)):  # names in another order than numbers
        block = f"radon/{first}-{last}/head/0-1"
        params[f"{block}/weight"] = weights[first : last + 1]
        params[f"{block}/bias"] = biases[first : last + 1]
    found = model.combined(params)
    vectors = np.concatenate([biases, weights.reshape(36, -1)], axis=1)
    expected = iterated_radon_point(vectors, 2)
    assert found.keys() == {"input/mean", "head/0-1/weight", "head/0-1/bias"}
    assert found["head/0-1/bias"].tolist() == expected[:2].tolist()
    assert found["head/0-1/weight"].ravel().tolist() == expected[2:].tolist()


def test_a_hypothesis_that_is_not_finite_counts_as_the_model_there_was():
    former = {"head/0-0/weight": np.full((1, 1), 7.0)}
    told = {"radon/0-2/head/0-0/weight": np.array([9.0, np.nan, 1.0])[:, None, None]}
    found = RadonTraining(LINEAR).combined(former | told)
    assert found["head/0-0/weight"] == pytest.approx(np.array([[7.0]]))


@pytest.mark.parametrize("strategy", [RadonTraining, ConsensusTraining])
def test_all_that_is_not_its_own_is_the_model_s(strategy):
    model = strategy(LINEAR)
    own = vars(strategy).keys() | vars(StrategyModel).keys() | {"slices_for", "iterations_for"}
    for name in vars(NestedModel).keys() - own:
        if not name.startswith("_"):
            assert vars(model)[name] == getattr(LINEAR, name), name


def test_a_model_that_is_there_stays_what_it_is():
    params = {"head/0-1/weight": np.ones((2, 1))}
    assert RadonTraining(LINEAR).combined(params) == params


def test_a_model_with_too_many_parameters_is_refused_with_what_can_be_done():
    with pytest.raises(TooManyParameters, match=r"with 202 parameters 2 makes 41616 models"):
        check(RadonTraining(LINEAR, 2), Signature(100, 1), 10**9)
    with pytest.raises(TooManyParameters, match=r"1000 parameters at most, the model has 1570"):
        check(RadonTraining(LINEAR), Signature(784, 1), 10**9)


def test_too_few_points_to_begin_with_name_the_setting():
    model, signature = RadonTraining(LINEAR), Signature(5, 1)
    check(model, signature, 140)
    with pytest.raises(TooFewPoints, match=r"training.start_points: expected 140 .*of 14 models"):
        check(model, signature, 139)
    check(LINEAR, signature, 1)


def test_a_family_without_a_vector_of_parameters_is_refused():
    with pytest.raises(Incapable, match='use "ring", or the family linear'):
        trained_by("radon", BinaryAutoencoderModel(8))
    assert trained_by("ring", LINEAR) is LINEAR
