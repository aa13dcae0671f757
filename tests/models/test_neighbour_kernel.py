"""The neighbours' loss as compiled loops comes to what it comes to in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models import compiled_svm
from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch
from streammac.models.linear_svm import SvmState
from streammac.models.neighbours import Neighbours, nearest, spacing
from streammac.models.row_kernel import Inputs
from tests.models.test_compiled_svm import Parts

RNG = np.random.default_rng(0)


def pool(points, dim, bits, part, kind=ArrayShard, dtype=np.float32):
    """Return a visit that has begun, and the points of a pool of it."""
    data = kind((RNG.standard_normal((points, dim)) * 20 + 100).astype(dtype), ((bits,), np.uint8))
    data.set_z(slice(None), RNG.integers(0, 2, (points, bits), np.uint8))
    machines = part.stop - part.start
    weight = RNG.standard_normal((machines, dim)).astype(np.float32)
    state = SvmState(weight, np.zeros(machines, np.float32), np.ones(machines))
    mean = np.full(dim, 100, np.float32)
    inputs = Inputs(mean, np.float32(0.05), np.float32(np.inf))
    batch = Batch(data, np.arange(points))
    return compiled_svm.Pass(state, batch, part.start, inputs), data.x(slice(None)) - mean, data


@pytest.mark.parametrize("kind", [ArrayShard, Parts])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("points", [130, 1024, 1100])
def test_the_nearest_are_those_of_numpy(points, dtype, kind):
    visit, x, _ = pool(points, 20, 4, slice(0, 4), kind, dtype)
    rows = np.arange(3, points)
    found, wanted = visit.nearest(rows), nearest(x[rows])
    asked = x[rows][:: spacing(len(rows)), None]
    # of points that are as far as each other any one may count
    far, wanted_far = (
        np.sort(((x[rows][near] - asked) ** 2).sum(axis=2)) for near in (found, wanted)
    )
    np.testing.assert_allclose(far, wanted_far, rtol=1e-4)


def test_of_points_at_one_place_a_query_is_not_its_own_neighbour():
    data = ArrayShard(np.ones((40, 5), np.float32), ((4,), np.uint8))
    state = SvmState(np.ones((4, 5), np.float32), np.zeros(4, np.float32), np.ones(4))
    inputs = Inputs(np.zeros(5, np.float32), np.float32(1), np.float32(np.inf))
    near = compiled_svm.Pass(state, Batch(data, np.arange(40)), 0, inputs).nearest(np.arange(40))
    assert not (near == np.arange(0, 40, 4)[:, None]).any()
    assert all(len(set(row)) == 5 for row in near.tolist())


@pytest.mark.parametrize(
    ("bits", "part"),
    [(4, slice(0, 4)), (12, slice(2, 5)), (40, slice(30, 37)), (130, slice(0, 64))],
)
@pytest.mark.parametrize("points", [20, 1023, 1100])
@pytest.mark.parametrize("size", [0.1, 3.0])
def test_the_slopes_are_those_of_numpy(bits, part, points, size):
    visit, x, data = pool(points, 8, bits, part)
    rows = np.arange(points)
    activations = np.zeros((len(visit.machines.bias), points), np.float32)
    of_bits = activations[: part.stop - part.start]
    of_bits[:] = size * RNG.standard_normal(of_bits.shape)
    loss, near = Neighbours(part, 1.0), visit.nearest(rows)
    got = visit.slopes(loss, compiled_svm.Pool(rows, activations), near)
    wanted = loss.slopes(of_bits.T, data.z(rows), nearest(x))
    within = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(got[: len(of_bits)].T, wanted, rtol=1e-5, atol=within)
    assert not got[len(of_bits) :].any()
