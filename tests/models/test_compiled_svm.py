"""The compiled pass comes to what the pass in numpy comes to, and no machine knows of those beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.models import compiled_svm, linear_svm
from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch
from streammac.models.linear_svm import SvmState
from streammac.models.neighbours import Neighbours, Pool
from streammac.models.outliers import centred
from streammac.models.row_kernel import Inputs
from streammac.points.stored_rows import StoredRows

SCALE = 2.0


class Parts(ArrayShard):
    """The same points, in several parts that are longer than what counts of them."""

    def stored(self) -> StoredRows:
        starts = np.minimum([0, 7, 7, 100, len(self)], len(self))
        pairs = list(zip(starts, starts[1:], strict=False))
        x, z = ([np.concatenate([of[a:b], of[:3]]) for a, b in pairs] for of in (self._x, self._z))
        return StoredRows(starts, x, z)


def shard(points, dim, bits, dtype=np.float32, kind=ArrayShard):
    rng = np.random.default_rng(points)
    x = (rng.standard_normal((points, dim)) * 20 + 100).astype(dtype)
    data = kind(x, ((bits,), np.dtype(np.uint8)))
    far = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    data.set_z(slice(None), (far @ rng.standard_normal((dim, bits)) > 3).astype(np.uint8))
    return data


def cut(data, size):
    """Return minibatches: runs of rows, in another order than they are stored."""
    rows = np.arange(len(data))
    memo = {}
    return [Batch(data, rows[i : i + size], memo=memo) for i in range(0, len(data), size)][::-1]


def untuned(bits, dim):
    rng = np.random.default_rng(bits)
    return SvmState.untuned(
        rng.standard_normal((bits, dim)).astype(np.float32), np.zeros(bits, np.float32)
    )


def mean_of(data):
    return data.x(slice(None)).mean(axis=0)


def compiled(data, state, part, *, laps=2, size=50, loss=None, reach=np.inf):
    inputs = Inputs(mean_of(data), np.float32(1 / SCALE), np.float32(reach))
    for lap in range(laps):
        state = compiled_svm.train(
            state,
            cut(data, size),
            inputs,
            1e-3,
            average=lap == laps - 1,
            part=part,
            neighbours=loss,
        )
    return state


def in_numpy(data, state, part, *, laps=2, size=50, loss=None, reach=np.inf):
    mean = mean_of(data)
    for lap in range(laps):
        pool, pairs = Pool(loss, data.dim) if loss else None, []
        for batch in cut(data, size):
            x, z = centred(batch.x, mean), batch.z
            near = (x * x).sum(axis=1) <= reach
            if near.any():
                pairs.append((x[near], z[near][:, part]))
                if pool:
                    pool.add(x[near], z[near])
        state = linear_svm.train(state, pairs, SCALE, 1e-3, average=lap == laps - 1, pool=pool)
    return state


def assert_close(got, wanted, within=1e-5):
    for name in ("weight", "bias", "weight_sum", "bias_sum"):
        one, other = getattr(got, name), getattr(wanted, name)
        np.testing.assert_allclose(one, other, rtol=within, atol=within * np.abs(other).max())
    assert (got.eta0.tolist(), got.steps, got.summed) == (
        wanted.eta0.tolist(),
        wanted.steps,
        wanted.summed,
    )


@pytest.mark.parametrize("kind", [ArrayShard, Parts])
@pytest.mark.parametrize("weight", [0.0, 100.0])
@pytest.mark.parametrize(
    ("dim", "dtype", "part"),
    [(5, np.float32, slice(0, 3)), (130, np.uint8, slice(2, 11)), (16, np.float32, slice(0, 12))],
)
def test_the_pass_is_that_of_numpy(kind, weight, dim, dtype, part):
    data = shard(1500, dim, 12, dtype, kind)
    state = untuned(part.stop - part.start, dim)
    loss = Neighbours(part, weight) if weight else None
    got, wanted = compiled(data, state, part, loss=loss), in_numpy(data, state, part, loss=loss)
    # a point on the margin's edge may be within for one of them: the steps of the neighbours' loss make more of it
    assert_close(got, wanted, 5e-4 if loss else 1e-5)


@pytest.mark.parametrize("reach", [52_000, 60_000, 1e9])
def test_bytes_that_are_far_have_no_part(reach):
    data, part = shard(700, 130, 8, np.uint8), slice(0, 8)
    got, wanted = (of(data, untuned(8, 130), part, reach=reach) for of in (compiled, in_numpy))
    assert_close(got, wanted)
    assert (got.steps < 1400) == (reach < 1e9)


def test_far_points_and_what_is_no_number_have_no_part():
    x = shard(300, 8, 4).x(slice(None))
    x[::5] *= 1e6
    x[7], x[50:100] = np.nan, 1e30
    data = ArrayShard(x, ((4,), np.dtype(np.uint8)))
    data.set_z(slice(None), np.random.default_rng(0).integers(0, 2, (300, 4), np.uint8))
    whole, mean = slice(0, 4), np.full(8, 100, np.float32)
    inputs = Inputs(mean, np.float32(1 / SCALE), np.float32(1e5))
    got = compiled_svm.train(
        untuned(4, 8), cut(data, 50), inputs, 1e-3, average=True, part=whole,
        neighbours=Neighbours(whole, 100.0),
    )  # fmt: skip
    with np.errstate(over="ignore", invalid="ignore"):
        near = ((x - mean) ** 2).sum(axis=1) <= 1e5
    assert got.steps == near.sum() < 250
    assert got.summed == 5, "a minibatch of far points is no step"
    assert np.isfinite(got.weight).all()


@settings(deadline=None, max_examples=20)
@given(
    first=st.integers(0, 9),
    count=st.integers(1, 10),
    size=st.integers(1, 40),
    dim=st.integers(1, 40),
)
def test_what_a_machine_learns_does_not_depend_on_those_beside_it(first, count, size, dim):
    data, every = shard(150, dim, 10), untuned(10, dim)
    part = slice(first, min(10, first + count))
    alone = SvmState.untuned(every.weight[part], every.bias[part])
    together, alone = (
        compiled(data, every, slice(0, 10), size=size), compiled(data, alone, part, size=size)
    )  # fmt: skip
    for name in ("weight", "bias", "eta0", "weight_sum", "bias_sum"):
        np.testing.assert_array_equal(getattr(together, name)[part], getattr(alone, name))


def test_what_has_travelled_is_left_as_it_came():
    data, part = shard(200, 6, 4), slice(0, 4)
    begun = compiled(data, untuned(4, 6), part)
    kept = [np.copy(t) for t in (begun.weight, begun.bias, begun.weight_sum, begun.bias_sum)]
    compiled(data, begun, part)
    for before, after in zip(
        kept, (begun.weight, begun.bias, begun.weight_sum, begun.bias_sum), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_a_visit_that_is_cut_short_has_trained_on_what_it_took():
    """A slice of minibatches is taken ahead, and no more."""
    data, part, taken = shard(2000, 4, 4), slice(0, 4), []

    def batches():
        for batch in cut(data, 50):
            taken.append(batch)
            yield batch
            if len(taken) == 20:
                return

    inputs = Inputs(mean_of(data), np.float32(1 / SCALE), np.float32(np.inf))
    state = SvmState(np.ones((4, 4), np.float32), np.zeros(4, np.float32), np.full(4, 0.1))
    after = compiled_svm.train(state, batches(), inputs, 0.0, average=False, part=part)
    assert after.steps == 1000


def test_without_points_nothing_happens():
    data, state = shard(10, 4, 4), untuned(4, 4)
    inputs = Inputs(mean_of(data), np.float32(1), np.float32(1e9))
    assert compiled_svm.train(state, [], inputs, 0.0, average=True, part=slice(0, 4)) is state


def test_rows_that_are_not_there_are_refused():
    data, state = shard(10, 4, 4), untuned(4, 4)
    inputs = Inputs(mean_of(data), np.float32(1), np.float32(1e9))
    with pytest.raises(IndexError, match=r"\[0, 10\)"):
        compiled_svm.train(
            state, [Batch(data, np.array([3, 10]))], inputs, 0.0, average=True, part=slice(0, 4)
        )
