import numpy as np
import pytest

from streammac.chaos.feed import DIM, NUMBERS, count, stored_numbers, write_feed
from streammac.chaos.verdict import PointAudit
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.run_directory import RunDirectory
from streammac.store.points import Schema
from streammac.store.shard import Shard


def test_every_point_is_found_on_the_disks_by_its_number(tmp_path):
    write_feed(tmp_path / "feed.npy", 70_000, seed=1)
    feed = np.load(tmp_path / "feed.npy")
    assert feed.shape == (70_000, DIM)
    directory = RunDirectory(tmp_path)
    parts = {
        directory.shard("w1"): feed[:40_000],
        directory.shard("w2"): feed[39_990:69_000],
        directory.held_out("w2"): feed[69_001:],
    }
    for path, part in parts.items():
        shard = Shard.open(path, Schema(DIM, "float32"))
        shard.append(PointBlock(part), BatchId("i1", 1, 1), 0.0)
        shard.close()
    audit = count(stored_numbers(directory))
    assert audit == PointAudit("disks", 70_000, 69_999, missing=1, twice=10)
    assert count(stored_numbers(directory), sent=70_005).missing == 6


def test_the_highest_number_is_exact():
    numbers = np.arange(NUMBERS - 5, NUMBERS, dtype=np.float32) / NUMBERS
    assert (np.rint(numbers.astype(np.float64) * NUMBERS) == np.arange(NUMBERS - 5, NUMBERS)).all()


def test_nothing_and_what_has_expired():
    assert count(np.empty(0, np.int64)) == PointAudit("disks", 0, 0, 0, 0)
    assert count(np.array([4, 5])).missing == 4
    assert count(np.array([4, 5]), expired=4).missing == 0


@pytest.mark.parametrize("points", [0, NUMBERS + 1])
def test_a_feed_has_a_length(tmp_path, points):
    with pytest.raises(ValueError, match="points"):
        write_feed(tmp_path / "feed.npy", points, seed=0)
