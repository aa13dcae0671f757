"""The neighbours' loss: its gradient, its pools, and what it is worth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.linear_svm import SvmState, train
from streammac.models.neighbours import LEAST_POINTS, POOL, Neighbours, Pool, nearest
from streammac.models.retrieval import precision, true_neighbours
from tests.models.test_binary_autoencoder import trained

RNG = np.random.default_rng(0)


def pool(points, dim=5, bits=6):
    x = RNG.standard_normal((points, dim)).astype(np.float32)
    return x, RNG.integers(0, 2, (points, bits), np.uint8)


def loss(weight, bias, x, z, part, scale):
    """Cross-entropy of the true neighbours, query by query, as the definition has it."""
    codes = 2.0 * z - 1.0
    codes[:, part] = np.tanh(x @ weight.T / scale + bias)
    queries = range(0, len(x), 4)
    total = 0.0
    for query in queries:
        others = [i for i in range(len(x)) if i != query]
        distances = ((x[others] - x[query]) ** 2).sum(axis=1)
        near = np.argsort(distances)[:5]
        hamming = (codes.shape[1] - codes[others] @ codes[query]) / 2
        logits = -hamming / max(1.0, codes.shape[1] / 32)
        total -= (logits[near] - np.log(np.exp(logits).sum())).mean()
    return total / len(queries)


@pytest.mark.parametrize(
    ("part", "length"), [(slice(0, 3), 6), (slice(2, 6), 6), (slice(0, 6), 6), (slice(3, 6), 64)]
)
def test_the_gradient_is_that_of_the_loss(part, length):
    x, z = pool(60, bits=length)
    bits = part.stop - part.start
    weight = RNG.standard_normal((bits, 5)).astype(np.float32)
    bias = RNG.standard_normal(bits).astype(np.float32)
    slopes = Neighbours(part, 1.0).slopes(x @ weight.T / np.float32(2) + bias, z, nearest(x))
    by_weight, by_bias = slopes.T @ x / 2.0, slopes.sum(axis=0)

    def at(w, b):
        return loss(w.astype(np.float64), b.astype(np.float64), x, z, part, 2.0)

    step = 1e-3
    for index in np.ndindex(weight.shape):
        nudge = np.zeros_like(weight)
        nudge[index] = step
        slope = (at(weight + nudge, bias) - at(weight - nudge, bias)) / (2 * step)
        assert by_weight[index] == pytest.approx(slope, abs=2e-3)
    for bit in range(bits):
        nudge = np.zeros_like(bias)
        nudge[bit] = step
        slope = (at(weight, bias + nudge) - at(weight, bias - nudge)) / (2 * step)
        assert by_bias[bit] == pytest.approx(slope, abs=2e-3)


def met(begun: Pool, x, z) -> None:
    begun.add(x, z)
    begun.meet(x @ np.ones((5, 6), np.float32))


def begun() -> Pool:
    return Pool(Neighbours(slice(0, 6), 1.0), 5)


def test_a_pool_is_used_once_when_it_is_full_and_the_rest_at_the_end():
    x, z = pool(POOL + 100)
    points = begun()
    met(points, x[: POOL - 1], z[: POOL - 1])
    assert points.slopes() is None
    met(points, x[POOL - 1 : POOL], z[POOL - 1 : POOL])
    assert len(points.slopes()[1]) == POOL
    assert points.slopes(rest=True) is None
    met(points, x[POOL:], z[POOL:])
    assert points.slopes() is None
    assert len(points.slopes(rest=True)[1]) == 100


def test_too_few_points_are_nobodys_neighbours():
    points = begun()
    met(points, *pool(LEAST_POINTS - 1))
    assert points.slopes(rest=True) is None


def test_points_that_were_not_met_yet_wait_for_the_next_pool():
    x, z = pool(2 * POOL)
    points = begun()
    points.add(x[:POOL], z[:POOL])
    points.add(x[POOL:], z[POOL:])
    points.meet(x[:POOL] @ np.ones((5, 6), np.float32))
    np.testing.assert_array_equal(points.slopes()[0], x[:POOL])
    assert points.slopes(rest=True) is None


def test_the_points_that_were_added_may_be_overwritten():
    x, z = pool(40)
    points, scratch = begun(), x.copy()
    met(points, scratch, z)
    scratch[:] = 7.0
    np.testing.assert_array_equal(points.slopes(rest=True)[0], x)


def test_a_pass_of_sgd_goes_down_the_loss():
    x, z = pool(400)
    part = slice(0, 6)
    state = SvmState(
        RNG.standard_normal((6, 5)).astype(np.float32), np.zeros(6, np.float32), np.full(6, 0.1)
    )
    points = Pool(Neighbours(part, 100.0), 5)
    after = state
    for _ in range(10):
        points.add(x, z)
        after = train(after, [(x, z)], 1.0, 0.0, average=False, pool=points)
    assert loss(after.weight, after.bias, x, z, part, 1.0) < 0.98 * loss(
        state.weight, state.bias, x, z, part, 1.0
    )


def test_codes_trained_with_it_retrieve_better():
    x = load_digits().data.astype(np.float32)
    near = true_neighbours(x[300:], x[:300], 20)
    found = {}
    for weight in (0.0, 100.0):
        model = BinaryAutoencoderModel(bits=16, neighbours=weight)
        params, _ = trained(model, x[300:], epochs=8, minibatch=512)
        codes = model.encode(params, x[:300].copy()), model.encode(params, x[300:].copy())
        found[weight] = precision(*codes, near, 20)
    assert found[100.0] > found[0.0] + 0.005


def test_who_is_near_is_a_matter_of_the_inputs_and_not_of_their_features():
    x, z = pool(60)
    slopes = []
    for size in (1e-3, 1.0):
        points = begun()
        points.add(np.concatenate([x, size * np.cos(50 * x[:, :3])], axis=1), z)
        points.meet(x @ np.ones((5, 6), np.float32))
        slopes.append(points.slopes(rest=True)[1])
    np.testing.assert_array_equal(*slopes)


def test_points_at_one_place_have_others_for_neighbours():
    near = nearest(np.ones((40, 5), np.float32))
    assert near.shape == (10, 5)
    assert not (near == np.arange(0, 40, 4)[:, None]).any()
