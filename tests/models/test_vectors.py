"""Products in vector registers are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models.compiling import compiled
from streammac.models.vectors import (
    ROWS,
    add_listed,
    add_product,
    inner,
    inside,
    lowest,
    ones,
    zeros,
)

RNG = np.random.default_rng(0)


def filled(rows, columns):
    matrix = zeros(rows, columns)
    matrix[:] = RNG.standard_normal(matrix.shape)
    return matrix


@pytest.mark.parametrize("columns", [16, 64, 80, 272, 336])
@pytest.mark.parametrize("machines", [4, 12])
def test_products_are_those_of_numpy(columns, machines):
    x, weight, factors = filled(64, columns), filled(machines, columns), filled(machines, 64)
    out = zeros(machines, 64)
    inner(weight, x, 8, 60, out, 4)
    np.testing.assert_allclose(out[:, 4:56], weight @ x[8:60].T, rtol=1e-4, atol=1e-4)
    assert not np.delete(out, np.s_[4:56], axis=1).any()
    total = filled(machines, columns)
    before = total.copy()
    add_product(factors, x, 36, total)
    np.testing.assert_allclose(total, before + factors[:, :36] @ x[:36], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("columns", [16, 80, 272])
def test_bytes_are_multiplied_as_the_numbers_that_they_are(columns):
    x, weight, factors = (
        RNG.integers(0, 256, (64, columns), np.uint8),
        filled(4, columns),
        filled(8, 64),
    )
    as_bytes, as_numbers = zeros(4, 64), zeros(4, 64)
    inner(weight, x, 0, 64, as_bytes, 0)
    inner(weight, x.astype(np.float32), 0, 64, as_numbers, 0)
    np.testing.assert_array_equal(as_bytes, as_numbers)
    of_bytes, of_numbers = zeros(8, columns), zeros(8, columns)
    add_product(factors, x, 64, of_bytes)
    add_product(factors, x.astype(np.float32), 64, of_numbers)
    np.testing.assert_array_equal(of_bytes, of_numbers)


@pytest.mark.parametrize("columns", [32, 256, 544])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(
    ("added", "subtracted"), [(0, 0), (5, 0), (0, 7), (ROWS, 0), (20, ROWS - 20)]
)
def test_listed_rows_are_added_and_subtracted(columns, dtype, added, subtracted):
    x, total = (255 * RNG.random((ROWS, columns))).astype(dtype), filled(2, columns)
    if added + subtracted == ROWS:
        x[:] = 255  # the most there can be
    before, listed = total.copy(), RNG.permutation(ROWS)
    add_listed(x, listed, (added, added + subtracted), total, 1)
    plus, minus = (
        x[rows].astype(np.float64).sum(axis=0)
        for rows in np.split(listed[: added + subtracted], [added])
    )
    np.testing.assert_allclose(total[1], before[1] + plus - minus, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(total[0], before[0])


@compiled()
def inside_of(activations, row, factor, offset):
    below, above = inside(activations, row, factor, offset)
    return below, above, ones(below), lowest(below)


def test_inside_is_where_activations_are_within_the_margin():
    activations = filled(3, ROWS)
    activations[1, 5], activations[1, 9] = np.nan, 1.0
    wanted = activations[1] * np.float32(2) + np.float32(0.5)
    below, above, count, first = inside_of(activations, 1, np.float32(2), np.float32(0.5))
    np.testing.assert_allclose(activations[1], wanted, rtol=1e-6)
    for word, found in ((below, wanted < 1), (above, wanted > -1)):
        assert [bool(word >> i & 1) for i in range(ROWS)] == found.tolist()
    assert (count, first) == ((wanted < 1).sum(), np.flatnonzero(wanted < 1)[0])


def test_a_sum_does_not_depend_on_those_beside_it():
    x, weight = filled(8, 80), filled(8, 80)
    every, some = zeros(8, 8), zeros(4, 4)
    inner(weight, x, 0, 8, every, 0)
    inner(weight[4:].copy(), x[4:].copy(), 0, 4, some, 0)
    np.testing.assert_array_equal(every[4:, 4:], some)
