"""Views: the same rows as a plain array, whatever the segments, while the shard changes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Retention, Schema, Shard, StoreError
from streammac.store.points import Column
from streammac.store.view import ShardView, Strip

DIM = 3


def view_of(sizes, dtype=np.float32) -> tuple[ShardView, np.ndarray, np.ndarray]:
    total = sum(sizes)
    x = np.arange(total * DIM, dtype=np.float32).reshape(total, DIM).astype(dtype)
    z = np.arange(total, dtype=np.uint8)[:, None]
    bounds = np.cumsum([0, *sizes])
    parts = [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
    zs = [z[p].copy() for p in parts]

    def strip(name, shape, arrays) -> Strip:
        return Strip(Column(name, arrays[0].dtype, shape), [lambda a=a: a for a in arrays])

    xs = strip("x", (DIM,), [x[p] for p in parts])
    view = ShardView(0, list(sizes), xs, None, strip("z", (1,), zs))
    return view, x, z


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@given(sizes, st.integers(0, 50), st.integers(0, 50), st.sampled_from([np.float32, np.uint8]))
def test_a_slice_is_the_slice_of_the_whole(sizes, lo, hi, dtype):
    view, x, z = view_of(sizes, dtype)
    got = view.x(slice(lo, hi))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, x[lo:hi])
    np.testing.assert_array_equal(view.z(slice(lo, hi)), z[lo:hi])


@given(sizes, st.data())
def test_increasing_positions_are_those_of_the_whole(sizes, data):
    view, x, z = view_of(sizes)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(x) - 1)))), np.int64)
    np.testing.assert_array_equal(view.x(rows), x[rows])
    np.testing.assert_array_equal(view.z(rows), z[rows])


@given(sizes, st.sampled_from([np.float32, np.uint8]))
def test_rows_where_they_lie_are_those_of_the_whole_and_no_copy(sizes, dtype):
    view, x, _ = view_of(sizes, dtype)
    stored = view.stored()
    assert stored.starts.tolist() == np.cumsum([0, *sizes]).tolist()
    np.testing.assert_array_equal(np.concatenate(stored.x), x)
    assert {part.dtype for part in stored.x} == {np.dtype(dtype)}
    stored.z[0][:] = 7
    assert (view.z(slice(0, sizes[0])) == 7).all()


@given(sizes, st.data())
def test_coordinates_that_are_set_are_read_again(sizes, data):
    view, x, z = view_of(sizes)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(x) - 1)))), np.int64)
    new = np.full((len(rows), 1), 200, np.uint8)
    view.set_z(rows, new)
    z[rows] = new
    np.testing.assert_array_equal(view.z(slice(None)), z)


def test_what_is_returned_is_a_copy():
    view, x, _ = view_of([5])
    view.x(slice(0, 5))[:] = -1
    view.x(np.arange(5))[:] = -1
    np.testing.assert_array_equal(view.x(slice(None)), x)


@pytest.mark.parametrize("rows", [[5], [-1], [0, 7], [-1, 2]])
def test_positions_beyond_the_view_are_refused(rows):
    with pytest.raises(IndexError, match=r"expected positions in \[0, 5\)"):
        view_of([2, 3])[0].x(np.array(rows))


def test_positions_that_decrease_and_slices_with_steps_are_refused():
    view, x, _ = view_of([2, 3])
    with pytest.raises(ValueError, match="sort them"):
        view.x(np.array([0, 3, 1]))
    with pytest.raises(ValueError, match="without a step"):
        view.set_z(slice(0, 4, 2), np.zeros((2, 1), np.uint8))
    np.testing.assert_array_equal(view.x(view.recent(4)), x[-4:])
    np.testing.assert_array_equal(view.x(view.recent(9)), x)


class TestNumbers:
    """Rows 5 to 7, 10 and 11, 20 to 23: some were withdrawn in between."""

    KEPT = (5, 6, 7, 10, 11, 20, 21, 22, 23)

    @pytest.fixture
    def view(self) -> ShardView:
        parts = [np.zeros((count, DIM), np.float32) for count in (3, 2, 4)]
        x = Strip(Column("x", np.dtype(np.float32), (DIM,)), [lambda a=a: a for a in parts])
        return ShardView([5, 10, 20], [3, 2, 4], x, None, None)

    def test_of_positions(self, view):
        assert [view.number(position) for position in range(10)] == [*self.KEPT, 24]
        assert (view.first, len(view), view.dim) == (5, 9, DIM)

    def test_have_the_position_behind_all_smaller_ones(self, view):
        for number in range(-3, 40):
            assert view.position(number) == sum(kept < number for kept in self.KEPT)

    def test_of_an_empty_view_begin_where_the_next_row_will(self, tmp_path):
        view = Shard.open(tmp_path, Schema(DIM)).view()
        assert (view.first, view.number(0), view.position(0), view.position(9)) == (0, 0, 0, 0)

    def test_recent_positions_are_the_last(self, view):
        slices = [view.recent(count) for count in (0, 2, 9, 10)]
        assert slices == [slice(9, 9), slice(7, 9), slice(0, 9), slice(0, 9)]


@pytest.mark.parametrize("rows", [slice(1, 4), np.array([0, 2, 4])])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_points_are_read_into_the_memory_that_is_given(rows, dtype):
    view, x, _ = view_of([2, 3], dtype)
    out = np.full((4, DIM), -1.0, np.float32)
    part = view.x(rows, out)
    assert part.base is out
    np.testing.assert_array_equal(out, [*x[rows], [-1.0] * DIM])
    np.testing.assert_array_equal(part, x[rows])


def test_coordinates_of_which_nothing_was_said_are_refused():
    x = Strip(Column("x", np.dtype(np.float32), (1,)), [lambda: np.zeros((2, 1), np.float32)])
    view = ShardView([0], [2], x, None, None)
    for use in (view.z, lambda rows: view.set_z(rows, np.zeros((2, 1)))):
        with pytest.raises(StoreError, match=r"call Shard\.coordinates"):
            use(slice(None))


def test_an_empty_shard_has_an_empty_view(tmp_path):
    view = Shard.open(tmp_path, Schema(DIM)).view()
    assert len(view) == 0
    assert view.x(slice(None)).shape == (0, DIM)
    assert view.y(slice(None)) is None


@settings(max_examples=10)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.sampled_from(["float32", "uint8"]))
def test_a_shard_of_several_segments_shows_what_was_appended(tmp_path_factory, counts, dtype):
    path = tmp_path_factory.mktemp("shard")
    shard = Shard.open(path, Schema(DIM, dtype, y_shape=(2,)), segment_bytes=20 * DIM)
    rng = np.random.default_rng(0)
    xs, ys = [], []
    for sequence, count in enumerate(counts):
        xs.append(rng.integers(0, 255, (count, DIM)).astype(dtype))
        ys.append(rng.random((count, 2), np.float32))
        shard.append(PointBlock(xs[-1], ys[-1]), BatchId("s", 1, sequence), 0.0)
    view = shard.view()
    np.testing.assert_array_equal(view.x(slice(None)), np.concatenate(xs))
    np.testing.assert_array_equal(view.y(slice(None)), np.concatenate(ys))
    rows = np.arange(0, len(view), 3)
    np.testing.assert_array_equal(view.y(rows), np.concatenate(ys)[rows])
    shard.close()


def test_a_view_stays_as_it_is_while_the_shard_grows_and_drops(tmp_path):
    shard = Shard.open(
        tmp_path, Schema(DIM), segment_bytes=10 * DIM * 4, retention=Retention(points=10)
    )

    def append(n):
        shard.append(PointBlock(np.full((10, DIM), n, np.float32)), BatchId("s", 1, n), 0.0)

    for n in range(3):
        append(n)
    view = shard.view()
    for n in range(3, 6):
        append(n)
    assert shard.enforce_retention(0.0) == 50
    np.testing.assert_array_equal(view.x(slice(None))[:, 0], np.repeat([0, 1, 2], 10))
    later = shard.view()
    assert (view.first, later.first) == (0, 50)
    np.testing.assert_array_equal(later.x(slice(None))[:, 0], np.repeat([5], 10))


def test_coordinates_of_a_dropped_segment_work_and_leave_no_file(tmp_path):
    limit = Retention(points=1)
    shard = Shard.open(tmp_path, Schema(DIM), segment_bytes=7 * DIM * 4, retention=limit)
    shard.coordinates((1,), np.dtype(np.uint8))
    for n in range(2):
        shard.append(PointBlock(np.ones((7, DIM), np.float32)), BatchId("s", 1, n), 0.0)
    old = shard.view()
    assert shard.enforce_retention(0.0) == 7
    old.set_z(slice(5, 9), np.full((4, 1), 6, np.uint8))
    assert old.z(slice(4, 10)).ravel().tolist() == [0, 6, 6, 6, 6, 0]
    assert shard.view().z(slice(0, 3)).ravel().tolist() == [6, 6, 0]
    assert not list(tmp_path.glob("*.z"))


def test_a_reader_may_map_the_files_while_they_are_sealed(tmp_path):
    shard = Shard.open(tmp_path, Schema(DIM), segment_bytes=10 * DIM * 4)
    shard.append(PointBlock(np.ones((4, DIM), np.float32)), BatchId("s", 1, 0), 0.0)
    segment = shard._segments[0]
    write, looks = segment._journal.append, []

    def watched(bodies):
        looks.append(len(shard.view().x(slice(None))))
        write(bodies)

    segment._journal.append = watched
    shard.append(PointBlock(np.ones((9, DIM), np.float32)), BatchId("s", 1, 1), 0.0)
    assert looks == [4]


@pytest.mark.parametrize("retained", [None, 500])
def test_a_reader_sees_only_whole_rows_while_a_writer_appends(tmp_path, retained):
    """Each row is one number throughout, and rows count up: a torn row would show."""
    shard = Shard.open(
        tmp_path, Schema(64), segment_bytes=100 * 64 * 4, retention=Retention(points=retained)
    )
    shard.coordinates((1,), np.dtype(np.uint8))
    batches, per_batch = 200, 20
    done = threading.Event()

    def write():
        for n in range(batches):
            rows = np.arange(n * per_batch, (n + 1) * per_batch, dtype=np.float32)
            shard.append(PointBlock(np.repeat(rows[:, None], 64, axis=1)), BatchId("s", 1, n), 0.0)
            shard.enforce_retention(0.0)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while seen < batches * per_batch:
        finished = done.is_set()
        view = shard.view()
        x = view.x(slice(None))
        expected = np.arange(view.first, view.first + len(view), dtype=np.float32)
        np.testing.assert_array_equal(x, np.repeat(expected[:, None], 64, axis=1))
        view.set_z(slice(None), np.ones((len(view), 1), np.uint8))
        seen = view.first + len(view)
        assert seen == batches * per_batch or not finished
    writer.join()
