"""Products in vector registers are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models.vectors import LISTED, add_listed, add_product, inner, zeros

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
    inner(weight, x, 8, 60, out)
    np.testing.assert_allclose(out[:, 8:60], weight @ x[8:60].T, rtol=1e-4, atol=1e-4)
    assert not np.delete(out, np.s_[8:60], axis=1).any()
    total = filled(machines, columns)
    before = total.copy()
    add_product(factors, x, 36, total)
    np.testing.assert_allclose(total, before + factors[:, :36] @ x[:36], rtol=1e-4, atol=1e-4)
    listed = RNG.integers(0, 64, (machines, 3 * LISTED)).astype(np.int32)
    factors, total = filled(machines, 3 * LISTED), before.copy()
    counts = RNG.integers(0, 4, machines) * LISTED
    add_listed(x, listed, factors, counts, total)
    for j, count in enumerate(counts):
        wanted = before[j] + factors[j, :count] @ x[listed[j, :count]]
        np.testing.assert_allclose(total[j], wanted, rtol=1e-4, atol=1e-4)


def test_a_sum_does_not_depend_on_those_beside_it():
    x, weight = filled(8, 80), filled(8, 80)
    every, some = zeros(8, 8), zeros(4, 4)
    inner(weight, x, 0, 8, every)
    inner(weight[4:].copy(), x[4:].copy(), 0, 4, some)
    np.testing.assert_array_equal(every[4:, 4:], some)
