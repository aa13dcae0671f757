"""The shard: appending, duplicates, retention, reopening, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.files.disk import Disk, File
from streammac.files.lock import Locked
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import (
    Arrival,
    Outcome,
    Retention,
    Schema,
    Shard,
    ShardUnusable,
    StoreError,
)
from streammac.store.segment import Segment
from tests.files.failing_disk import FailingDisk

DIM = 4
ROWS = 10
SEGMENT = 3 * ROWS * DIM * 4  # three batches


def batch(n: int, count: int = ROWS) -> PointBlock:
    return PointBlock(np.full((count, DIM), n, np.float32))


def batch_id(n: int) -> BatchId:
    return BatchId("i1", 1, n)


def open_shard(path, **options) -> Shard:
    return Shard.open(path, Schema(DIM), segment_bytes=SEGMENT, **options)


def contents(shard: Shard) -> list[int]:
    return shard.view().x(slice(None))[:, 0].astype(int).tolist()


def reopened(shard: Shard, **options) -> Shard:
    shard.close()
    return open_shard(shard.path, **options)


def test_a_batch_is_stored_once(tmp_path):
    shard = open_shard(tmp_path)
    assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.STORED
    assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.DUPLICATE
    assert (shard.points, contents(shard)) == (ROWS, [1] * ROWS)


def test_everything_is_there_after_reopening(tmp_path):
    shard = open_shard(tmp_path)
    for n in range(8):
        shard.append(batch(n), batch_id(n), float(n))
    shard = reopened(shard)
    assert contents(shard) == np.repeat(np.arange(8), ROWS).tolist()
    assert shard.append(batch(3), batch_id(3), 9.0) is Outcome.DUPLICATE
    assert shard.append(batch(8), batch_id(8), 9.0) is Outcome.STORED
    assert contents(reopened(shard))[-1] == 8


def test_a_batch_larger_than_a_segment_is_stored_whole(tmp_path):
    shard = open_shard(tmp_path)
    shard.append(batch(1), batch_id(1), 0.0)
    shard.append(batch(2, count=1000), batch_id(2), 0.0)
    shard.append(batch(3), batch_id(3), 0.0)
    shard = reopened(shard)
    assert (shard.points, shard.verify()) == (1000 + 2 * ROWS, [])


def test_an_empty_batch_is_remembered(tmp_path):
    shard = open_shard(tmp_path)
    shard.append(batch(0, count=0), batch_id(0), 0.0)
    shard.append(batch(1), batch_id(1), 0.0)
    shard = reopened(shard)
    assert shard.append(batch(0, count=0), batch_id(0), 0.0) is Outcome.DUPLICATE
    assert shard.points == ROWS


def test_targets_times_and_keys_are_kept(tmp_path):
    schema = Schema(DIM, y_shape=(2,))
    shard = Shard.open(tmp_path, schema)
    y = np.arange(6, dtype=np.float32).reshape(3, 2)
    points = PointBlock(
        np.ones((3, DIM), np.float32), y, np.array([1.0, 2.0, 3.0]), [b"a", b"", b"c"]
    )
    shard.append(points, batch_id(1), 0.0)
    shard.close()
    shard = Shard.open(tmp_path, schema)
    np.testing.assert_array_equal(shard.view().y(slice(None)), y)
    assert shard.verify() == []


def test_an_empty_batch_is_remembered_even_alone(tmp_path):
    shard = open_shard(tmp_path)
    shard.append(batch(0, count=0), batch_id(0), 0.0)
    shard = reopened(reopened(shard))
    assert shard.append(batch(0, count=0), batch_id(0), 0.0) is Outcome.DUPLICATE


def test_what_is_closed_stays_closed(tmp_path):
    shard = open_shard(tmp_path)
    shard.close()
    other = open_shard(tmp_path)
    shard.close()  # must not release what is another one's now
    with pytest.raises(ShardUnusable, match="it is closed - open"):
        shard.append(batch(2), batch_id(2), 0.0)
    with pytest.raises(Locked):
        open_shard(tmp_path)
    other.close()


class TestRetention:
    def test_drops_whole_segments_and_keeps_exact_counts(self, tmp_path):
        limits = {"retention": Retention(points=2 * ROWS)}
        shard = open_shard(tmp_path, **limits)
        for n in range(9):  # three segments
            shard.append(batch(n), batch_id(n), 0.0)
        assert shard.enforce_retention(0.0) == 6 * ROWS
        for again in (shard, shard := reopened(shard, **limits)):
            assert (again.points, again.expired, again.appended) == (3 * ROWS, 6 * ROWS, 9 * ROWS)
        assert contents(shard) == np.repeat([6, 7, 8], ROWS).tolist()

    def test_marks_outlive_their_segments(self, tmp_path):
        limits = {"retention": Retention(points=1)}
        shard = open_shard(tmp_path, **limits)
        for n in range(9):
            shard.append(batch(n), batch_id(n), 0.0)
        shard.enforce_retention(0.0)
        assert shard.append(batch(0), batch_id(0), 0.0) is Outcome.DUPLICATE
        shard = reopened(shard, **limits)
        assert shard.append(batch(0), batch_id(0), 0.0) is Outcome.DUPLICATE

    def test_by_age_drops_what_arrived_long_ago(self, tmp_path):
        limits = {"retention": Retention(age_s=10.0)}
        shard = open_shard(tmp_path, **limits)
        for n in range(7):
            shard.append(batch(n), batch_id(n), float(n))
        shard = reopened(shard, **limits)  # ages are those of arrival, not of opening
        assert shard.enforce_retention(now=14.0) == 3 * ROWS
        assert shard.enforce_retention(now=1000.0) == 3 * ROWS
        assert contents(shard) == [6] * ROWS

    def test_a_crash_between_checkpoint_and_deletion_changes_nothing(self, tmp_path):
        class Lazy(Disk):
            def remove(self, paths):
                pass

        limits = {"retention": Retention(points=1)}
        shard = open_shard(tmp_path, disk=Lazy(), **limits)
        for n in range(9):
            shard.append(batch(n), batch_id(n), 0.0)
        assert shard.enforce_retention(0.0) == 6 * ROWS
        assert (tmp_path / "00000001.x").exists()
        shard = reopened(shard, **limits)
        assert (shard.points, shard.expired) == (3 * ROWS, 6 * ROWS)
        assert not (tmp_path / "00000001.x").exists()

    def test_may_drop_a_segment_while_a_view_of_it_is_taken(self, tmp_path, monkeypatch):
        shard = open_shard(tmp_path, retention=Retention(points=1))
        for n in range(9):
            shard.append(batch(n), batch_id(n), 0.0)
        column = Segment.column

        def late(segment, *args):
            shard.enforce_retention(0.0)  # by the other thread, just before a file is opened
            return column(segment, *args)

        monkeypatch.setattr(Segment, "column", late)
        assert contents(shard) == np.repeat([6, 7, 8], ROWS).tolist()

    def test_is_not_blamed_for_a_file_that_somebody_else_removed(self, tmp_path):
        shard = open_shard(tmp_path)
        shard.append(batch(1), batch_id(1), 0.0)
        (tmp_path / "00000001.x").unlink()
        with pytest.raises(FileNotFoundError):
            shard.view()


class TestAckModes:
    def test_memory_writes_later_but_not_never(self, tmp_path):
        shard = open_shard(tmp_path, ack="memory")
        shard.append(batch(1), batch_id(1), 0.0)
        shard.append(batch(2), batch_id(2), 0.0)
        assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.DUPLICATE
        assert (shard.points, len(shard.view())) == (2 * ROWS, 0)
        shard.enforce_retention(0.0)
        assert len(shard.view()) == 2 * ROWS
        shard.append(batch(3), batch_id(3), 0.0)
        assert contents(reopened(shard)) == np.repeat([1, 2, 3], ROWS).tolist()

    def test_memory_keeps_no_hold_of_the_callers_arrays(self, tmp_path):
        shard = open_shard(tmp_path, ack="memory")
        points = batch(1)
        shard.append(points, batch_id(1), 0.0)
        points.x[:] = 9
        assert contents(reopened(shard)) == [1] * ROWS

    def test_file_needs_no_close(self, tmp_path):
        shard = open_shard(tmp_path)
        shard.append(batch(1), batch_id(1), 0.0)
        shard._directory._lock.close()  # as if the process had died
        assert contents(open_shard(tmp_path)) == [1] * ROWS

    def test_fsync_syncs_the_rows_before_the_journal_and_both_at_commit(self, tmp_path):
        synced: list[str] = []

        class Watched(File):
            def __init__(self, path):
                super().__init__(path)
                self.suffix = path.suffix

            def sync(self):
                synced.append(self.suffix)
                super().sync()

        class Watching(Disk):
            def open(self, path):
                return Watched(path)

        shard = open_shard(tmp_path, ack="fsync", disk=Watching())
        for n in range(2):
            shard.append(batch(n), batch_id(n), 0.0)
        every = [".x", ".time", ".journal"]
        assert synced == every, "of a new segment, so that rows never stand without a journal"
        shard.commit()
        assert synced == 2 * every
        shard.commit()
        assert len(synced) == 6


class TestFullDisk:
    @pytest.mark.parametrize("room", [0, 1, 50, 160, 241, 260])
    def test_nothing_of_a_refused_batch_remains_and_the_next_one_is_taken(self, tmp_path, room):
        left = [10**9]

        class Small(File):
            def write(self, offset, data):
                size = len(memoryview(data).cast("B"))
                if size > left[0]:
                    super().write(offset, memoryview(data).cast("B")[: left[0]])
                    left[0] = 0
                    raise OSError(28, "No space left on device")
                left[0] -= size
                super().write(offset, data)

        class SmallDisk(Disk):
            def open(self, path):
                return Small(path)

        shard = open_shard(tmp_path, disk=SmallDisk())
        shard.append(batch(1), batch_id(1), 0.0)
        left[0] = room
        with pytest.raises(OSError, match="No space"):
            shard.append(batch(2), batch_id(2), 0.0)
        assert (shard.points, contents(shard)) == (ROWS, [1] * ROWS)
        left[0] = 10**9
        assert shard.append(batch(2), batch_id(2), 0.0) is Outcome.STORED
        shard = reopened(shard)
        assert (contents(shard), shard.verify()) == ([1] * ROWS + [2] * ROWS, [])

    def test_retention_frees_a_full_disk(self, tmp_path):
        disk = FailingDisk()
        shard = open_shard(tmp_path, disk=disk, retention=Retention(points=1))
        for n in range(7):
            shard.append(batch(n), batch_id(n), 0.0)
        disk.room = 0
        assert shard.enforce_retention(0.0) == 6 * ROWS
        assert contents(shard) == [6] * ROWS


class TestRefusals:
    def test_a_second_process_is_kept_out(self, tmp_path):
        shard = open_shard(tmp_path)
        with pytest.raises(Locked, match="another process"):
            open_shard(tmp_path)
        reopened(shard)

    def test_another_schema_is_named(self, tmp_path):
        open_shard(tmp_path).close()
        with pytest.raises(StoreError, match=r"float32\[4\].*uint8\[9\]"):
            Shard.open(tmp_path, Schema(9, "uint8"))
        open_shard(tmp_path)  # and the directory is not left locked

    @pytest.mark.parametrize(
        ("points", "said"),
        [
            (PointBlock(np.ones((3, 5), np.float32)), r"x: expected shape \(n, 4\), got \(3, 5\)"),
            (PointBlock(np.ones(4, np.float32)), "x: expected shape"),
            (PointBlock(np.ones((3, 4))), "x: expected float32, got float64"),
            (
                PointBlock(np.ones((3, 4), np.float32), time=np.ones(2)),
                r"time: expected shape \(3,\)",
            ),
            (
                PointBlock(np.ones((3, 4), np.float32), y=np.ones(3)),
                "y: this stream has no targets",
            ),
            (PointBlock(np.ones((3, 4), np.float32), keys=[b"a"]), "keys: expected 3, got 1"),
        ],
    )
    def test_points_that_do_not_fit_are_refused_by_name(self, tmp_path, points, said):
        shard = open_shard(tmp_path)
        with pytest.raises(StoreError, match=said):
            shard.append(points, batch_id(1), 0.0)
        assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.STORED

    def test_missing_targets_are_refused(self, tmp_path):
        shard = Shard.open(tmp_path, Schema(DIM, y_shape=()))
        with pytest.raises(StoreError, match="y: expected shape"):
            shard.append(batch(1), batch_id(1), 0.0)

    @pytest.mark.parametrize("bad", [BatchId("x" * 70_000, 1, 1), BatchId("s", 1 << 63, 1)])
    def test_a_mark_that_no_journal_can_hold_is_refused(self, tmp_path, bad):
        with pytest.raises(StoreError, match=r"source|incarnation"):
            open_shard(tmp_path).append(batch(1), bad, 0.0)

    @pytest.mark.parametrize(("keys", "said"), [(["a"], "got str"), ([b"x" * 65], "got 65")])
    def test_keys_that_no_journal_can_hold_are_refused(self, tmp_path, monkeypatch, keys, said):
        monkeypatch.setattr("streammac.store.points.MAX_KEYS_BYTES", 64)
        points = PointBlock(np.ones((1, DIM), np.float32), keys=keys)
        with pytest.raises(StoreError, match=f"keys: .*{said}"):
            open_shard(tmp_path).append(points, batch_id(1), 0.0)

    @pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 2}', b'{"dim": 4}'])
    def test_a_damaged_or_older_description_is_named(self, tmp_path, content):
        open_shard(tmp_path).close()
        (tmp_path / "schema.json").write_bytes(content)
        with pytest.raises(StoreError, match=r"schema.json: "):
            open_shard(tmp_path)

    @pytest.mark.parametrize(("dim", "dtype"), [(0, "float32"), (3, "float64")])
    def test_a_schema_that_cannot_be_is_refused(self, dim, dtype):
        with pytest.raises(StoreError):
            Schema(dim, dtype)


def test_what_somebody_disowns_is_withdrawn_only_if_they_brought_it(tmp_path):
    shard = open_shard(tmp_path)
    shard.append(batch(1), batch_id(1), 0.0)
    shard.append(batch(2), batch_id(2), 0.0, "w1", moved=True)
    shard = reopened(shard)
    assert list(shard.batches()) == [(batch_id(1), "i1"), (batch_id(2), "w1")]
    assert shard.withdraw([batch_id(1), batch_id(2)], remember=False, sender="i1") == ROWS
    assert list(shard.batches()) == [(batch_id(2), "w1")]
    assert shard.withdraw([batch_id(2)], remember=False, sender="w1") == ROWS
    assert list(reopened(shard).batches()) == []


@pytest.mark.parametrize("ack", ["memory", "file"])
def test_a_batch_that_is_moved_here_replaces_a_copy_that_was_left_behind(tmp_path, ack):
    shard = open_shard(tmp_path, ack=ack)
    shard.append(batch(1), batch_id(1), 0.0)
    assert shard.append(batch(1), batch_id(1), 0.0, "w1", moved=True) is Outcome.STORED
    assert shard.append(batch(1), batch_id(1), 0.0, "w1", moved=True) is Outcome.DUPLICATE
    assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.DUPLICATE
    assert shard.withdraw([batch_id(1)], remember=False, sender="i1") == 0
    shard = reopened(shard)
    assert (contents(shard), shard.withdrawn) == ([1] * ROWS, ROWS)


def test_a_batch_that_was_moved_away_may_come_back(tmp_path):
    shard = open_shard(tmp_path)
    shard.append(batch(1), batch_id(1), 0.0)
    shard.withdraw([batch_id(1)], remember=False)
    assert shard.batch(batch_id(1)) is None
    assert shard.append(batch(1), batch_id(1), 0.0, "w2", moved=True) is Outcome.STORED
    shard = reopened(shard)
    assert (contents(shard), list(shard.batches())) == ([1] * ROWS, [(batch_id(1), "w2")])


def test_a_batch_is_read_as_it_was_stored(tmp_path):
    shard = open_shard(tmp_path)
    keys = [f"{row}".encode() for row in range(ROWS)]
    points = PointBlock(batch(3).x, time=np.arange(ROWS, dtype=np.float64), keys=keys)
    for n in range(5):
        shard.append(points if n == 3 else batch(n), batch_id(n), 0.0)
    found = shard.batch(batch_id(3))
    np.testing.assert_array_equal(found.x, points.x)
    np.testing.assert_array_equal(found.time, points.time)
    assert found.keys == tuple(keys)
    assert shard.batch(batch_id(9)) is None


@pytest.mark.parametrize("ack", ["memory", "file", "fsync"])
def test_points_that_are_dropped_are_counted_and_their_batch_ids_stay_known(tmp_path, ack):
    shard = open_shard(tmp_path, ack=ack)
    for n in range(7):
        shard.append(batch(n), batch_id(n), 0.0)
    shard.withdraw([batch_id(2)], remember=False)
    assert shard.drop() == 6 * ROWS
    for _ in range(2):
        assert (shard.points, shard.dropped, shard.withdrawn) == (0, 6 * ROWS, ROWS)
        assert shard.appended == 7 * ROWS
        assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.DUPLICATE
        shard = reopened(shard, ack=ack)
    assert shard.append(batch(8), batch_id(8), 0.0) is Outcome.STORED
    shard = reopened(shard)
    assert (contents(shard), shard.first) == ([8] * ROWS, 7 * ROWS)


def test_small_batches_are_written_together_up_to_the_end_of_a_segment(tmp_path, monkeypatch):
    shard = open_shard(tmp_path)
    shard.append(batch(0), batch_id(0), 0.0)
    writes: list[int] = []
    write = File.write
    monkeypatch.setattr(
        File, "write", lambda file, *args: (writes.append(1), write(file, *args))[1]
    )
    arrivals = [Arrival(batch(n), batch_id(n)) for n in (1, 2, 1)]
    outcomes = shard.append_all(
        [*arrivals, Arrival(PointBlock(np.ones((1, 2), np.float32)), batch_id(9))], 0.0
    )
    assert outcomes[:3] == [Outcome.STORED, Outcome.STORED, Outcome.DUPLICATE]
    assert isinstance(outcomes[3], StoreError)
    assert len(writes) == 3  # two columns and the journal
    shard.append_all([Arrival(batch(n), batch_id(n)) for n in range(3, 8)], 0.0)
    shard = reopened(shard)
    assert contents(shard) == np.repeat(np.arange(8), ROWS).tolist()
    assert shard.batch(batch_id(4)).x[0, 0] == 4


def test_what_moves_here_twice_at_once_is_there_once(tmp_path):
    shard = open_shard(tmp_path)
    twice = [Arrival(batch(1), batch_id(1), "w2", moved=True)] * 2
    assert shard.append_all(twice, 0.0) == [Outcome.STORED, Outcome.DUPLICATE]
    assert contents(shard) == [1] * ROWS


def test_a_full_disk_takes_no_copy_for_stored(tmp_path):
    disk = FailingDisk()
    shard = open_shard(tmp_path, disk=disk)
    disk.room = 20
    outcomes = shard.append_all([Arrival(batch(1), batch_id(1))] * 2, 0.0)
    assert [type(outcome) for outcome in outcomes] == [OSError] * 2
    disk.room = None
    assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.STORED
