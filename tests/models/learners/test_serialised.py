"""Learners that travel as bytes: by a serialiser that is installed and named, and under a seal that is known."""

from __future__ import annotations

import importlib
import json
import pickle
from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.cli.checks import check_settings
from streammac.errors import ExitCode, Failure
from streammac.models import plugins, registry
from streammac.models.arrays import ArrayShard
from streammac.models.learners import seal
from streammac.models.learners.registry import OWN, LearnerError, converter
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac
from streammac.run_directory import RunDirectory
from streammac.security import KeyFolder
from streammac.settings.schema import Settings
from streammac.settings.sources import Loaded
from tests.models.packages import install
from workers.inprocess import InProcessRing

ENTRY_POINTS = """
[streammac.serialisers]
recorded = recorded
nothing = json:decoder

[streammac.learners]
net = sklearn.neural_network:MLPClassifier
"""
RECORDED = """
import pickle
opened = []
dumps = pickle.dumps
def loads(data):
    opened.append(data)
    return pickle.loads(data)
"""
OPTIONS = {"hidden_layer_sizes": [4]}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """What the serialiser has been given to open; it and a learner are installed as a package manager leaves them."""
    (tmp_path / "recorded.py").write_text(RECORDED)
    install(tmp_path, ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(seal, "_shared", None)
    recorded = importlib.import_module("recorded")
    recorded.opened.clear()
    return recorded.opened


def another_process(monkeypatch, secret=None):
    """Go on as one that has a secret of its own, and perhaps that of a cluster."""
    monkeypatch.setattr(seal, "_own", b"another process")
    monkeypatch.setattr(seal, "_shared", None)
    if secret is not None:
        seal.share(secret)


def learnt(made):
    learner = made.learner({})
    x = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    made.learn(learner, x, np.array([0, 1], np.uint8))
    return x, made.arrays(learner)


def test_a_learner_that_needs_one_is_refused_without_it(opened):
    with pytest.raises(LearnerError, match=r"MLPClassifier needs a converter .* or a serialiser"):
        converter("net", OPTIONS, 0)
    assert opened == []


def test_streammac_installs_none():
    assert plugins.installed(plugins.SERIALISERS) == {}


@pytest.mark.parametrize(
    ("learner", "serialiser", "told"),
    [
        ("sgd_classifier", "recorded", "serialiser: sgd_classifier needs none"),
        ("net", "pickle", "serialiser: no 'pickle', installed is nothing, recorded"),
        ("net", "nothing", "serialiser: json:decoder has no dumps and loads"),
    ],
)
def test_what_cannot_be_is_named(opened, learner, serialiser, told):
    with pytest.raises(registry.ModelError, match=rf"model\.options\.{told}"):
        registry.create("learner_codes", learner=learner, serialiser=serialiser)
    assert opened == []


def test_what_strangers_have_made_is_refused_before_it_is_looked_at(opened, monkeypatch):
    made = converter("net", OPTIONS, 0, "recorded")
    x, arrays = learnt(made)
    made.predict(arrays, x)
    opened.clear()
    another_process(monkeypatch)
    data = np.frombuffer(pickle.dumps(made.learner({})), np.uint8)
    for foreign in (arrays["sealed"], arrays["sealed"][:5], data):
        with pytest.raises(seal.BadSeal, match="net by recorded: its bytes may hold code and are"):
            made.predict({"sealed": foreign}, x)
    assert opened == []


def test_members_with_the_clusters_secret_believe_each_other(opened, monkeypatch):
    another_process(monkeypatch, b"the cluster's")
    made = converter("net", OPTIONS, 0, "recorded")
    x, arrays = learnt(made)
    expected = made.predict(arrays, x)
    another_process(monkeypatch, b"another cluster's")
    with pytest.raises(seal.BadSeal):
        made.predict(arrays, x)
    another_process(monkeypatch, b"the cluster's")
    np.testing.assert_array_equal(made.predict(arrays, x), expected)
    other = converter("net", OPTIONS, 1, "recorded")
    other._name = "another"
    with pytest.raises(seal.BadSeal):
        other.predict(arrays, x)
    changed = arrays["sealed"].copy()
    changed[-1] ^= 1
    with pytest.raises(seal.BadSeal):
        made.predict({"sealed": changed}, x)


def test_the_ring_trains_them_as_the_serial_reference_does(opened):
    model = registry.create(
        "learner_codes",
        bits=2,
        learner="net",
        learner_options=OPTIONS,
        serialiser="recorded",
        inputs="components",
    )
    assert model.needs_keys
    assert (
        registry.create("learner_codes", **json.loads(json.dumps(model.hyper_parameters())))
        == model
    )
    x = load_digits().data.astype(np.float32)[:150]
    plan = VisitPlan(seed=3)

    def shards():
        return {f"w{i}": ArrayShard(x[i::2], model.coordinate_shape()) for i in range(2)}

    *_, (expected, _) = islice(parmac(model, shards(), plan), 3)
    got = InProcessRing(model, shards(), plan).run(3)
    assert any("sealed" in name for name in got)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def test_no_cluster_starts_with_a_serialiser_and_without_keys(opened, tmp_path):
    options = {"learner": "net", "learner_options": OPTIONS, "serialiser": "recorded"}
    model = {"family": "learner_codes", "options": options}
    loaded = Loaded(Settings.model_validate({"model": model}))
    directory = RunDirectory.create(tmp_path / "run")
    with pytest.raises(Failure, match=r"model\.options\.serialiser: expected none without") as told:
        check_settings(loaded, directory)
    assert told.value.code is ExitCode.CONFIGURATION
    KeyFolder(directory.keys).new("host")
    check_settings(loaded, directory)


@pytest.mark.parametrize("name", OWN)
def test_what_travels_as_arrays_is_never_unpickled(name, monkeypatch):
    made = converter(name, {}, 0)

    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for what in ("loads", "load", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, what, refuse)
    rng = np.random.default_rng(0)
    x, learner = rng.standard_normal((20, 2)).astype(np.float32), made.learner({})
    bits = (x[:, 0] > 0).astype(np.uint8)
    made.learn(learner, x, bits)
    arrays = made.arrays(made.learner(made.arrays(learner)))
    assert all(value.dtype.kind in "fiub" for value in arrays.values())
    made.predict(arrays, x)
