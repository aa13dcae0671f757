"""A shard in memory: rows keep their numbers, and nobody gets at its memory."""

from __future__ import annotations

import numpy as np

from streammac.models.arrays import ArrayShard


def shard(count=6) -> ArrayShard:
    x = np.arange(2.0 * count).reshape(count, 2)
    return ArrayShard(x, ((3,), np.dtype(np.uint8)))


def test_its_points_are_float32_and_their_coordinates_zeros_at_first():
    data = shard()
    assert (len(data), data.dim) == (6, 2)
    assert data.x(slice(1, 3)).tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert data.x(np.array([0, 4])).dtype == np.float32
    assert data.y(slice(None)) is None
    z = data.z(slice(None))
    assert (z.shape, z.dtype, z.any()) == ((6, 3), np.uint8, False)
    assert data.view() is data


def test_targets_go_with_their_points():
    x = np.arange(6.0)[:, None]
    data = ArrayShard(x, ((3,), np.dtype(np.uint8)), np.arange(6))
    assert (data.targets, shard().targets) == (1, 0)
    data.extend(x[:2], np.array([[7], [8]]))
    data.keep_last(3)
    assert data.y(slice(None)).tolist() == [[5.0], [7.0], [8.0]]
    data.y(slice(None))[:] = 0
    assert data.y(np.array([2])).tolist() == [[8.0]]


def test_what_is_read_is_a_copy():
    data = shard()
    data.x(slice(None))[:] = -1
    data.z(slice(None))[:] = 1
    assert data.x(slice(None)).min() == 0
    assert not data.z(slice(None)).any()


def test_points_are_read_into_the_memory_that_is_given():
    out = np.full((4, 2), -1.0, np.float32)
    part = shard().x(np.array([5, 1]), out)
    assert part.base is out
    assert out.tolist() == [[10.0, 11.0], [2.0, 3.0], [-1.0, -1.0], [-1.0, -1.0]]
    assert part.tolist() == out[:2].tolist()


def test_rows_keep_their_numbers_when_points_come_and_go():
    data = shard()
    data.set_z(slice(4, 6), np.ones((2, 3), np.uint8))
    data.extend(np.full((2, 2), 9.0))
    assert data.z(slice(None))[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    data.keep_last(3)
    data.keep_last(5)
    assert data.x(slice(None))[:, 0].tolist() == [10.0, 9.0, 9.0]
    assert data.z(slice(None))[:, 2].tolist() == [1, 0, 0]
    assert [data.number(position) for position in range(3)] == [5, 6, 7]
    assert [data.position(number) for number in (0, 5, 6, 8, 99)] == [0, 0, 1, 3, 3]
    data.keep_last(2)
    assert data.number(0) == 6
