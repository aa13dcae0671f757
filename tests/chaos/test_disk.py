import os

import numpy as np
import pytest

from streammac.chaos.disk import (
    BLOCK,
    fill,
    has_own_file_system,
    make_room,
    own_file_system,
    rot,
)
from streammac.chaos.feed import DIM, count, stored_numbers, write_feed
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.run_directory import RunDirectory
from streammac.store.points import Schema
from streammac.store.shard import Shard

BATCH = 100


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own takes root")
def test_a_file_system_is_filled_up_and_has_room_again(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    try:
        with own_file_system(directory.root, 1 << 20):
            assert has_own_file_system(directory)
            fill(directory)
            with pytest.raises(OSError, match="No space"):
                (directory.root / "a").write_bytes(bytes(2 * BLOCK))
            make_room(directory)
            (directory.root / "a").write_bytes(bytes(2 * BLOCK))
    except PermissionError as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    assert not has_own_file_system(directory)
    assert (directory.root / "a").read_bytes() == bytes(2 * BLOCK)


@pytest.mark.parametrize("draw", range(20))
def test_a_rotten_bit_costs_a_batch_and_the_shard_says_so(tmp_path, draw):
    write_feed(tmp_path / "feed.npy", 2_000, seed=1)
    feed, directory = np.load(tmp_path / "feed.npy"), RunDirectory(tmp_path)
    path, schema = directory.shard("w1"), Schema(DIM, "float32")
    shard = Shard.open(path, schema, segment_bytes=32 << 10)
    for number, first in enumerate(range(0, len(feed), BATCH)):
        shard.append(PointBlock(feed[first : first + BATCH]), BatchId("i1", 1, number), 0.0)
    shard.close()
    rot([path, directory.held_out("w1")], draw)
    numbers = stored_numbers(directory)
    shard = Shard.open(path, schema)
    damaged = shard.damaged
    shard.close()
    if damaged == 0:  # the newest batch of all: for the shard alone it was cut short by a crash
        damaged = BATCH
        assert numbers.max() == len(feed) - BATCH - 1
    assert count(numbers, sent=len(feed)).missing == damaged <= 2 * BATCH


def test_where_there_is_nothing_nothing_rots(tmp_path):
    rot([tmp_path], 0)
    (tmp_path / "00000001.x").write_bytes(bytes(BLOCK))
    rot([tmp_path], 0)
    assert (tmp_path / "00000001.x").read_bytes() == bytes(BLOCK)
