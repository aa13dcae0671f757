"""Families and learners that other packages install: found by name, and wrong ones told."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.learners.registry import LearnerError, converter
from streammac.models.local import VisitPlan
from streammac.models.registry import ModelError, create
from streammac.models.serial import parmac
from tests.models.packages import install
from workers.inprocess import InProcessRing

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "k_means.py"
ENTRY_POINTS = """
[streammac.families]
k_means = k_means:KMeans
gone = no_such_module:Family
strange = k_means:np

[streammac.learners]
last_seen = last_seen:LastSeen
useless = k_means:KMeans
"""
LAST_SEEN = """
import numpy as np
class LastSeen:
    "Says of all points what the last one was."
    def partial_fit(self, x, y, classes):
        self.last_ = int(y[-1])
    def predict(self, x):
        return np.full(len(x), self.last_)
"""


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The example and a learner, as a package manager leaves them."""
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "last_seen.py").write_text(LAST_SEEN)
    install(tmp_path, ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


def shards(model):
    x = load_digits().data.astype(np.float32)
    return {f"w{i}": ArrayShard(x[i::3], model.coordinate_shape()) for i in range(3)}


def test_the_example_is_as_good_as_another_k_means_and_the_same_on_a_ring():
    model = create("k_means", clusters=10)
    plan = VisitPlan(seed=1, minibatch=128)
    *_, (params, objective) = islice(parmac(model, shards(model), plan), 12)
    others = KMeans(10, init="random", n_init=1, max_iter=11, random_state=0)
    assert objective.nested < 1.05 * others.fit(load_digits().data).inertia_
    got = InProcessRing(model, shards(model), plan).run(12)
    for name in params:
        np.testing.assert_array_equal(got[name], params[name])


def test_the_example_is_short():
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(lines) <= 75


def test_a_class_with_partial_fit_is_a_learner():
    made = converter("last_seen", {}, 0)
    learner = made.learner({})
    made.learn(learner, np.zeros((2, 3), np.float32), np.array([0, 1], np.uint8))
    assert made.predict(made.arrays(learner), np.zeros((2, 3), np.float32)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("family", "told"),
    [
        ("fourier", "model.family: no 'fourier', there is binary_autoencoder, .*k_means"),
        ("gone", r"model.family: gone: cannot load no_such_module:Family .*ModuleNotFoundError"),
        ("strange", "model.family: k_means:np is no dataclass that is a NestedModel"),
    ],
)
def test_a_family_that_is_not_there_or_is_none_is_told(family, told):
    with pytest.raises(ModelError, match=told):
        create(family)


def test_a_learner_that_cannot_learn_is_told():
    with pytest.raises(LearnerError, match="learner: useless has no partial_fit"):
        converter("useless", {}, 0)
