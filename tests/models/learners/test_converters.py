"""What every kind of learner promises: its arrays are all it knows, and it never changes those it was given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from streammac.models.learners.registry import OWN, LearnerError, converter
from streammac.models.learners.scikit import TRAVELS, Scikit

OPTIONS = [(name, {}) for name in OWN] + [
    ("sgd_classifier", {"average": True, "loss": "log_loss"}),
    ("passive_aggressive", {"C": 0.1, "average": True}),
    ("mini_batch_k_means", {"n_clusters": 70, "reassignment_ratio": 0.1}),
    ("hoeffding_tree", {"grace_period": 50, "delta": 1e-3}),
    ("hoeffding_tree", {"grace_period": 50, "tau": 0.3, "leaf_prediction": "mc"}),
    ("hoeffding_tree", {"grace_period": 50, "max_depth": 1, "leaf_prediction": "nb"}),
    ("river_logistic_regression", {"lr": 0.5, "l2": 1e-3}),
]


def minibatches(count=8, size=64, dim=6):
    rng = np.random.default_rng(0)
    for _ in range(count):
        x = rng.standard_normal((size, dim)).astype(np.float32)
        yield x, (x[:, 0] + 0.3 * x[:, 1] ** 2 > 0.2).astype(np.uint8)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_learner_that_travels_learns_what_one_that_stays_learns(name, options):
    made = converter(name, options, 3)
    stays, arrays = made.learner({}), {}
    for x, bits in minibatches():
        made.learn(stays, x, bits)
        before = {key: value.copy() for key, value in arrays.items()}
        travels = made.learner(arrays)
        made.learn(travels, x, bits)
        for key, value in before.items():
            np.testing.assert_array_equal(arrays[key], value)
        arrays = made.arrays(travels)
    expected = made.arrays(stays)
    assert arrays.keys() == expected.keys()
    for key, value in arrays.items():
        assert value.dtype.str in TRAVELS
        np.testing.assert_array_equal(value, expected[key], err_msg=key)
    wrong = made.predict(arrays, x) != bits
    assert wrong.mean() < 0.35


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_minibatch_of_one_class_is_no_matter_to_a_learner_that_knows_both(name, options):
    made = converter(name, options, 3)
    learner = made.learner({})
    x, bits = next(minibatches())
    made.learn(learner, x, bits)
    made.learn(learner, x[bits == 1], bits[bits == 1])
    arrays = made.arrays(learner)
    assert all(np.isfinite(value).all() for value in arrays.values())


def test_river_says_the_same_of_its_own_learner():
    import pandas as pd

    made = converter("river_logistic_regression", {}, 0)
    learner = made.learner({})
    for x, bits in minibatches():
        made.learn(learner, x, bits)
    frame = pd.DataFrame(x.astype(float), columns=[str(i) for i in range(x.shape[1])])
    np.testing.assert_array_equal(
        made.predict(made.arrays(learner), x), learner.predict_many(frame).to_numpy()
    )


def test_passive_aggressive_steps_are_those_of_the_paper():
    made = converter("passive_aggressive", {"C": 0.3}, 0)
    learner, w, b = made.learner({}), np.zeros(6), 0.0
    for x, bits in minibatches(size=1):
        made.learn(learner, x, bits)
        (point,), sign = x.astype(float), 2.0 * bits[0] - 1.0
        loss = max(0.0, 1.0 - sign * (w @ point + b))
        step = sign * min(0.3, loss / (point @ point))
        w, b = w + step * point, b + step
    np.testing.assert_allclose(learner.coef_[0], w, rtol=1e-5)


def test_k_means_says_a_bit_as_the_nearest_centre_does():
    made = converter("mini_batch_k_means", {"n_clusters": 5}, 0)
    learner = made.learner({})
    for x, bits in minibatches():
        made.learn(learner, x, bits)
    far = [k_means.transform(x).min(axis=1) for k_means in learner]
    np.testing.assert_array_equal(made.predict(made.arrays(learner), x), far[1] < far[0])


@pytest.mark.parametrize("options", [options for name, options in OPTIONS if "tree" in name])
def test_trees_split_and_say_of_many_points_what_river_says_of_each(options):
    made = converter("hoeffding_tree", options, 0)
    learner = made.learner({})
    for number, (x, bits) in enumerate(minibatches(12)):
        one = slice(None) if number != 5 else bits == 1  # a minibatch of one class
        made.learn(learner, x[one], bits[one])
        said = [learner.predict_one(dict(enumerate(row))) for row in x.tolist()]
        assert made.predict(made.arrays(learner), x).tolist() == said
    assert learner.n_branches >= 1


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("forest", {}, "learner: no 'forest', there is bernoulli_nb, "),
        ("sgd_classifier", {"alpha": -1.0}, "learner_options: sgd_classifier: The 'alpha' param"),
        ("sgd_classifier", {"alfa": 1.0}, "unexpected keyword argument 'alfa'"),
        (
            "hoeffding_tree",
            {"splitter": "exhaustive"},
            "learner_options: .*: no splitter, there is",
        ),
        ("mini_batch_k_means", {"clusters": 3}, "learner_options: .*: no clusters"),
        ("passive_aggressive", {"alpha": 1.0}, "learner_options: .*: no alpha, there is C, "),
        ("river_logistic_regression", {"l1": 1.0}, "learner_options: .*: no l1"),
    ],
)
def test_what_cannot_be_is_named(name, options, told):
    with pytest.raises(LearnerError, match=told):
        converter(name, options, 0)


def test_a_class_with_other_state_than_arrays_needs_a_converter_of_its_own():
    made = Scikit(MLPClassifier, {}, 0)
    learner = made.learner({})
    x, bits = next(minibatches())
    made.learn(learner, x, bits)
    with pytest.raises(ValueError, match="MLPClassifier needs a converter of its own: its _label_"):
        made.arrays(learner)


def test_the_random_state_is_the_seed_unless_it_is_given():
    assert Scikit(SGDClassifier, {}, 7).learner({}).random_state == 7
    assert Scikit(SGDClassifier, {"random_state": 1}, 7).learner({}).random_state == 1
