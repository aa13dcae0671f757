"""The Radon machine as an estimator: conventions, heights, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from streammac.models.hypotheses import NoVector, TooFewPoints, deal, vector_of, with_vector
from streammac.models.learner_estimator import LearnerClassifier
from streammac.models.radon import radon_point
from streammac.models.radon_machine import RadonMachine


@parametrize_with_checks(
    [
        RadonMachine(RidgeClassifier(), least_points=12),
        RadonMachine(Ridge(), least_points=12),
        LearnerClassifier(passes=8, minibatch=16),
    ]
)
def test_sklearn_conventions(estimator, check):
    check(estimator)


def two_classes(points: int = 6000, classes: int = 2):
    x, y = make_classification(
        points, 4, n_informative=3, n_redundant=0, n_classes=classes, class_sep=1.5, random_state=0
    )
    return x[::2], y[::2], x[1::2], y[1::2]


@pytest.mark.parametrize(
    "learner",
    [
        LogisticRegression(),
        SGDClassifier(average=True, random_state=0),
        LearnerClassifier("river_logistic_regression", passes=2, minibatch=8),
        LearnerClassifier("gaussian_nb"),
    ],
)
def test_classifies_about_as_well_as_the_learner_on_all_points(learner):
    x, y, test_x, test_y = two_classes()
    machine = RadonMachine(learner, 1).fit(x, y)
    assert machine.score(test_x, test_y) > clone(learner).fit(x, y).score(test_x, test_y) - 0.01
    assert len(machine.hypotheses_) == machine.hypotheses_.shape[1] + 2


def test_classifies_more_than_two_classes():
    x, y, test_x, test_y = two_classes(classes=4)
    machine = RadonMachine(LogisticRegression(), 1).fit(x, y)
    assert machine.predict_proba(test_x).shape == (len(test_x), 4)
    whole = LogisticRegression().fit(x, y).score(test_x, test_y)
    assert machine.score(test_x, test_y) > whole - 0.01


def test_tells_numbers():
    x, y = load_diabetes(return_X_y=True)
    x = x[:, [2, 3, 8]]
    machine = RadonMachine(LinearRegression()).fit(x, y)
    assert machine.height_ == 1
    assert machine.score(x, y) > LinearRegression().fit(x, y).score(x, y) - 0.01


def test_the_same_seed_deals_the_same_parts():
    x, y, *_ = two_classes(1000)
    first, same, other = (
        RadonMachine(LogisticRegression(), 1, random_state=seed).fit(x, y).hypotheses_
        for seed in (None, 0, 1)
    )
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


def test_one_part_that_is_wild_does_not_count():
    x, y, test_x, test_y = two_classes()
    machine = RadonMachine(LogisticRegression(), 1).fit(x, y)
    hypotheses = machine.hypotheses_.copy()
    hypotheses[3] *= -1e6
    robust = with_vector(machine.estimator_, radon_point(hypotheses))
    mean = with_vector(machine.estimator_, hypotheses.mean(axis=0))
    assert robust.score(test_x, test_y) > machine.score(test_x, test_y) - 0.02
    assert mean.score(test_x, test_y) < 0.5


def test_the_height_is_what_the_points_suffice_for():
    x, y, *_ = two_classes(2 * 49 * 50)
    assert RadonMachine(RidgeClassifier()).fit(x, y).height_ == 2
    assert RadonMachine(RidgeClassifier()).fit(x[:-1], y[:-1]).height_ == 1
    assert RadonMachine(RidgeClassifier(), least_points=500).fit(x, y).height_ == 0


def test_too_few_points_for_a_height_name_the_one_that_fits():
    x, y, *_ = two_classes(800)
    with pytest.raises(TooFewPoints, match=r"7\^3 = 343 parts .* 400 points.*height=2"):
        RadonMachine(LogisticRegression(), 3).fit(x, y)


def test_every_part_has_every_class():
    x, y, *_ = two_classes(400)
    y[10:] = 0
    y[:10] = 1
    with pytest.raises(TooFewPoints, match="10 of the rarest class, which suffice for height=1"):
        RadonMachine(LogisticRegression(), 2).fit(x, y)
    assert RadonMachine(LogisticRegression(), 1).fit(x, y).height_ == 1


def test_parts_are_disjoint_and_of_all_points():
    labels = np.random.default_rng(0).integers(0, 3, 1000)
    parts = deal(labels, 7, np.random.default_rng(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    counts = np.array([np.bincount(labels[part]) for part in parts])
    assert (np.ptp(counts, axis=0) <= 1).all()


@pytest.mark.parametrize("learner", [KNeighborsClassifier(), SVC(kernel="linear"), SVC()])
def test_a_learner_without_a_vector_is_refused_before_it_is_trained_on_all_points(learner):
    x, y, *_ = two_classes(400)
    with pytest.raises(NoVector, match="use a linear model"):
        RadonMachine(learner).fit(x, y)


def test_a_vector_of_parameters_makes_the_same_learner_again():
    x, y, *_ = two_classes(400)
    for learner in (LogisticRegression().fit(x, y), LearnerClassifier("perceptron").fit(x, y)):
        vector = vector_of(learner)
        assert vector_of(with_vector(learner, 2 * vector)).tolist() == (2 * vector).tolist()
        assert vector_of(learner).tolist() == vector.tolist()
        with pytest.raises(
            NoVector, match=rf"expected {len(vector)} parameters, got {len(vector) - 1}"
        ):
            with_vector(learner, vector[1:])


@pytest.mark.parametrize("wrong", [{"height": -1}, {"least_points": 0}])
def test_wrong_parameters_are_named(wrong):
    x, y, *_ = two_classes(100)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RadonMachine(LogisticRegression(), **wrong).fit(x, y)
