"""Deep nets by auxiliary coordinates: Z steps lower what they are to lower, W steps learn, blocks change nothing."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_diabetes, load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from streammac.models.arrays import ArrayShard
from streammac.models.deep_net import DeepNetModel
from streammac.models.local import VisitPlan
from streammac.models.net_estimators import DeepNetClassifier, DeepNetRegressor
from streammac.models.nets.coordinates import Problem
from streammac.models.nets.layers import HEAD, kind, seen
from streammac.models.nets.losses import LOSSES
from streammac.models.nets.stages import columns
from streammac.models.registry import ModelError, configured, create
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from tests.models.random_nets import random_net

DIGITS = load_digits()
X, Y = DIGITS.data.astype(np.float32), DIGITS.target
RNG = np.random.default_rng(0)
CASES = [
    (activation, loss)
    for activation in ("relu", "tanh", "sigmoid", "step", ("step", "relu"), ("relu", "step"))
    for loss in ("softmax", "logistic", "squared")
]


def net_of(activation="tanh", loss="softmax", layers=(7, 5), inputs=6, scale=2, **more):
    """Return a model with random parameters, and points with targets."""
    model = DeepNetModel(layers=layers, activation=activation, loss=loss, classes=3, **more)
    return model, *random_net(model, RNG, inputs, scale=scale)


def objective(model, params, points, z, mu):
    """The definition, point by point in float64."""
    act = {
        "relu": lambda v: np.maximum(v, 0),
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "step": lambda v: np.where(v > 0, 1.0, -1.0),
    }
    names = (
        model.activation
        if isinstance(model.activation, tuple)
        else [model.activation] * len(model.layers)
    )
    total, below = np.zeros(len(points)), (points.x - params["input/mean"]) / params["input/scale"]
    f = model.functions(params)
    for number, (name, place) in enumerate(zip(names, columns(model.layers), strict=True), 1):
        v = below.astype(np.float64) @ f[f"{kind(number)}.weight"].T + f[f"{kind(number)}.bias"]
        below = z[:, place].astype(np.float64)
        total += mu / 2 * ((below - act[name](v)) ** 2).sum(axis=1)
    s = below @ f["head.weight"].T + f["head.bias"]
    y = (points.y == np.arange(3)).astype(np.float64)
    if model.loss == "squared":
        return total + ((s - y) ** 2).sum(axis=1) / 2
    if model.loss == "logistic":
        return total + (np.log1p(np.exp(s)) - y * s).sum(axis=1)
    return total + np.log(np.exp(s).sum(axis=1)) - (y * s).sum(axis=1)


@pytest.mark.parametrize(("activation", "loss"), CASES)
@pytest.mark.parametrize("mu", [1e-3, 0.1, 10.0])
def test_a_z_step_raises_no_points_objective(activation, loss, mu):
    model, params, points = net_of(activation, loss)
    h = model.coordinates(params, points.x.copy())
    z = h + RNG.standard_normal(h.shape).astype(np.float32) * 0.1
    if "step" in np.atleast_1d(activation):
        z = np.where(RNG.random(h.shape) < 0.1, -h, h)
    new, told = model.z_step(params, PointBlock(points.x.copy(), points.y), z, mu)
    before, of_h, after = (objective(model, params, points, one, mu) for one in (z, h, new))
    assert (after <= np.minimum(before, of_h) + 1e-4 * (1 + of_h)).all()
    if mu < 1 or "step" not in np.atleast_1d(activation):  # a flip may cost more than it brings
        assert after.sum() < of_h.sum() - 1e-3
    assert told.penalised == pytest.approx(after.sum(), rel=1e-3)
    assert told.nested == told.named["loss"] == pytest.approx(of_h.sum(), rel=1e-3)
    assert told.nested == pytest.approx(
        model.errors(params, PointBlock(points.x.copy(), points.y)).sum(), rel=1e-5
    )
    right = model.predict(params, points.x.copy()) == points.y[:, 0]
    assert (told.points, told.named["correct"]) == (40, right.sum())


@pytest.mark.parametrize("loss", ["softmax", "logistic", "squared"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_many_sweeps_come_to_where_finite_differences_vanish(activation, loss):
    model, params, points = net_of(activation, loss, scale=0.7, sweeps=1000)
    z = model.coordinates(params, points.x.copy())
    new, _ = model.z_step(params, PointBlock(points.x.copy(), points.y), z, 5.0)

    def slope(z, column):
        step = np.zeros(z.shape[1])
        step[column] = 1e-4
        ahead, behind = (objective(model, params, points, z + s, 5.0) for s in (step, -step))
        return (ahead - behind) / 2e-4

    new, last = new.astype(np.float64), columns(model.layers)[-1]
    least = -1 if activation == "tanh" else 0
    # where z_K meets the bounds of the activation it is moved there, which is not the best within them
    free = ((new[:, last] > least + 0.01) & (new[:, last] < 0.99)).all(axis=1)
    assert free.sum() > 5
    for column in range(new.shape[1]):
        inside = free & (new[:, column] > least + 0.01) & (new[:, column] < 0.99)
        steepest = np.abs(slope(z, column)).max()
        assert np.abs(slope(new, column)[inside]).max(initial=0) < 0.01 * steepest + 1e-3


def test_the_constraints_hold_as_mu_grows_and_what_they_cost_is_the_gradient():
    """mu (f_K - z_K) is the estimate of the multipliers: in the end the gradient of the nested error by h_K."""
    model, params, points = net_of("tanh", "softmax", scale=0.7, sweeps=300)
    h = model.coordinates(params, points.x.copy())
    last = columns(model.layers)[-1]

    def nested(step, column):
        moved = h.astype(np.float64)
        moved[:, last.start + column] += step
        return objective(model, params, points, moved, 0.0)

    gradient = np.stack([(nested(1e-4, c) - nested(-1e-4, c)) / 2e-4 for c in range(5)], axis=1)
    found = []
    for mu in (0.1, 1.0, 10.0, 100.0):
        z, told = model.z_step(params, PointBlock(points.x.copy(), points.y), h, mu)
        place = columns(model.layers)[0]
        net = model._architecture.net(params)
        f = net.stages[1](z[:, place])
        estimate = mu * (f - z[:, last])
        found.append((told.violated, np.abs(estimate - gradient).max() / np.abs(gradient).max()))
    violated, wrong = zip(*found, strict=True)
    assert list(violated) == sorted(violated, reverse=True)
    assert violated[-1] < 1e-3 * violated[0]
    assert wrong[-1] < 0.05 < wrong[0]


def shards_of(model, x, y, members=3):
    shape = model.coordinate_shape()
    parts = [slice(i, None, members) for i in range(members)]
    return {
        f"w{n}": ArrayShard(x[p], shape, None if y is None else y[p]) for n, p in enumerate(parts)
    }


def trained(model, x, y, epochs):
    steps = parmac(model, shards_of(model, x, y), VisitPlan(seed=1, minibatch=64))
    *_, last = islice(steps, epochs)
    return last


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({}, 0.85),
        ({"activation": "tanh"}, 0.82),
        ({"activation": "sigmoid"}, 0.75),
        ({"loss": "logistic"}, 0.85),
        ({"loss": "squared"}, 0.85),
        ({"activation": ("step", "relu")}, 0.8),
    ],
    ids=str,
)
def test_a_net_learns_to_tell_classes(options, least):
    model = DeepNetModel(layers=(48, 32), classes=10, slice_points=350, passes=4, **options)
    x, y = X[:1400], Y[:1400]
    params, told = trained(model, x, y, 1 + 4 * 3)  # writers that are in no training set come last
    accuracy = (model.predict(params, X[1400:].copy()) == Y[1400:]).mean()
    assert accuracy > least, accuracy
    assert np.isfinite(told.penalised)


@pytest.mark.parametrize(("activation", "members"), [("relu", 3), ("relu", 10), ("sigmoid", 10)])
def test_a_net_learns_where_each_shard_has_few_classes(activation, members):
    order = np.argsort(Y[:1400], kind="stable")
    model = DeepNetModel((48, 32), activation, classes=10, slice_points=350, passes=8)
    shards = {
        f"w{n:02}": ArrayShard(X[rows], model.coordinate_shape(), Y[rows])
        for n, rows in enumerate(np.array_split(order, members))
    }
    params, _ = next(islice(parmac(model, shards, VisitPlan()), 4 * 4, None))
    accuracy = (model.predict(params, X[1400:].copy()) == Y[1400:]).mean()
    assert accuracy > 0.8, accuracy


def test_a_net_learns_numbers_and_an_autoencoder_its_points():
    data = load_diabetes()
    x, y = data.data.astype(np.float32), data.target.astype(np.float32)
    model = DeepNetModel(layers=(32,), slice_points=100, passes=20)
    params, _ = trained(model, x[:350], y[:350], 1 + 4 * 20)
    told = model.predict(params, x[350:].copy())
    assert told.shape == (92, 1)
    assert ((told[:, 0] - y[350:]) ** 2).mean() < 0.65 * y[350:].var()
    model = DeepNetModel(layers=(32,), slice_points=300, passes=10)
    params, _ = trained(model, X[:1400], None, 1 + 5 * 10)
    assert ((model.predict(params, X[1400:].copy()) - X[1400:]) ** 2).mean() < 0.35 * X.var(
        axis=0
    ).mean()


def test_a_net_that_has_made_all_its_passes_rests():
    model = DeepNetModel(layers=(16,), classes=10, slice_points=600, passes=2)
    steps = parmac(model, shards_of(model, X, Y), VisitPlan(minibatch=64))
    runs = list(islice(steps, 1 + 3 * 4))
    before, (last, told) = runs[3 * 2][0], runs[-1]
    assert (
        model.functions(runs[3][0])["head.weight"].tolist()
        != model.functions(last)["head.weight"].tolist()
    )
    assert all((before[name] == last[name]).all() for name in last)
    assert told.changed == 0, "its second pass without a change of parameters"


def test_blocks_are_of_no_consequence_for_what_a_net_says():
    model = DeepNetModel(layers=(48, 32), classes=10)
    params, _ = trained(model, X[:600], Y[:600], 3)
    for groups in (1, 2, 5):
        laid_out = model.regrouped(params, groups)
        names = {block.name for block in model.blocks(Signature(64, 1), groups)}
        assert {n.rpartition("/")[0] for n in laid_out} == names | {"input", "target"}
        for name, tensor in model.functions(params).items():
            np.testing.assert_array_equal(model.functions(laid_out)[name], tensor)
    again = model.regrouped(model.regrouped(params, 5), 1)
    assert all((again[name] == tensor).all() for name, tensor in model.regrouped(params, 1).items())


def test_exported_weights_apply_to_raw_inputs():
    model = DeepNetModel(layers=(16, 16), classes=10)
    params, _ = trained(model, X[:600], Y[:600], 3)
    plain, values = model.export(params), X
    for name in ("layer1", "layer2"):
        values = np.maximum(values @ plain[f"{name}.weight"].T + plain[f"{name}.bias"], 0)
    scores = values @ plain["head.weight"].T + plain["head.bias"]
    np.testing.assert_allclose(scores, model.scores(params, X.copy()), rtol=1e-3, atol=1e-3)


def test_a_point_of_no_class_has_no_part():
    model, params, points = net_of()
    points.y[:5] = 7
    scores, y = model.scores(params, points.x.copy()), (points.y == np.arange(3)).astype(np.float32)
    assert not LOSSES["softmax"].gradient(scores, y)[:5].any()
    assert not model.errors(params, PointBlock(points.x.copy(), points.y))[:5].any()


def test_the_outcomes_of_new_points_are_those_of_the_usual_measures():
    model, params, points = net_of()
    got = model.outcomes(params, PointBlock(points.x.copy(), points.y))
    right = metrics.accuracy_score(points.y[:, 0], model.predict(params, points.x.copy()))
    assert got["accuracy"].mean() == np.float32(right)
    np.testing.assert_array_equal(got["loss"], model.errors(params, points))

    numbers = DeepNetModel(layers=(5,))
    x, y = points.x, RNG.standard_normal((40, 2)).astype(np.float32)
    block = numbers.initial_blocks(Signature(6, 2))[0]
    moments = {"init/count": np.ones(1) * 50, "init/x": np.full((2, 6), 50.0)}
    first = numbers.end_lap(block, {}, moments | {"init/y": np.full((2, 2), 60.0)}, 0)
    got = numbers.outcomes(first, PointBlock(x.copy(), y))
    wanted = metrics.mean_squared_error(y, numbers.predict(first, x.copy()))
    assert got["squared_error"].mean() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": []}, "model.options.layers: expected numbers from 1 to 65536"),
        ({"layers": [0]}, "model.options.layers: expected numbers"),
        ({"activation": "gelu"}, "model.options.activation: "),
        ({"activation": ["relu"]}, "model.options.activation: expected one, or 2, got 1"),
        ({"loss": "softmax"}, "model.options.loss: expected squared or logistic"),
        ({"bits": 8}, "model.bits: deep_net has layers, activation"),
        ({"classes": -1}, "stream.classes: expected a number from 0"),
        ({"slice_points": 0}, "model.options.slice_points: expected"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ModelError, match=said.replace("[", r"\[")):
        create("deep_net", **options)


def test_a_cluster_gets_the_net_of_its_settings_and_its_streams_classes():
    model = configured("deep_net", {"layers": [8]}, None, 4)
    assert (model.layers, model.classes) == ((8,), 4)
    assert create(model.family, **model.hyper_parameters()) == model
    assert configured("binary_autoencoder", {}, 8, 4).bits == 8


def test_a_problem_says_what_the_definition_says():
    model, params, points = net_of("sigmoid", "logistic")
    z = model.coordinates(params, points.x.copy()) + np.float32(0.1)
    net = model._architecture.net(params)
    y = (points.y == np.arange(3)).astype(np.float32)
    problem = Problem(net, LOSSES["logistic"], 0.3, seen(params, points.x.copy()), y)
    got = problem.objective([z[:, place] for place in columns(model.layers)])
    np.testing.assert_allclose(got, objective(model, params, points, z, 0.3), rtol=1e-4)
    assert HEAD == "head"


ROUNDED = {
    "check_methods_subset_invariance": "numbers are float32: a product of other rows beside them rounds otherwise"
}


@parametrize_with_checks(
    [DeepNetClassifier([8], passes=8), DeepNetRegressor([8], passes=8)],
    expected_failed_checks=lambda net: ROUNDED if isinstance(net, DeepNetRegressor) else {},
)
def test_sklearn_conventions(estimator, check):
    check(estimator)


def test_an_option_that_estimators_do_not_take_is_named():
    for wrong in ("passes", "depth"):
        net = DeepNetClassifier([8], options={wrong: 1})
        with pytest.raises(ValueError, match=f"options: expected some of .*, got {wrong}"):
            net.fit(X[:20], Y[:20])


def test_estimators_go_on_with_what_comes():
    net = DeepNetClassifier([48], passes=6, slice_points=300, random_state=1)
    with pytest.raises(ValueError, match="classes: expected all classes"):
        net.partial_fit(X[:100], Y[:100])
    for first in range(0, 1400, 200):
        net.partial_fit(X[first : first + 200], Y[first : first + 200], classes=np.arange(10))
    assert net.passes_ == 7
    assert net.score(X[1400:], Y[1400:]) > 0.8
    with pytest.raises(ValueError, match="expected classes among"):
        net.partial_fit(X[:2], [3, 11])
    np.testing.assert_allclose(net.predict_proba(X[:9]).sum(axis=1), 1, rtol=1e-5)
