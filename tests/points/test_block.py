"""Points as arrays, and the names that their batches get."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.points.batch_id import PUSH_POINTS, BatchId
from streammac.points.block import PointBlock


@pytest.fixture
def points():
    x, time = np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0, 9.0])
    return PointBlock(x, x[:, :1] + 0.5, time, (b"a", b"b", b"c"))


def test_arrays_go_out_and_come_back_under_their_names(points):
    again = PointBlock.of(points.tensors(), points.keys)
    assert [again.x is points.x, again.y is points.y, again.time is points.time] == [True] * 3
    assert again.keys == (b"a", b"b", b"c")
    assert PointBlock(points.x).tensors().keys() == {"x"}


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([1, 2]), np.array([False, True, True])])
def test_rows_are_taken_of_everything(points, rows):
    some = points.take(rows)
    assert (some.x.tolist(), some.y.tolist()) == ([[2, 3], [4, 5]], [[2.5], [4.5]])
    assert (some.time.tolist(), some.keys, len(some)) == ([8, 9], (b"b", b"c"), 2)


def test_points_without_keys_have_none_afterwards(points):
    some = PointBlock(points.x).take(slice(0, 1))
    assert (some.y, some.time, some.keys) == (None, None, ())


def test_a_block_is_as_large_as_its_arrays_and_keys(points):
    assert points.nbytes == 48 + 24 + 24 + 3


def test_batches_are_named_after_their_first_record():
    assert BatchId.of_feed("i1", 7, record=3) == ("i1", -7, 6)
    assert BatchId.of_push("c", 5, push=2) == ("c", 5, 4 * PUSH_POINTS)
    assert BatchId.of_stream("i1", 5, record=3) == ("i1", 5, 6)
    assert BatchId.of_stream("i1", 5, record=3).later(2, held_out=True) == ("i1", 5, 11)
