"""A handful of outliers owns neither mean nor scale, and what is stored beyond the range does no harm."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.client import Model
from streammac.models.arrays import ArrayShard
from streammac.models.base import Objective
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.estimator import BinaryAutoencoder
from streammac.models.local import VisitPlan
from streammac.models.outliers import (
    FAR,
    centred,
    far,
    histogram,
    median,
    near_points,
    reach,
    reach_of,
    weighted_median,
)
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from streammac.points.range import ROWS, largest
from tests.models.batches import batches_of

DIM = 8
POINTS = 3000
CLEAN = np.random.default_rng(0).standard_normal((POINTS, DIM)).astype(np.float32)
FLOAT32_MAX = np.finfo(np.float32).max
OUTLIERS = {
    "one of 1e15": (1, 1e15),
    "a hundred of 1e4": (100, 1e4),
    "a handful of every size": (12, 10.0 ** np.arange(4, 16)[:, None]),
    "a handful beyond the range": (5, FLOAT32_MAX),
    "nodata": (60, -FLOAT32_MAX),
    "infinities": (3, np.array([[np.inf], [-np.inf], [np.nan]])),
}
"""How many of the points, and what they are."""


def with_outliers(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points of which some are replaced, in random places, and which are not."""
    count, value = OUTLIERS[name]
    x = CLEAN.copy()
    rows = np.random.default_rng(1).permutation(POINTS)[:count]
    x[rows] = value
    kept = np.ones(POINTS, bool)
    kept[rows] = False
    return x, kept


def trained(x, epochs=6, members=3, bits=8):
    model = BinaryAutoencoderModel(bits=bits, rotations=10)
    shards = {
        f"w{i}": ArrayShard(part, model.coordinate_shape())
        for i, part in enumerate(np.array_split(x, members))
    }
    *_, (params, total) = islice(parmac(model, shards, VisitPlan()), epochs)
    return model, params, total


@pytest.mark.parametrize("name", OUTLIERS)
def test_outliers_own_neither_mean_nor_scale_nor_objective(name):
    x, kept = with_outliers(name)
    model, params, total = trained(x)
    _, clean, clean_total = trained(CLEAN)
    assert all(np.isfinite(tensor).all() for tensor in params.values())
    np.testing.assert_allclose(params["input/mean"], clean["input/mean"], atol=0.05)
    assert params["input/scale"][0] == pytest.approx(clean["input/scale"][0], rel=0.03)
    assert (total.points, total.left_out) == (kept.sum(), (~kept).sum())
    ours, best = total.nested / total.points, clean_total.nested / clean_total.points
    assert ours == pytest.approx(best, rel=0.05)
    assert model.encode(params, x.copy()).shape == (POINTS, 1)  # all of them have codes
    errors = model.errors(params, PointBlock(x.copy()))
    assert np.isfinite(errors).all()
    assert errors[~kept] == pytest.approx(FAR**2, rel=0.01)


def test_a_tenth_is_no_handful():
    """Where it ends: what more than a tenth of the points do is usual."""
    x = CLEAN.copy()
    x[: POINTS // 8] += 1e4
    _, params, total = trained(x[np.random.default_rng(1).permutation(POINTS)])
    assert total.left_out == 0
    assert params["input/scale"][0] > 1e3


def test_a_shard_of_nothing_but_outliers_moves_nothing():
    x = np.concatenate([CLEAN, np.full((90, DIM), 1e12, np.float32)])
    model = BinaryAutoencoderModel(bits=8, rotations=3)
    parts = {"a": x[3000:], "b": x[:1500], "c": x[1500:3000]}
    shards = {name: ArrayShard(part, model.coordinate_shape()) for name, part in parts.items()}
    params, total = next(parmac(model, shards, VisitPlan()))
    assert params["input/scale"][0] == pytest.approx(1, abs=0.03)
    assert total.left_out == 90


def test_two_groups_far_apart_are_both_trained_on():
    x = CLEAN.copy()
    x[::2] += 1e5
    _, params, total = trained(np.sort(x, axis=0))  # one group in each of two shards
    assert total.left_out == 0
    assert params["input/scale"][0] == pytest.approx(5e4, rel=0.01)


def test_a_rare_input_is_no_outlier_as_long_as_points_differ():
    x = np.zeros((1000, DIM), np.float32)
    x[:60] = CLEAN[:60]
    _, _, total = trained(x)
    assert total.left_out == 0


def test_without_outliers_every_point_counts():
    assert trained(CLEAN)[2].left_out == 0


@given(st.integers(1, 6), st.data())
def test_the_sums_of_what_is_near_are_finite_whatever_the_points_are(dim, data):
    row = st.lists(st.floats(width=32), min_size=dim, max_size=dim)
    x = np.array(data.draw(st.lists(row, min_size=1, max_size=12)), np.float32)
    moved = centred(x.copy(), median(x).astype(np.float32))
    most = reach_of(histogram(moved), dim)
    beyond = far(moved, most)
    kept = moved if beyond is None else moved[~beyond]
    times = np.float32((1 - 1e-5) * ROWS / len(x))  # as many rows as there may be
    assert np.isfinite(times * (kept.T @ kept)).all()
    assert reach(float(np.sqrt(most / dim)), dim) <= dim * (2 * largest(dim)) ** 2


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_a_weighted_median_is_that_of_rows_as_often_as_they_weigh(weights, random):
    values = np.array([[random.gauss(0, 1)] for _ in weights])
    rows = np.repeat(values, weights, axis=0)
    low = np.sort(rows, axis=0)[(len(rows) - 1) // 2]
    np.testing.assert_array_equal(weighted_median(values, np.array(weights)), low)


def test_the_held_out_sample_loses_its_outliers_and_nothing_else():
    np.testing.assert_array_equal(CLEAN[near_points(CLEAN)], CLEAN)
    x, kept = with_outliers("a handful of every size")
    np.testing.assert_array_equal(x[near_points(x)], x[kept])


def test_the_estimators_objective_is_that_of_the_points_that_count():
    x, _ = with_outliers("a hundred of 1e4")
    fitted = BinaryAutoencoder(bits=8, epochs=3).fit(x)
    assert fitted.objective_ == pytest.approx(
        BinaryAutoencoder(bits=8, epochs=3).fit(CLEAN).objective_, rel=0.05
    )
    assert math.isnan(Objective().error)


@pytest.mark.parametrize("value", [np.nan, 1e20])
def test_what_has_no_meaningful_code_is_refused_by_the_client(value):
    model, params, _ = trained(CLEAN, epochs=1)
    described = {"family": model.family, "hyper_parameters": model.hyper_parameters()}
    published = Model.of(1, {"model": described}, dict(params))
    x = CLEAN[:5].copy()
    assert published.encode(x).shape == (5, 1)
    x[3, 2] = value
    with pytest.raises(ValueError, match="X: row 3 is not finite or out of range"):
        published.encode(x)


def test_a_minibatch_of_outliers_alone_trains_nothing():
    model, params, _ = trained(CLEAN)
    block = model.blocks(Signature(DIM), groups=2)[0]
    state = model.start(block, Signature(DIM), model.regrouped(params, 2), 1)
    x, z = np.full((4, DIM), 1e14, np.float32), np.ones((4, 8), np.uint8)
    after = model.visit(block, params, state, 0, batches_of(x, z))
    np.testing.assert_array_equal(after[f"{block.name}/weight"], state[f"{block.name}/weight"])
    new, total = model.z_step(params, PointBlock(x.copy()), z, 0.01)
    np.testing.assert_array_equal(new, z)
    assert (total.points, total.left_out) == (0, 4)
