"""Radon points: they lie in both hulls, whatever the points are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streammac.models.radon import (
    iterated_radon_point,
    radon_number,
    radon_point,
    radon_weights,
)

SEEDS = st.integers(0, 1 << 32)
DIMENSIONS = st.integers(1, 40)
ANY = st.floats(-1e100, 1e100, allow_subnormal=False)


def assert_lies_in_both_hulls(points: np.ndarray) -> None:
    weights = radon_weights(points)
    size = np.abs(points - points.mean(axis=0)).max(axis=0)
    for group in (np.maximum(weights, 0.0), np.maximum(-weights, 0.0)):
        assert group.sum() == pytest.approx(1.0, abs=1e-11)
        away = np.abs(group @ points - radon_point(points))
        assert (away <= 1e-10 * size + 1e-14 * np.abs(points).max(axis=0)).all()


@given(st.data(), st.integers(1, 6))
def test_lies_in_the_hulls_of_two_groups_whatever_the_points_are(data, d):
    assert_lies_in_both_hulls(data.draw(arrays(np.float64, (d + 2, d), elements=ANY)))


@given(SEEDS, DIMENSIONS)
def test_lies_in_both_hulls_of_points_with_very_different_scales_in_a_subspace(seed, d):
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, d + 1)
    points = rng.normal(size=(d + 2, rank)) @ rng.normal(size=(rank, d))
    assert_lies_in_both_hulls(points * 10.0 ** rng.integers(-12, 12, d))


def test_lies_in_both_hulls_with_some_hundreds_of_parameters():
    assert_lies_in_both_hulls(np.random.default_rng(0).normal(size=(402, 400)))


@given(SEEDS, st.integers(1, 12))
def test_goes_with_the_points_under_affine_maps(seed, d):
    rng = np.random.default_rng(seed)
    points, shift = rng.normal(size=(d + 2, d)), rng.normal(size=d)
    one, _ = np.linalg.qr(rng.normal(size=(d, d)))
    mapping = one * rng.uniform(0.5, 2.0, d)
    moved = radon_point(points @ mapping + shift)
    np.testing.assert_allclose(moved, radon_point(points) @ mapping + shift, atol=1e-7)


@given(SEEDS, st.integers(1, 12))
def test_does_not_hang_on_the_order_of_the_points(seed, d):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(d + 2, d))
    other = radon_point(rng.permutation(points))
    np.testing.assert_allclose(radon_point(points), other, atol=1e-7)


@given(SEEDS, DIMENSIONS, st.integers(0, 100))
def test_of_points_of_which_one_is_there_several_times_it_is_that_one(seed, d, more):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(d + 2, d))
    again = rng.permutation(d + 2)[: 2 + more % (d + 1)]
    points[again] = points[again[0]]
    np.testing.assert_allclose(radon_point(points), points[again[0]], atol=1e-9)


def test_of_points_that_are_all_the_same_it_is_that_one_to_the_last_bit():
    one = np.random.default_rng(0).normal(size=7)
    assert radon_point(np.tile(one, (9, 1))).tolist() == one.tolist()


@given(SEEDS, st.integers(1, 20))
def test_one_wild_point_does_not_carry_it_away(seed, d):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (d + 2, d))
    points[rng.integers(d + 2)] = 1e9 * rng.normal(size=d)
    # a half-space that holds it holds another point too: along the wild one's direction it stays with the others
    wild = np.abs(points).max(axis=1).argmax()
    direction = points[wild] / np.linalg.norm(points[wild])
    others = np.delete(points, wild, axis=0) @ direction
    assert others.min() - 1e-5 <= radon_point(points) @ direction <= others.max() + 1e-5


@given(SEEDS, st.integers(1, 3), st.integers(0, 3))
def test_rounds_of_groups_stay_among_the_points(seed, d, height):
    points = np.random.default_rng(seed).normal(size=(radon_number(d) ** height, d))
    found = iterated_radon_point(points, height)
    assert found.shape == (d,)
    assert (points.min(axis=0) - 1e-12 <= found).all()
    assert (found <= points.max(axis=0) + 1e-12).all()


def test_two_rounds_are_a_round_of_the_points_of_the_first():
    points = np.random.default_rng(0).normal(size=(25, 3))
    first = [radon_point(points[i : i + 5]) for i in range(0, 25, 5)]
    assert iterated_radon_point(points, 2).tolist() == radon_point(first).tolist()


def test_several_groups_at_once_are_what_each_is_alone():
    groups = np.random.default_rng(0).normal(size=(2, 3, 6, 4))
    together = radon_point(groups)
    assert together.shape == (2, 3, 4)
    for at in np.ndindex(2, 3):
        assert together[at].tolist() == radon_point(groups[at]).tolist()


@pytest.mark.parametrize("wrong", [np.zeros((3, 2)), np.zeros((5, 2)), np.full((4, 2), np.nan)])
def test_says_what_is_wrong_with_the_points(wrong):
    with pytest.raises(ValueError, match="points: expected"):
        radon_point(wrong)


@pytest.mark.parametrize(("number", "height"), [(4, 2), (16, 1), (1, -1)])
def test_a_height_needs_as_many_points_as_it_asks_for(number, height):
    with pytest.raises(ValueError, match=r"points: expected 4\^"):
        iterated_radon_point(np.zeros((number, 2)), height)
