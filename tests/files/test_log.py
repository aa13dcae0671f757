"""A log yields what was written, nothing else, and says why it stops."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.files.disk import Disk, File
from streammac.files.log import HEADER_BYTES, Log, Stop, framed, read

bodies = st.lists(st.binary(max_size=20), max_size=5)


def log(tmp_path, disk=None) -> Log:
    return Log(disk or Disk(), tmp_path / "log")


def found(path) -> list[bytes]:
    return [bytes(body) for body, _ in read(path.read_bytes()).entries]


@given(bodies)
def test_what_was_written_is_read_to_the_end(written):
    contents = read(b"".join(map(framed, written)))
    assert [bytes(body) for body, _ in contents.entries] == written
    assert contents.stop is Stop.END
    assert contents.end == sum(HEADER_BYTES + len(body) for body in written)


@given(bodies, st.binary(max_size=20), st.data())
def test_a_record_that_was_cut_short_is_torn(written, last, data):
    whole = b"".join(map(framed, written))
    cut = data.draw(st.integers(1, HEADER_BYTES + len(last) - 1))
    contents = read(whole + framed(last)[:cut])
    assert (len(contents.entries), contents.end) == (len(written), len(whole))
    assert contents.stop is Stop.TORN


@given(bodies, st.binary(max_size=20), bodies, st.data())
def test_a_flipped_bit_is_damage_wherever_it_is(before, victim, after, data):
    whole = b"".join(map(framed, before))
    bad = bytearray(framed(victim))
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    contents = read(whole + bytes(bad) + b"".join(map(framed, after)))
    assert (len(contents.entries), contents.end) == (len(before), len(whole))
    assert contents.stop is Stop.DAMAGED


def test_zeros_are_no_record():
    assert read(framed(b"a") + bytes(100)).stop is Stop.DAMAGED
    assert len(read(framed(b"a") + bytes(100)).entries) == 1


def test_a_missing_file_holds_nothing_and_is_made_when_it_is_written_to(tmp_path):
    missing = log(tmp_path)
    assert (missing.read().entries, missing.read().stop) == ([], Stop.END)
    assert not (tmp_path / "log").exists()
    missing.append([b"a", b"b"])
    assert found(tmp_path / "log") == [b"a", b"b"]


def test_what_follows_the_end_is_dropped_when_it_is_opened(tmp_path):
    (tmp_path / "log").write_bytes(framed(b"a") + framed(b"a long one")[:-1])
    again = log(tmp_path)
    again.end = again.read().end
    again.append([b"b"])
    assert found(tmp_path / "log") == [b"a", b"b"]


def test_nothing_of_a_failed_append_passes_for_a_record(tmp_path):
    class Filled(File):
        def write(self, offset, data):
            super().write(offset, data)
            if len(data) > 30:
                raise OSError(errno.ENOSPC, "No space left on device")

    class FilledDisk(Disk):
        def open(self, path):
            return Filled(path)

    there = log(tmp_path, FilledDisk())
    with pytest.raises(OSError, match="No space"):
        there.append([b"ab", framed(b"of somebody's choosing")])
    assert (tmp_path / "log").stat().st_size == 0
    there.append([b"c"])
    assert found(tmp_path / "log") == [b"c"]


def test_it_goes_on_after_it_was_rewritten(tmp_path):
    there = log(tmp_path)
    there.append([b"a", b"b", b"c"])
    there.rewrite([b"abc"])
    there.append([b"d"])
    there.close()
    assert found(tmp_path / "log") == [b"abc", b"d"]
