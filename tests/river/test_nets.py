"""Deep nets as River's classifiers and regressors."""

from __future__ import annotations

import numpy as np
import pytest
from river import datasets, linear_model, metrics, preprocessing
from river.evaluate import progressive_val_score

from streammac.models.nets.losses import LOSSES
from streammac.river import DeepNetClassifier, DeepNetRegressor, FeatureError
from streammac.river.correction import Correction


def bananas(count: int) -> list[tuple[dict, bool]]:
    return list(datasets.Bananas().take(count))


def test_a_net_bends_where_a_linear_model_cannot():
    data = bananas(1000)
    found = [
        progressive_val_score(
            data, preprocessing.StandardScaler() | model, metrics.Accuracy()
        ).get()
        for model in (linear_model.LogisticRegression(), DeepNetClassifier(layers=(32,)))
    ]
    assert found[1] > found[0] + 0.1, found


def test_classes_are_as_likely_as_they_were_until_there_is_a_net():
    model = DeepNetClassifier(every=50)
    assert model.predict_proba_one({"a": 1}) == {}
    assert model.predict_one({"a": 1}) is None
    for y in ("x", "y", "y", "y"):
        model.learn_one({"a": 1.0}, y)
    assert model.predict_proba_one({"a": 1}) == {"x": 0.25, "y": 0.75}


def test_a_new_class_is_told_after_the_next_training():
    model = DeepNetClassifier(layers=(8,), options={"passes": 3}, window=100, every=20)
    rng = np.random.default_rng(0)
    for n in range(80):
        y = ("low", "high", "middle")[n % (2 if n < 40 else 3)]
        x = {"low": -3, "high": 3, "middle": 0}[y] + rng.normal(0, 0.1)
        model.learn_one({"x": x, "square": x * x}, y)
        assert model.predict_proba_one({}).keys() <= {"low", "high", "middle"}
        if n == 41:
            assert model.predict_proba_one({"x": 0.0})["middle"] == 0
    assert model.predict_one({"x": 0.0, "square": 0.0}) == "middle"


def test_numbers_are_told_in_their_own_units():
    model = DeepNetRegressor(layers=(16,), window=200, every=50)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, 200)
    assert model.predict_one({"x": 1.0}) == 0.0
    for value in x:
        model.learn_one({"x": value}, 1000 + 100 * abs(value))
    told = [model.predict_one({"x": value}) for value in (-1.5, 0.0, 1.5)]
    np.testing.assert_allclose(told, [1150, 1000, 1150], atol=60)


@pytest.mark.parametrize("target", [None, "much", float("nan")])
def test_a_target_that_is_no_number_is_refused(target):
    model = DeepNetRegressor()
    with pytest.raises(FeatureError, match="target: expected a finite number"):
        model.learn_one({"x": 1.0}, target)
    assert len(model._rows) == len(model._targets) == 0


def test_a_wrong_layer_is_named_at_once():
    with pytest.raises(ValueError, match="layers: expected"):
        DeepNetClassifier(layers=(0,))


def test_every_point_counts_at_once_and_not_only_when_the_net_is_trained_again():
    rng = np.random.default_rng(0)
    before, now = rng.normal(0, 1, (100, 2)), rng.normal(0, 1, (40, 2))
    right = {}
    for correction in (0.0, 0.5):
        model = DeepNetClassifier(layers=(8,), window=100, every=50, correction=correction)
        for x in before.tolist():
            model.learn_one(dict(enumerate(x)), x[0] > 0)
        right[correction] = 0
        for x in now.tolist():  # what was true is false
            right[correction] += model.predict_one(dict(enumerate(x))) == (x[0] <= 0)
            model.learn_one(dict(enumerate(x)), x[0] <= 0)
    assert right[0.5] > right[0.0] + 8


def test_numbers_are_corrected_at_once_too():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (150, 2))
    missed = {}
    for correction in (0.0, 0.25):
        model = DeepNetRegressor(layers=(8,), window=100, every=50, correction=correction)
        missed[correction] = 0.0
        for n, point in enumerate(x.tolist()):
            y = 1000.0 + 100.0 * point[0] + 500.0 * (n >= 100)
            if n >= 110:
                missed[correction] += abs(model.predict_one(dict(enumerate(point))) - y)
            model.learn_one(dict(enumerate(point)), y)
    assert missed[0.25] < 0.5 * missed[0.0], missed


def test_other_options_are_those_of_the_model():
    model = DeepNetClassifier(
        layers=(8, 8), options={"stage_layers": 2, "multipliers": True, "passes": 2}
    )
    for n, x in enumerate(np.random.default_rng(0).normal(0, 1, 60).tolist()):
        model.learn_one({"x": x, "n": n % 7}, x > 0)
    assert model.predict_one({"x": 3.0})
    with pytest.raises(ValueError, match="passes: expected"):
        DeepNetRegressor(options={"passes": 0})
    with pytest.raises(ValueError, match=r"options: expected some of loss, .*, got seed"):
        DeepNetRegressor(options={"seed": 1})


def test_a_net_goes_on_when_all_points_have_been_replaced():
    model = DeepNetClassifier(layers=(8,), window=100, every=50)
    rng = np.random.default_rng(0)
    begun = None
    for n, x in enumerate(rng.normal(0, 1, 450).tolist()):
        model.learn_one({"x": x + n / 100}, x > 0)
        if n == 60:
            begun = model._following.params["input/mean"]
    np.testing.assert_array_equal(model._following.params["input/mean"], begun)


def test_a_correction_leaves_alone_what_it_has_not_learned_and_can_be_left_out():
    scores, evidence = np.zeros((1, 3), np.float32), np.ones((1, 2), np.float32)
    correction = Correction(1.0, LOSSES["softmax"])
    np.testing.assert_array_equal(correction(scores, evidence), scores)
    correction.learn(scores, evidence, np.eye(3, dtype=np.float32)[:1])
    assert correction(scores, evidence).argmax() == 0
    with pytest.raises(ValueError, match="correction: expected 0 to"):
        DeepNetClassifier(correction=3.0)
