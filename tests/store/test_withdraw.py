"""Batches that are taken out again: gone from counts and views, for good, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Outcome, Retention, Schema, Shard
from tests.files.failing_disk import Died, FailingDisk

DIM = 2
SCHEMA = Schema(DIM)
SEGMENT_BYTES = 8 * DIM * 4


def batch(number, rows=3) -> PointBlock:
    return PointBlock(np.full((rows, DIM), number, np.float32))


def batch_id(number) -> BatchId:
    return BatchId("s", 1, number)


def opened(path, **options) -> Shard:
    return Shard.open(path, SCHEMA, segment_bytes=SEGMENT_BYTES, **options)


def numbers(shard) -> list[int]:
    return shard.view().x(slice(None))[:, 0].astype(int).tolist()


def filled(path, count=6, **options) -> Shard:
    shard = opened(path, **options)
    for number in range(count):
        assert shard.append(batch(number), batch_id(number), 0.0) is Outcome.STORED
    return shard


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 12)),
            st.tuples(st.just("withdraw"), st.sets(st.integers(0, 12), max_size=5), st.booleans()),
            st.tuples(st.just("reopen")),
            st.tuples(st.just("expire")),
        ),
        max_size=40,
    ),
    st.sampled_from(["memory", "file", "fsync"]),
)
def test_whatever_the_history_what_counts_is_what_was_not_withdrawn(tmp_path_factory, history, ack):
    path = tmp_path_factory.mktemp("store") / "shard"
    options = {"ack": ack, "retention": Retention(points=20)}
    shard = opened(path, **options)
    there: dict[int, None] = {}
    known: set[int] = set()
    taken = 0
    for step, *args in history:
        if step == "append":
            (number,) = args
            outcome = shard.append(batch(number), batch_id(number), 0.0)
            assert (outcome is Outcome.DUPLICATE) == (number in known)
            if number not in known:
                there[number] = None
                known.add(number)
                taken += 3
        elif step == "withdraw":
            chosen, remember = args
            points = shard.withdraw(map(batch_id, chosen), remember=remember)
            gone = chosen & there.keys()
            assert points == 3 * len(gone)
            for number in gone:
                del there[number]
            known -= set() if remember else gone
        elif step == "reopen":
            shard.close()
            shard = opened(path, **options)
        else:
            dropped = shard.enforce_retention(0.0)
            kept = sorted(set(numbers(shard)), key=list(there).index)
            assert dropped == 3 * (len(there) - len(kept))
            there = dict.fromkeys(n for n in there if n in kept)
        assert shard.points == 3 * len(there)
        assert shard.appended == taken
    shard.close()
    shard = opened(path, **options)
    assert numbers(shard) == [n for n in there for _ in range(3)]
    held = [(m.sequence, len(shard.batch(m))) for m, _ in shard.batches()]
    assert held == [(n, 3) for n in there]
    shard.close()


def test_a_view_keeps_what_it_saw_and_later_ones_see_the_rest(tmp_path):
    shard = filled(tmp_path / "s")
    before = shard.view()
    last = before.number(len(before))
    assert shard.withdraw([batch_id(1), batch_id(4), batch_id(99)], remember=False) == 6
    after = shard.view()
    assert len(before) == 18
    assert len(after) == len(shard.view().x(slice(None))) == 12
    assert numbers(shard) == [n for n in (0, 2, 3, 5) for _ in range(3)]
    assert after.number(len(after)) == last, "rows keep their numbers"
    for position in range(len(after)):
        assert after.position(after.number(position)) == position
    assert shard.withdraw([batch_id(1)], remember=False) == 0
    assert shard.withdrawn == 6


def test_a_mark_is_remembered_or_as_if_it_had_never_been_here(tmp_path):
    shard = filled(tmp_path / "s")
    shard.withdraw([batch_id(1)], remember=True)
    shard.withdraw([batch_id(2)], remember=False)
    for _ in range(2):
        assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.DUPLICATE
        shard.close()
        shard = opened(tmp_path / "s")
    assert shard.append(batch(2), batch_id(2), 0.0) is Outcome.STORED
    assert shard.withdraw([batch_id(2)], remember=False) == 3
    shard.close()
    assert 2 not in numbers(opened(tmp_path / "s"))


def test_what_was_withdrawn_is_not_found_again_although_its_mark_is_known(tmp_path):
    shard = filled(tmp_path / "s")
    assert shard.withdraw([batch_id(5)], remember=True) == 3
    assert shard.batch(batch_id(5)) is None
    assert shard.withdraw([batch_id(5)], remember=True) == 0


@pytest.mark.parametrize("steps", range(8))
def test_a_kill_in_between_leaves_all_of_an_order_or_nothing(tmp_path, steps):
    disk = FailingDisk()
    shard = filled(tmp_path / "s", disk=disk, ack="fsync")
    shard.commit()
    disk.steps = steps
    try:
        shard.withdraw([batch_id(0), batch_id(5)], remember=False)
        finished = True
    except Died:
        finished = False
    shard._release()
    again = opened(tmp_path / "s", ack="fsync")
    left = sorted(set(numbers(again)))
    assert left in ([1, 2, 3, 4], [0, 1, 2, 3, 4, 5])
    assert not finished or left == [1, 2, 3, 4]
    assert again.append(batch(7), batch_id(7), 0.0) is Outcome.STORED


def test_a_full_disk_withdraws_nothing_and_the_shard_goes_on(tmp_path):
    disk = FailingDisk()
    shard = filled(tmp_path / "s", disk=disk)
    disk.room = 5
    with pytest.raises(OSError, match="No space"):
        shard.withdraw([batch_id(0)], remember=False)
    disk.room = None
    assert numbers(shard)[:3] == [0, 0, 0]
    assert shard.withdraw([batch_id(0)], remember=False) == 3
    shard.close()
    assert 0 not in numbers(opened(tmp_path / "s"))


def test_power_loss_right_after_it_brings_nothing_back(tmp_path):
    import random

    for seed in range(10):
        disk = FailingDisk()
        shard = filled(tmp_path / f"s{seed}", disk=disk, ack="fsync")
        shard.commit()
        shard.withdraw([batch_id(2), batch_id(3)], remember=False)
        after = disk.lose_power(
            tmp_path / f"s{seed}", tmp_path / f"after{seed}", random.Random(seed)
        )
        shard._release()
        again = opened(tmp_path / f"after{seed}", ack="fsync", disk=after)
        assert sorted(set(numbers(again))) == [0, 1, 4, 5]
