"""A net with a factorisation: it is what it says, never negative, has gradients, and learns."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.deep_net import DeepNetModel
from streammac.models.local import VisitPlan
from streammac.models.nets.factors import Factors
from streammac.models.nets.stages import columns
from streammac.models.registry import ModelError, create
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.block import PointBlock

RNG = np.random.default_rng(0)
DIGITS = load_digits()
X, Y = DIGITS.data.astype(np.float32), DIGITS.target
NET = DeepNetModel((48, 24), ("relu", "nmf"), classes=10, slice_points=350, passes=6)


@pytest.fixture(scope="module")
def trained():
    """Parameters after two passes, and the shards."""
    shards = {
        f"w{n}": ArrayShard(X[n:1400:3], NET.coordinate_shape(), Y[n:1400:3]) for n in range(3)
    }
    steps = parmac(NET, shards, VisitPlan(seed=1, minibatch=64))
    *_, (params, _) = islice(steps, 1 + 4 * NET.passes)
    return params, shards


def test_the_search_comes_near_the_best_that_is_not_negative():
    stage = Factors(np.maximum(RNG.standard_normal((6, 20)), 0).astype(np.float32))
    a = np.maximum(RNG.standard_normal((9, 20)), 0).astype(np.float32)
    found = stage(a)
    best = np.stack([nnls(stage.parts.T.astype(np.float64), one)[0] for one in a])
    assert (found >= 0).all()
    np.testing.assert_allclose(found, best, atol=0.02)
    assert (found[best == 0] < 0.01).all()


def test_its_gradients_are_those_of_finite_differences():
    stage = Factors(RNG.random((4, 7)).astype(np.float32))
    a, s = RNG.random((3, 7)).astype(np.float32), RNG.random((3, 4)).astype(np.float32)

    def slope(array, of):
        found = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            step = np.zeros(array.shape)
            step[place] = 1e-5
            found[place] = (of(array + step) - of(array - step)) / 2e-5
        return found

    def half(a, s):
        return ((s @ stage.parts.astype(np.float64) - a) ** 2).sum() / 2

    np.testing.assert_allclose(stage.by_below(a, s), slope(a, lambda v: half(v, s)), atol=1e-4)
    np.testing.assert_allclose(stage.by_own(a, s), slope(s, lambda v: half(a, v)), atol=1e-4)


@pytest.mark.parametrize("mu", [0.01, 0.3, 10.0])
def test_a_z_step_raises_no_points_objective_and_makes_nothing_negative(trained, mu):
    params, _ = trained
    net = NET._architecture.net(params)
    places = columns(NET.layers)

    def objective(z):
        a, s = (z[:, place].astype(np.float64) for place in places)
        h = net.forward((X[:80] - params["input/mean"]) / params["input/scale"])[0]
        scores = s @ net.head.weight.T + net.head.bias
        apart = ((a - h) ** 2).sum(axis=1) + ((a - s @ net.stages[1].parts) ** 2).sum(axis=1)
        loss = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(80), Y[:80]]
        return loss + mu / 2 * apart

    h = NET.coordinates(params, X[:80].copy())
    z = h + 0.1 * RNG.random(h.shape).astype(np.float32)
    points = PointBlock(X[:80].copy(), Y[:80, None].astype(np.float32))
    new, told = NET.z_step(params, points, z, mu)
    assert (new >= 0).all()
    before, of_h, after = (objective(one) for one in (z, h, new))
    assert (after <= np.minimum(before, of_h) + 1e-4 * (1 + of_h)).all()
    assert after.sum() < of_h.sum()
    assert told.penalised == pytest.approx(after.sum(), rel=1e-3)


def test_a_net_with_factors_learns_and_they_are_sparse_and_not_negative(trained):
    params, shards = trained
    accuracy = (NET.predict(params, X[1400:].copy()) == Y[1400:]).mean()
    assert accuracy > 0.85, accuracy
    parts = NET.export(params)["layer2.factors"]
    assert parts.shape == (24, 48)
    assert (parts >= 0).all()
    assert (parts == 0).mean() > 0.2
    codes = np.concatenate([s.z(slice(None))[:, columns(NET.layers)[1]] for s in shards.values()])
    assert (codes >= 0).all()
    assert (codes == 0).mean() > 0.3
    # what is left of the layer before is less than half of it
    h, s = (NET.coordinates(params, X[1400:].copy())[:, p] for p in columns(NET.layers))
    assert ((h - s @ parts) ** 2).sum() < 0.5 * (h**2).sum()


def test_its_columns_travel_in_blocks_as_units_do(trained):
    params, _ = trained
    names = [block.name for block in NET.blocks(Signature(64, 1), 2)]
    assert names == ["layer1/0-23", "layer1/24-47", "layer2/0-23", "layer2/24-47", "head/0-9"]
    for groups in (1, 2, 3):
        laid_out = NET.regrouped(params, groups)
        for name, tensor in NET.functions(params).items():
            np.testing.assert_array_equal(NET.functions(laid_out)[name], tensor)


@pytest.mark.parametrize("before", ["tanh", "step", None])
def test_what_it_factorises_is_not_negative(before):
    activation = [one for one in (before, "nmf") if one]
    with pytest.raises(
        ModelError, match=r"model.options.activation: expected relu, sigmoid or nmf"
    ):
        create("deep_net", layers=[8] * len(activation), activation=activation)
