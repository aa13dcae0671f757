"""Damage: what is whole stays in use, what is lost is counted, and a copy of what is damaged is set aside."""

from __future__ import annotations

import shutil
import zlib

import numpy as np
import pytest

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Outcome, Retention, Schema, Shard, StoreError
from streammac.store.scrub import RECORD_BYTES

ROWS = 5
DIM = 4
BATCHES = 8
SCHEMA = Schema(DIM)
OPTIONS = {"segment_bytes": 3 * ROWS * DIM * 4}
"""Three batches in a segment: two sealed ones, and one with two batches that is being written."""


def batch(n) -> PointBlock:
    return PointBlock(np.full((ROWS, DIM), n, np.float32), time=np.full(ROWS, float(n)))


def batch_id(n) -> BatchId:
    return BatchId("i1", 1, n)


def open_shard(path, **options) -> Shard:
    return Shard.open(path, SCHEMA, **OPTIONS, **options)


@pytest.fixture
def filled(tmp_path):
    with_owner = open_shard(tmp_path / "s", owner="w1")
    for n in range(BATCHES):
        with_owner.append(batch(n), batch_id(n), 0.0)
    with_owner.withdraw([batch_id(4)], remember=False)
    with_owner.close()
    return tmp_path / "s"


def change(path, at, data) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def there(shard) -> list[int]:
    """Return the batches that are whole; nothing else may be seen."""
    x = shard.view().x(slice(None))
    assert len(x) % ROWS == 0
    assert (x == x[::ROWS].repeat(ROWS, axis=0)).all()
    return x[::ROWS, 0].astype(int).tolist()


def scrubbed(shard) -> Shard:
    while shard.scrub(64):
        pass
    return shard


ALL = [n for n in range(BATCHES) if n != 4]


@pytest.mark.parametrize("file", ["x", "time", "journal"])
@pytest.mark.parametrize("number", [1, 3])
def test_damage_costs_the_batch_that_it_hits_and_no_other(filled, number, file):
    hit = 3 * number - 3
    path = filled / f"{number:08d}.{file}"
    at = 20 if file != "journal" else path.read_bytes().index(b"i1")
    change(path, at, b"\xff")
    for _ in range(2):
        shard = scrubbed(open_shard(filled))
        assert there(shard) == [n for n in ALL if n != hit]
        assert (shard.damaged, shard.points) == (ROWS, 6 * ROWS)
        assert shard.appended == BATCHES * ROWS, "it is counted"
        assert shard.quarantined == 1, "and set aside once"
        shard.close()
    aside = filled / "quarantine" / f"{number:08d}" / path.name
    assert aside.read_bytes()[at] == 0xFF


def test_damage_is_told_when_it_is_found_and_not_again(filled):
    change(filled / "00000003.time", 3, b"\xff")
    assert open_shard(filled).damage == ["00000003: 5 of 10 points are not as they were written"]
    assert open_shard(filled).damage == []


@pytest.mark.parametrize("number", [1, 3])
def test_a_journal_that_is_damaged_where_it_costs_no_point_is_told_too(filled, number):
    change(filled / f"{number:08d}.journal", 14, b"\xff")  # in the record that says whose it is
    shard = open_shard(filled)
    assert shard.damage == [f"{number:08d}: is damaged where it costs no point"]
    assert (there(shard), shard.damaged, shard.quarantined) == (ALL, 0, 1)
    assert open_shard_again(shard).damage == []


def test_what_rots_in_a_sealed_segment_is_found_while_the_shard_is_open(filled):
    shard = open_shard(filled)
    assert shard.damage == []
    change(filled / "00000002.x", 0, b"\xff")
    assert shard.verify() == ["00000002"]
    scrubbed(shard)
    assert shard.damage == ["00000002: 5 of 15 points are not as they were written"]
    assert (there(shard), shard.damaged) == ([0, 1, 2, 5, 6, 7], ROWS)
    assert shard.append(batch(9), batch_id(9), 0.0) is Outcome.STORED
    assert [b.sequence for b, _ in shard.batches()] == [0, 1, 2, 5, 6, 7, 9]


def test_what_rots_in_the_segment_that_is_being_written_is_found_too(filled):
    shard = open_shard(filled)
    shard.append(batch(8), batch_id(8), 0.0)
    journal = filled / "00000003.journal"
    change(journal, journal.read_bytes().rindex(b"i1"), b"\xff")
    scrubbed(shard)
    assert (shard.damaged, shard.points) == (ROWS, 7 * ROWS)
    assert shard.append(batch(9), batch_id(9), 0.0) is Outcome.STORED
    shard.close()
    shard = open_shard(filled)
    assert (there(shard), shard.damaged) == ([0, 1, 2, 3, 5, 6, 7, 9], ROWS)


