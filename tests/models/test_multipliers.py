"""Nets with multipliers, and stages of several layers: gradients, what rises and what does not, once and not twice."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.deep_net import DeepNetModel
from streammac.models.local import VisitPlan
from streammac.models.net_estimators import DeepNetClassifier
from streammac.models.nets.activations import ACTIVATIONS
from streammac.models.nets.coordinates import REACH
from streammac.models.nets.descent import Slope, Units, trained
from streammac.models.nets.layers import Layer
from streammac.models.nets.multipliers import Rows
from streammac.models.nets.stages import Layers, columns
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from streammac.ring.epoch import part_of
from streammac.ring.member_actions import OpenEpoch, Train, ZStep
from streammac.wire.messages import EpochPlan, Token
from tests.models.random_nets import random_net
from workers.learner import Learner

RNG = np.random.default_rng(0)
DIGITS = load_digits()
X, Y = DIGITS.data.astype(np.float32), DIGITS.target
ACTIVE = {
    "relu": lambda v: np.maximum(v, 0),
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
}


def layer(units, inputs, activation, scale=1.0):
    weight = scale * RNG.standard_normal((units, inputs)).astype(np.float32)
    return Layer(weight, RNG.standard_normal(units).astype(np.float32), ACTIVATIONS[activation])


def net_of(layers=(7, 6, 5), activation="tanh", inputs=6, scale=0.7, **more):
    """Return a model with random parameters, and points with classes."""
    model = DeepNetModel(layers, activation, "softmax", 3, multipliers=True, **more)
    return model, *random_net(model, RNG, inputs, 30, scale)


def widths_of(model):
    return model._architecture.widths


def augmented(model, params, points, z, mu):
    """The augmented Lagrangian by its definition, point by point in float64."""
    rows, f = Rows.of(z.astype(np.float64), widths_of(model)), model.functions(params)
    act = ACTIVE[model.activation]
    below, total = (points.x - params["input/mean"]) / params["input/scale"], np.zeros(len(points))
    for numbers, a, u in zip(
        model._architecture.stages, rows.values, rows.multipliers, strict=True
    ):
        for number in numbers:
            below = act(
                below.astype(np.float64) @ f[f"layer{number}.weight"].T + f[f"layer{number}.bias"]
            )
        total += mu / 2 * (((a - below + u) ** 2).sum(axis=1) - (u**2).sum(axis=1))
        below = a
    s = below @ f["head.weight"].T + f["head.bias"]
    return total + np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(s)), points.y[:, 0].astype(int)]


def stepped(model, params, points, z, mu):
    return model.z_step(params, PointBlock(points.x.copy(), points.y), z, mu)


def some_rows(model, params, points, size):
    """Return coordinates and multipliers near those of the forward pass."""
    z = model.coordinates(params, points.x.copy())
    noise = size * RNG.standard_normal(z.shape).astype(np.float32)
    noise[:, -1] = 0
    return z + noise


def longest(h):
    """Return the size of each point's values, or the usual one if that is more."""
    sizes = np.linalg.norm(h, axis=1)
    return np.maximum(sizes, np.sqrt((sizes**2).mean()))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_gradients_of_a_stage_are_those_of_finite_differences(activation, count):
    widths = (4, 6, 5, 3)[: count + 1]
    layers = [layer(b, a, activation) for a, b in zip(widths, widths[1:], strict=False)]
    stage, act = Layers(tuple(layers)), ACTIVE[activation]
    below = RNG.standard_normal((8, widths[0])).astype(np.float32)
    own = RNG.random((8, widths[-1])).astype(np.float32)

    def half(below, weights):
        value = below.astype(np.float64)
        for one, weight in zip(layers, weights, strict=True):
            value = act(value @ weight.T + one.bias)
        return ((own - value) ** 2).sum() / 2

    def slope(array, of):
        found = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            step = np.zeros(array.shape)
            step[place] = 1e-5
            found[place] = (of(array + step) - of(array - step)) / 2e-5
        return found

    weights = [one.weight.astype(np.float64) for one in layers]
    by_below = slope(below.astype(np.float64), lambda b: half(b, weights))
    np.testing.assert_allclose(stage.by_below(below, own), by_below, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(stage.by_own(below, own), own - stage(below), atol=1e-6)
    # a step of the W step is against the gradient, of every layer of the stage
    chain = [Units.at_rest(one.weight, one.bias) for one in layers]
    inner = [ACTIVATIONS[activation]] * (count - 1)
    moved = trained(chain, inner, [(below, own)], Slope(ACTIVATIONS[activation]), 1e-2)
    for number, (before, after) in enumerate(zip(chain, moved, strict=True)):
        by_weight = slope(
            weights[number],
            lambda w, n=number: half(below, [*weights[:n], w, *weights[n + 1 :]]),
        )
        step = (after.weight - before.weight).ravel()
        cosine = -step @ by_weight.ravel() / np.linalg.norm(step) / np.linalg.norm(by_weight)
        assert cosine > 0.999


@pytest.mark.parametrize("stage_layers", [1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("mu", [0.1, 3.0])
def test_coordinates_lower_the_lagrangian_and_multipliers_raise_it_by_what_is_left(
    stage_layers, activation, mu
):
    model, params, points = net_of(activation=activation, stage_layers=stage_layers)
    z = some_rows(model, params, points, 0.05)
    new, told = stepped(model, params, points, z, mu)
    width = sum(widths_of(model))
    halfway = np.concatenate([new[:, :width], z[:, width:]], axis=1)  # before multipliers rise
    start, low, high = (augmented(model, params, points, one, mu) for one in (z, halfway, new))
    h = np.concatenate(
        [model.coordinates(params, points.x.copy())[:, :width], z[:, width:]], axis=1
    )
    of_h = augmented(model, params, points, h, mu)
    assert (low <= np.minimum(start, of_h) + 1e-4 * (1 + np.abs(start))).all()
    assert told.penalised == pytest.approx(high.sum(), rel=1e-3, abs=1e-3)
    rows, before = Rows.of(new, widths_of(model)), Rows.of(z, widths_of(model))
    left = sum(
        ((u - v) ** 2).sum(axis=1)
        for u, v in zip(rows.multipliers, before.multipliers, strict=True)
    )
    free = np.ones(len(z), bool)
    for u, h_k in zip(rows.multipliers, Rows.of(h, widths_of(model)).values, strict=True):
        free &= np.linalg.norm(u, axis=1) < 0.99 * REACH * longest(h_k)
    assert free.sum() > 5
    np.testing.assert_allclose((high - low)[free], mu * left[free], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stage_layers", [1, 3])
def test_with_one_net_the_constraints_come_to_hold_and_multipliers_to_the_gradient(stage_layers):
    """As in the augmented Lagrangian's theory: mu u is in the end less the gradient of the nested error by h_K."""
    model, params, points = net_of(stage_layers=stage_layers, sweeps=60)
    widths, mu = widths_of(model), 3.0
    z = model.coordinates(params, points.x.copy())
    violated = []
    for _ in range(25):
        z, told = stepped(model, params, points, z, mu)
        violated.append(told.violated)
        z[:, -1] = 0  # or the net would not be asked again
    assert violated[-1] < 1e-4 * violated[0]
    h = model.coordinates(params, points.x.copy())
    last = columns(widths)[-1]

    def nested(step, column):
        moved = h.astype(np.float64)
        moved[:, last.start + column] += step
        return augmented(model, params, points, moved, 0.0)

    gradient = np.stack([(nested(1e-4, c) - nested(-1e-4, c)) / 2e-4 for c in range(5)], axis=1)
    found = mu * Rows.of(z, widths).multipliers[-1]
    assert np.abs(found + gradient).max() < 0.02 * np.abs(gradient).max()


def test_a_net_raises_multipliers_once_and_another_net_raises_them_again():
    model, params, points = net_of()
    once, told = stepped(model, params, points, some_rows(model, params, points, 0.0), 0.5)
    again, after = stepped(model, params, points, once, 0.5)
    np.testing.assert_array_equal(again, once)
    assert after.penalised == pytest.approx(told.penalised, rel=1e-6)
    assert after.changed == 0 < told.changed
    other = {name: a * np.float32(1.01) if "bias" not in name else a for name, a in params.items()}
    later, _ = stepped(model, other, points, once, 0.5)
    assert (later[:, -1] != once[:, -1]).all()
    assert not np.array_equal(later[:, :-1], once[:, :-1])


def test_multipliers_stay_within_reach_where_a_constraint_never_holds():
    model, params, points = net_of(activation="relu", scale=2)
    z = some_rows(model, params, points, 50.0)
    new, _ = stepped(model, params, points, z, 1e-3)
    h = Rows.of(model.coordinates(params, points.x.copy()), widths_of(model)).values
    for u, h_k in zip(Rows.of(new, widths_of(model)).multipliers, h, strict=True):
        assert (np.linalg.norm(u, axis=1) <= REACH * longest(h_k) * 1.001).all()


def test_bits_have_no_multipliers():
    model, params, points = net_of(activation=("step", "tanh", "tanh"))
    new, _ = stepped(model, params, points, model.coordinates(params, points.x.copy()), 0.1)
    first, *others = Rows.of(new, widths_of(model)).multipliers
    assert not first.any()
    assert all(u.any() for u in others)


class Cancelled:
    """Says so from a number of questions on."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


NET = DeepNetModel((16, 8), classes=10, slice_points=10_000, multipliers=True)
VISITS = VisitPlan(seed=1, minibatch=64)


def learner(points=1700, cancelled=lambda: False):
    """Return a worker's learner in an epoch that is open, with its model."""
    shard = ArrayShard(X[:points], NET.coordinate_shape(), Y[:points])
    params, _ = next(parmac(NET, {"w1": shard}, VISITS))
    one = Learner("w1", NET, shard, VISITS, cancelled=cancelled)
    one.do(OpenEpoch(1, 1, EpochPlan(age=0), params, True, 1))
    return one, shard, params


def z_job(params):
    return ZStep(1, 1, EpochPlan(age=0), params, EpochPlan(age=1))


def test_a_z_step_that_is_made_again_or_goes_on_after_a_break_applies_no_multiplier_twice():
    one, shard, params = learner()
    one.do(z_job(params))
    once = shard.z(slice(None))
    assert Rows.of(once, [16, 8]).multipliers[0].any()
    one.do(z_job(params))
    np.testing.assert_array_equal(shard.z(slice(None)), once)
    broken, other, _ = learner(cancelled=Cancelled(0))
    broken.do(z_job(params))
    there = other.z(slice(None))
    assert (there[:, -1] > 0).any(), "some points have been gone through"
    assert (there[:, -1] == 0).any(), "and some not"
    broken.cancelled = lambda: False
    broken.do(z_job(params))
    np.testing.assert_array_equal(other.z(slice(None)), once)


def test_a_visit_that_is_made_again_changes_nothing_that_is_stored():
    one, shard, params = learner()
    one.do(z_job(params))
    before = shard.z(slice(None))
    signature, found = Signature(64, 1), []
    for _ in range(2):
        for block in NET.blocks(signature, 1):
            state = NET.start(block, signature, params, 1.0)
            token = Token(1, 2, block.name, 0, ("w1",), False, None, state)
            done = one.do(
                Train(token, block, params, fresh=False, ends_lap=True, part=part_of(EpochPlan()))
            )
            found.append(done.tensors)
    np.testing.assert_array_equal(shard.z(slice(None)), before)
    half = len(found) // 2
    for first, second in zip(found[:half], found[half:], strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(
    "options",
    [{"multipliers": True}, {"stage_layers": 2}, {"stage_layers": 2, "multipliers": True}],
    ids=str,
)
def test_such_a_net_learns_and_rests(options):
    x, y = X[:1400], Y[:1400]
    model = DeepNetModel((48, 32), classes=10, slice_points=350, passes=4, **options)
    shards = {f"w{n}": ArrayShard(x[n::3], model.coordinate_shape(), y[n::3]) for n in range(3)}
    steps = list(islice(parmac(model, shards, VISITS), 1 + 4 * 6))
    params, told = steps[-1]
    accuracy = (model.predict(params, X[1400:].copy()) == Y[1400:]).mean()
    assert accuracy > 0.85, accuracy
    assert told.changed < 1e-9, "a second pass without a change of parameters"
    assert model.regrouped(params, 5).keys() >= {"head/0-9/weight"}


def test_layers_of_a_stage_travel_together():
    model = DeepNetModel((48, 32, 16), classes=10, stage_layers=2)
    names = [block.name for block in model.blocks(Signature(64, 1), 2)]
    assert names == ["layers/1-2", "layer3/0-15", "head/0-9"]
    assert model.coordinate_shape()[0] == (32 + 16,)


@pytest.mark.parametrize(
    ("activation", "stages"),
    [
        ("relu", [[1, 2], [3, 4], [5]]),
        (("relu", "relu", "nmf", "relu", "relu"), [[1, 2], [3], [4, 5]]),
        (("step", "relu", "step", "relu", "relu"), [[1], [2], [3], [4, 5]]),
    ],
)
def test_no_stage_has_a_layer_in_it_that_no_gradient_passes_through(activation, stages):
    model = DeepNetModel((8,) * 5, activation, classes=3, stage_layers=2)
    assert [list(numbers) for numbers in model._architecture.stages] == stages


def test_estimators_take_them():
    options = {"stage_layers": 2, "multipliers": True}
    net = DeepNetClassifier([32, 16], slice_points=300, options=options)
    assert net.fit(X[:1400], Y[:1400]).score(X[1400:], Y[1400:]) > 0.8
