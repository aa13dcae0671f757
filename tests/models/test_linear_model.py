"""A linear model: what it learns from a feed that goes round, and what users get of it."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression

from streammac.models.arrays import ArrayShard
from streammac.models.linear_model import LinearModel
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac
from streammac.points.block import PointBlock


def trained(model: LinearModel, x, y, epochs: int):
    shape = model.coordinate_shape()
    targets = [None if y is None else y[i::3] for i in range(3)]
    shards = {f"w{i}": ArrayShard(x[i::3], shape, targets[i]) for i in range(3)}
    *_, (params, objective) = islice(parmac(model, shards, VisitPlan(minibatch=32)), epochs)
    return params, objective


def test_tells_classes_about_as_well_as_logistic_regression():
    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    model = LinearModel(classes=2)
    params, objective = trained(model, x, y[:, None], 1 + model.passes)
    told = (model.predict(params, x.copy()) == y).mean()
    assert objective.named["correct"] == told * len(x)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    assert told > LogisticRegression().fit(scaled, y).score(scaled, y) - 0.02
    assert model.probabilities(params, x.copy()).sum(axis=1) == pytest.approx(1.0)
    exported = model.export(params)
    scores = x @ exported["weight"].T + exported["bias"]
    assert (scores.argmax(axis=1) == model.predict(params, x.copy())).mean() > 0.999


def test_tells_numbers_about_as_well_as_least_squares():
    x, y = load_diabetes(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.float32)[:, None]
    model = LinearModel(passes=20)
    params, _ = trained(model, x, y, 1 + model.passes)
    told = model.predict(params, x.copy())
    explained = 1 - ((told - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert explained > LinearRegression().fit(x, y).score(x, y) - 0.03
    exported = model.export(params)
    np.testing.assert_allclose(x @ exported["weight"].T + exported["bias"], told, rtol=1e-3)


@pytest.mark.parametrize("targets", [None, 3, 4])
def test_exports_what_tells_several_numbers(targets):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32) * np.float32([1, 2, 5, 9])
    unit = np.float32([1, 10, 100, 1000])[:targets]
    y = None if targets is None else (x @ rng.normal(size=(4, targets)) * unit).astype(np.float32)
    model = LinearModel()
    params, _ = trained(model, x, y, 1 + model.passes)
    exported, told = model.export(params), model.predict(params, x.copy())
    told_by_others = x @ exported["weight"].T + exported["bias"]
    np.testing.assert_allclose(
        told_by_others / told.std(axis=0), told / told.std(axis=0), atol=1e-4
    )


def test_inputs_that_never_change_say_nothing():
    x = np.ones((100, 2), np.float32)
    y = np.arange(100)[:, None] % 2
    params, _ = trained(LinearModel(classes=2), x, y, 3)
    assert np.isfinite(LinearModel(classes=2).predict(params, x.copy())).all()


def test_it_rests_after_its_passes_and_its_functions_stay_the_same():
    x, y = load_breast_cancer(return_X_y=True)
    model = LinearModel(classes=2, passes=2)
    ended, later = (trained(model, x.astype(np.float32), y[:, None], n)[0] for n in (3, 5))
    for name, tensor in ended.items():
        np.testing.assert_array_equal(later[name], tensor)


def test_errors_are_what_it_loses():
    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    model = LinearModel(classes=2)
    params, objective = trained(model, x, y[:, None], 3)
    errors = model.errors(params, PointBlock(x.copy(), y[:, None]))
    assert errors.sum() == pytest.approx(objective.nested, rel=1e-4)
    told = model.outcomes(params, PointBlock(x.copy(), y[:, None]))
    assert told["accuracy"].sum() == objective.named["correct"]


def test_outcomes_of_numbers_are_in_the_units_of_the_targets():
    x, y = load_diabetes(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.float32)[:, None]
    model = LinearModel()
    params, _ = trained(model, x, y, 4)
    told = model.outcomes(params, PointBlock(x.copy(), y))["squared_error"]
    assert told == pytest.approx(((model.predict(params, x.copy()) - y) ** 2)[:, 0], rel=1e-5)


@pytest.mark.parametrize("wrong", [{"passes": 0}, {"step": 0.0}, {"last_step": 2.0}])
def test_wrong_hyper_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LinearModel(**wrong)
