"""The compiled sums of least squares are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch
from streammac.models.least_squares import Sums
from streammac.models.row_kernel import Inputs
from streammac.models.sums_kernel import add_rows
from tests.models.test_compiled_svm import Parts


@pytest.mark.parametrize("kind", [ArrayShard, Parts])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("points", "dim", "bits"), [(3, 1, 1), (700, 90, 7), (1200, 16, 40)])
def test_the_sums_are_those_of_numpy(kind, dtype, points, dim, bits):
    rng = np.random.default_rng(points)
    data = kind(rng.integers(0, 200, (points, dim)).astype(dtype), ((bits,), np.uint8))
    data.set_z(slice(None), rng.integers(0, 2, (points, bits), np.uint8))
    rows, mean = np.arange(1, points), np.full(dim, 100, np.float32)
    x = data.x(rows) - mean
    reach = np.float32(np.median((x * x).sum(axis=1)))
    near = (x * x).sum(axis=1) <= reach
    got, wanted = Sums.empty(bits, dim), Sums.empty(bits, dim)
    for _ in range(2):
        add_rows(got, Batch(data, rows), Inputs(mean, np.float32(0.25), reach))
        wanted.add(data.z(rows)[near], x[near], 0.25)
    np.testing.assert_array_equal(got.gram, wanted.gram)
    np.testing.assert_allclose(got.cross, wanted.cross, rtol=1e-5, atol=1e-3)