def test_a_damaged_batch_that_is_sent_again_is_damaged_no_more(filled):
    change(filled / "00000003.x", 0, b"\xff")
    shard = open_shard(filled)
    assert shard.append(batch(6), batch_id(6), 0.0) is Outcome.STORED
    for _ in range(2):
        assert (shard.damaged, shard.points, shard.appended) == (0, 7 * ROWS, 8 * ROWS)
        shard.close()
        shard = open_shard(filled)


@pytest.mark.parametrize("files", [["journal"], ["x"], ["x", "time", "journal"]])
@pytest.mark.parametrize("number", [1, 2])
def test_a_segment_that_is_gone_is_counted(filled, number, files):
    for file in files:
        (filled / f"{number:08d}.{file}").unlink()
    shard = open_shard(filled)
    gone = [n for n in ALL if n // 3 == number - 1]
    assert there(shard) == [n for n in ALL if n not in gone]
    assert shard.damage != []
    assert shard.appended == BATCHES * ROWS
    assert open_shard_again(shard).damage == []


def open_shard_again(shard) -> Shard:
    shard.close()
    return open_shard(shard.path)


@pytest.mark.parametrize("victim", ["x", "time", "journal"])
def test_a_sealed_segment_that_is_cut_keeps_what_is_before_the_cut(filled, victim):
    path = filled / f"00000001.{victim}"
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    shard = open_shard(filled)
    assert there(shard) in ([0, 3, 5, 6, 7], [0, 1, 3, 5, 6, 7])
    assert shard.points + shard.damaged == (BATCHES - 1) * ROWS
    assert shard.append(batch(9), batch_id(9), 0.0) is Outcome.STORED


def test_the_newest_batch_may_be_torn_and_is_no_damage(filled):
    change(filled / "00000003.x", ROWS * DIM * 4, b"\xff")
    shard = open_shard(filled)
    assert (there(shard), shard.damage, shard.damaged) == (ALL[:-1], [], 0)


def test_with_fsync_what_was_not_synced_may_be_torn_anywhere(tmp_path):
    shard = Shard.open(tmp_path / "s", SCHEMA, ack="fsync")
    for n in range(6):
        shard.append(batch(n), batch_id(n), 0.0)
        if n == 2:
            shard.commit()
    shard._release()
    change(tmp_path / "s" / "00000001.x", 4 * ROWS * DIM * 4, b"\xff")
    shard = Shard.open(tmp_path / "s", SCHEMA, ack="fsync")
    assert (there(shard), shard.damage) == ([0, 1, 2, 3], [])
    shard._release()
    change(tmp_path / "s" / "00000001.x", 0, b"\xff")
    shard = Shard.open(tmp_path / "s", SCHEMA, ack="fsync")
    assert (there(shard), shard.damaged) == ([1, 2, 3], ROWS)


def test_a_shard_of_somebody_else_is_refused(filled):
    with pytest.raises(StoreError, match="is the shard of w1, not of w2"):
        open_shard(filled, owner="w2")


def test_a_segment_of_another_shard_is_set_aside(filled, tmp_path):
    other = open_shard(tmp_path / "other")
    other.append(batch(77), batch_id(77), 0.0)
    other.close()
    for file in ("x", "time", "journal"):
        shutil.copy(tmp_path / "other" / f"00000001.{file}", filled)
    shard = open_shard(filled)
    assert there(shard) == [3, 5, 6, 7]
    assert (shard.damaged, shard.quarantined) == (3 * ROWS, 1)


@pytest.mark.parametrize("name", ["schema.json", "checkpoint.json"])
def test_a_damaged_description_is_refused_by_name(filled, name):
    shard = open_shard(filled, retention=Retention(points=15))
    assert shard.enforce_retention(0.0) > 0
    shard.close()
    for content in (b"", (filled / name).read_bytes().replace(b"1", b"2", 1)):
        (filled / name).write_bytes(content)
        with pytest.raises(StoreError, match=rf"{name}: is damaged .* - put it back"):
            open_shard(filled)


@pytest.mark.parametrize("remember", [True, False])
def test_what_rots_after_it_was_withdrawn_is_no_loss(filled, remember):
    shard = open_shard(filled)
    shard.withdraw([batch_id(6)], remember=remember)
    shard.close()
    change(filled / "00000003.x", 0, b"\xff")
    for _ in range(2):
        shard = scrubbed(open_shard(filled))
        assert there(shard) == [0, 1, 2, 3, 5, 7]
        assert (shard.damaged, shard.withdrawn, shard.appended) == (0, 2 * ROWS, BATCHES * ROWS)
        shard.close()
    again = Outcome.DUPLICATE if remember else Outcome.STORED
    assert open_shard(filled).append(batch(6), batch_id(6), 0.0) is again


def test_a_damaged_batch_that_is_revoked_lives_elsewhere(filled):
    change(filled / "00000003.x", 0, b"\xff")
    shard = open_shard(filled)
    shard.withdraw([batch_id(6)], remember=False, sender="w2")
    assert shard.damaged == ROWS, "another one brought it"
    shard.withdraw([batch_id(6)], remember=False, sender="i1")
    for _ in range(2):
        assert (shard.damaged, shard.withdrawn, shard.appended) == (0, 2 * ROWS, BATCHES * ROWS)
        assert there(shard) == [0, 1, 2, 3, 5, 7]
        shard.close()
        shard = open_shard(filled)
    assert shard.append(batch(6), batch_id(6), 0.0) is Outcome.STORED, "it may come back"
    assert (shard.damaged, shard.points) == (0, 7 * ROWS)


def test_a_damaged_batch_that_was_sent_again_may_be_revoked(filled):
    change(filled / "00000003.x", 0, b"\xff")
    shard = open_shard(filled)
    shard.append(batch(6), batch_id(6), 0.0)
    assert shard.withdraw([batch_id(6)], remember=False, sender="i1") == ROWS
    for _ in range(2):
        assert (shard.damaged, shard.withdrawn, shard.points) == (0, 3 * ROWS, 6 * ROWS)
        shard.close()
        shard = open_shard(filled)


def test_what_expires_after_it_was_damaged_stays_counted(filled):
    change(filled / "00000001.x", 0, b"\xff")
    shard = scrubbed(open_shard(filled, retention=Retention(points=10)))
    assert shard.enforce_retention(0.0) == 4 * ROWS
    for _ in range(2):
        assert (shard.damaged, shard.expired, shard.withdrawn) == (ROWS, 4 * ROWS, ROWS)
        assert shard.appended == BATCHES * ROWS
        assert (shard.first, shard.damage) == (6 * ROWS, shard.damage)
        shard = open_shard_again(shard)
    assert shard.damage == []


def test_a_damaged_order_to_withdraw_is_told(filled):
    shard = open_shard(filled)
    shard.withdraw([batch_id(0)], remember=False)
    shard.close()
    change(filled / "withdrawn", 14, b"\xff")
    shard = open_shard(filled)
    assert there(shard) == [1, 2, 3, 4, 5, 6, 7]
    assert shard.damage == ["withdrawn: points that went to other shards may be back"]


def test_the_journal_of_a_former_version_is_read(tmp_path):
    shard = open_shard(tmp_path / "s")
    shard.append(batch(0), batch_id(0), 0.0)
    shard.close()
    journal = tmp_path / "s" / "00000001.journal"
    content = journal.read_bytes()
    opening = 12 + int.from_bytes(content[:4], "little")
    journal.write_bytes(content[opening:])
    assert zlib.crc32(content) != zlib.crc32(journal.read_bytes())
    shard = open_shard(tmp_path / "s")
    assert (there(shard), shard.damage) == ([0], [])


PLACES = 20
"""How many bytes of each file are damaged; `python -m tests.corruption` damages whole run directories."""


def test_whatever_byte_is_damaged_nothing_is_lost_in_silence(filled, tmp_path):
    checked = 0
    for path in sorted(filled.iterdir()):
        content = path.read_bytes()
        for at in range(0, len(content), 1 + len(content) // PLACES):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(filled, copy)
            change(copy / path.name, at, bytes([content[at] ^ 0x10]))
            check(copy, path.name)
            checked += 1
    assert checked > 100


def check(copy, name) -> None:
    refused = ""
    try:
        shard = scrubbed(open_shard(copy))
    except StoreError as error:
        refused = str(error)
    if refused:
        assert name in refused
        return
    seen = there(shard)
    assert len(set(seen)) == len(seen)
    if (
        shard.appended < BATCHES * ROWS
    ):  # the newest batch: the coordinator knows how many there were
        assert set(ALL) - set(seen) <= {7}
    elif set(seen) != set(ALL):
        assert shard.damage
    assert shard.points + shard.damaged + shard.withdrawn == shard.appended
    counts = (shard.points, shard.damaged, shard.withdrawn, seen)
    shard.close()
    again = open_shard(copy)
    assert (again.points, again.damaged, again.withdrawn, there(again)) == counts
    assert again.damage == []
    again.close()


def test_what_was_withdrawn_is_no_loss_where_its_record_is_damaged(filled):
    journal = filled / "00000002.journal"
    content = journal.read_bytes()
    first = content.index(b"i1")
    second = content.index(b"i1", first + 1)
    for at in (first, second):  # of batches 3 and 4, of which 4 was withdrawn
        change(journal, at, b"\xff")
    for _ in range(2):
        shard = open_shard(filled)
        assert (shard.damaged, shard.withdrawn, shard.appended) == (ROWS, ROWS, BATCHES * ROWS)
        assert there(shard) == [0, 1, 2, 5, 6, 7]
        shard.close()


def test_many_small_batches_are_read_a_few_at_a_time(filled):
    shard = open_shard(filled)
    steps = 1
    while shard.scrub(2 * RECORD_BYTES):
        steps += 1
    assert steps == 1 + BATCHES // 2
