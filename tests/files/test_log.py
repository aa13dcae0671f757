"""Logs: what was written is read, and it is known why reading stops where it stops."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.files.disk import Disk
from streammac.files.log import HEADER_BYTES, Gap, Log, Stop, framed, read
from tests.files.failing_disk import FailingDisk

bodies_of_any_kind = st.lists(st.binary(max_size=20), max_size=5)


def written(bodies) -> bytes:
    return b"".join(map(framed, bodies))


def found(contents) -> list[bytes]:
    return [bytes(entry.body) for entry in contents.entries]


def test_a_record_is_laid_out_as_in_the_logs_that_there_are():
    fields = struct.pack("<II", 3, zlib.crc32(b"abc"))
    assert framed(b"abc") == fields + struct.pack("<I", zlib.crc32(fields)) + b"abc"


@given(bodies_of_any_kind)
def test_what_was_written_is_read(bodies):
    contents = read(written(bodies))
    assert (found(contents), contents.stop) == (bodies, Stop.END)
    ends = [len(written(bodies[: count + 1])) for count in range(len(bodies))]
    assert [entry.end for entry in contents.entries] == ends
    assert contents.end == len(written(bodies))


@given(bodies_of_any_kind, st.data())
def test_a_log_that_is_cut_holds_the_records_before_the_cut(bodies, data):
    cut = data.draw(st.integers(0, len(written(bodies))))
    whole = sum(len(written(bodies[: count + 1])) <= cut for count in range(len(bodies)))
    contents = read(written(bodies)[:cut])
    assert found(contents) == bodies[:whole]
    assert contents.end == len(written(bodies[:whole]))
    assert contents.stop is (Stop.END if contents.end == cut else Stop.TORN)


@given(bodies_of_any_kind.filter(len), st.data())
def test_a_flipped_bit_costs_one_record(bodies, data):
    log = bytearray(written(bodies))
    at = data.draw(st.integers(0, len(log) - 1))
    log[at] ^= 1 << data.draw(st.integers(0, 7))
    hit = sum(len(written(bodies[: count + 1])) <= at for count in range(len(bodies)))
    begin, end = len(written(bodies[:hit])), len(written(bodies[: hit + 1]))
    contents = read(bytes(log))
    assert found(contents) == bodies[:hit] + bodies[hit + 1 :]
    if hit == len(bodies) - 1:
        assert (contents.stop, contents.gaps, contents.end) == (Stop.DAMAGED, (), begin)
    else:
        assert (contents.stop, contents.gaps) == (Stop.END, (Gap(begin, end),))


def test_what_looks_like_a_record_inside_another_one_is_never_read():
    log = bytearray(written([b"one", framed(b"inside") * 3, b"two"]))
    log[len(framed(b"one")) + HEADER_BYTES] ^= 1
    assert found(read(bytes(log))) == [b"one", b"two"]
    assert found(read(written([b"one", framed(b"inside") * 3])[:-1])) == [b"one"]


def test_zeros_are_no_record():
    assert read(bytes(HEADER_BYTES)).stop is Stop.DAMAGED


def opened(tmp_path, disk=None) -> Log:
    log = Log(disk or Disk(), tmp_path / "log")
    log.end = log.read().end
    return log


def test_records_follow_those_of_former_processes(tmp_path):
    log = opened(tmp_path)
    assert (found(log.read()), log.read().stop, log.end) == ([], Stop.END, 0)
    log.append([b"one", b"two"])
    log.close()
    again = opened(tmp_path)
    again.append([b"three"])
    assert found(again.read()) == [b"one", b"two", b"three"]
    assert again.end == again.read().end


def test_what_does_not_count_is_dropped_when_it_is_opened(tmp_path):
    log = opened(tmp_path)
    log.append([b"one", b"two"])
    log.close()
    log.end = len(framed(b"one"))
    assert found(log.read()) == [b"one", b"two"], "reading changes nothing"
    log.open()
    assert (tmp_path / "log").read_bytes() == framed(b"one")


def test_a_full_disk_takes_all_of_the_records_or_none(tmp_path):
    disk = FailingDisk()
    log = opened(tmp_path, disk)
    log.append([b"one"])
    disk.room = len(framed(b"two")) + 3
    with pytest.raises(OSError, match="No space"):
        log.append([b"two", b"three"])
    assert (tmp_path / "log").read_bytes() == framed(b"one")
    disk.room = None
    log.append([b"four"])
    assert found(log.read()) == [b"one", b"four"]


def test_a_file_that_cannot_be_cut_is_not_kept_open(tmp_path, monkeypatch):
    disk, closed = FailingDisk(), []
    log = opened(tmp_path, disk)
    file = disk.open(tmp_path / "log")
    monkeypatch.setattr(file, "truncate", lambda size: disk.fail())
    monkeypatch.setattr(file, "close", lambda: closed.append(True))
    monkeypatch.setattr(disk, "open", lambda path: file)
    with pytest.raises(OSError, match="No space"):
        log.open()
    assert closed == [True]
    monkeypatch.undo()
    disk.room = None
    log.append([b"one"])
    assert found(log.read()) == [b"one"]


def test_records_are_put_in_the_place_of_others(tmp_path):
    log = opened(tmp_path)
    log.append([b"one", b"two"])
    log.rewrite([b"three", b"four"])
    assert (found(log.read()), log.end) == ([b"three", b"four"], len(written([b"three", b"four"])))
    log.append([b"five"])
    assert found(log.read()) == [b"three", b"four", b"five"]


def test_what_cannot_be_put_in_their_place_leaves_the_others(tmp_path):
    disk = FailingDisk()
    log = opened(tmp_path, disk)
    log.append([b"one"])
    disk.room = 0
    with pytest.raises(OSError, match="No space"):
        log.rewrite([b"two"])
    disk.room = None
    log.append([b"three"])
    assert found(log.read()) == [b"one", b"three"]


def test_what_was_synced_survives_power_loss(tmp_path):
    disk = FailingDisk()
    path = tmp_path / "log"
    log = Log(disk, path)
    log.append([b"one"])
    assert disk.platters[path].content == b""
    log.sync()
    assert disk.platters[path].content == framed(b"one")
    log.close()
    log.close()
