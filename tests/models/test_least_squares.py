"""Sums that travel, and the regression that they add up to."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models.least_squares import RIDGE, Sums, solve


def problem(points=40, bits=5, outputs=3):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, (points, bits), np.uint8)
    return codes, rng.standard_normal((points, outputs)).astype(np.float32)


def fitted(codes, outputs, scale=1.0):
    sums = Sums.empty(codes.shape[1], outputs.shape[1])
    sums.add(codes, outputs, scale)
    return solve(sums.gram, sums.cross)


def test_the_solution_is_where_the_penalised_squares_are_least():
    codes, outputs = problem()
    weight, offset = fitted(codes, outputs)
    # the mean diagonal of the Gram matrix, of which the ones for the offset are a part
    ridge = RIDGE * (codes.sum() + len(codes)) / (codes.shape[1] + 1)
    rest = outputs - codes @ weight.T - offset
    np.testing.assert_allclose(rest.T @ codes, ridge * weight, atol=1e-4)
    np.testing.assert_allclose(rest.sum(axis=0), 0.0, atol=1e-4)


def test_the_ridge_leaves_the_offset_free():
    codes, outputs = problem()
    weight, offset = fitted(codes, outputs)
    moved, shifted = fitted(codes, outputs + 64.0)
    np.testing.assert_allclose(moved, weight, atol=1e-3)
    np.testing.assert_allclose(shifted, offset + 64.0, atol=1e-3)


def test_a_bit_that_never_changes_gets_no_weight():
    codes, outputs = problem()
    codes[:, 1] = 0
    codes[:, 3] = 1
    weight, offset = fitted(codes, outputs)
    without, _ = fitted(codes[:, [0, 2, 4]], outputs)
    np.testing.assert_allclose(weight[:, [1, 3]], 0.0, atol=1e-5)
    np.testing.assert_allclose(weight[:, [0, 2, 4]], without, atol=1e-2)
    assert np.isfinite(offset).all()


def test_the_sums_of_shards_are_those_of_all_points():
    codes, outputs = problem()
    travelling = Sums.empty(5, 3)
    for part in (slice(0, 7), slice(7, 30), slice(30, 40)):
        here = Sums.of(travelling.tensors("d/"), "d/")
        here.add(codes[part], outputs[part])
        travelling = here
    np.testing.assert_array_equal(travelling.gram[:-1, -1], codes.sum(axis=0))
    assert travelling.gram[-1, -1] == 40
    whole = Sums.empty(5, 3)
    whole.add(codes, outputs)
    np.testing.assert_allclose(travelling.gram, whole.gram)
    np.testing.assert_allclose(travelling.cross, whole.cross, atol=1e-4)
    assert (travelling.gram.dtype, travelling.cross.dtype) == (np.float64, np.float64)


def test_what_has_travelled_is_left_as_it_came():
    codes, outputs = problem()
    tensors = Sums.empty(5, 3).tensors("d/")
    assert tensors.keys() == {"d/gram", "d/cross"}
    Sums.of(tensors, "d/").add(codes, outputs)
    assert not tensors["d/gram"].any()
    assert not tensors["d/cross"].any()


def test_a_scale_is_one_of_the_outputs():
    codes, outputs = problem()
    weight, offset = fitted(codes, outputs)
    scaled, shifted = fitted(codes, outputs, scale=0.25)
    np.testing.assert_allclose(scaled, 0.25 * weight, atol=1e-5)
    np.testing.assert_allclose(shifted, 0.25 * offset, atol=1e-5)


@pytest.mark.parametrize("points", [0, 12])
def test_weights_and_offsets_are_arrays_to_send(points):
    codes, outputs = problem(points)
    weight, offset = fitted(codes, outputs)
    assert (weight.shape, offset.shape) == ((3, 5), (3,))
    for tensor in (weight, offset):
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        assert tensor.any() == (points > 0)


def test_a_single_point_is_enough():
    weight, offset = fitted(np.ones((1, 2), np.uint8), np.full((1, 1), 5.0, np.float32))
    assert (weight.sum() + offset).item() == pytest.approx(5.0, rel=1e-3)


def test_a_bit_that_is_never_on_weighs_nothing_and_the_others_what_they_weigh_without_it():
    codes, outputs = problem()
    weight, offset = fitted(codes[:, :-1], outputs)
    codes[:, -1] = 0
    without, same = fitted(codes, outputs)
    assert without[:, -1].tolist() == [0.0] * outputs.shape[1]
    np.testing.assert_allclose(without[:, :-1], weight, atol=1e-3)
    np.testing.assert_allclose(same, offset, atol=1e-3)
