"""The journal: what was written is read, and nothing else ever is."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streammac.points.batch_id import BatchId
from streammac.store.journal import FIELDS, HEADER, MAGIC, Record, read, seal


def records(counts) -> list[Record]:
    rows = 0
    out = []
    for n, count in enumerate(counts):
        keys = tuple(bytes(range(i)) for i in range(count)) if n % 2 else None
        out.append(Record(rows, count, float(n), BatchId(f"søurce{n}", -1, n), (n, n + 1), keys))
        rows += count
    return out


@given(st.lists(st.integers(0, 9), max_size=6), st.booleans())
def test_what_was_written_is_read(counts, sealed):
    written = records(counts)
    journal = b"".join(r.encode() for r in written) + (seal(sum(counts)) if sealed else b"")
    entries = list(read(journal))
    assert [e.record for e in entries if e.record] == written
    assert any(e.record is None for e in entries) == sealed
    assert (entries[-1].end if entries else 0) == len(journal)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_a_cut_journal_yields_the_records_before_the_cut(counts, data):
    written = records(counts)
    journal = b"".join(r.encode() for r in written)
    cut = data.draw(st.integers(0, len(journal)))
    ends = [len(b"".join(r.encode() for r in written[: i + 1])) for i in range(len(written))]
    whole = sum(end <= cut for end in ends)
    assert [e.record for e in read(journal[:cut])] == written[:whole]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_ends_the_reading_before_it(counts, data):
    written = records(counts)
    journal = bytearray(b"".join(r.encode() for r in written))
    at = data.draw(st.integers(0, len(journal) - 1))
    journal[at] ^= 1 << data.draw(st.integers(0, 7))
    got = [e.record for e in read(bytes(journal))]
    assert got == written[: len(got)]
    assert len(got) < len(written)


def body(content: bytes) -> bytes:
    return HEADER.pack(MAGIC, len(content), zlib.crc32(content)) + content


FIELD_BYTES = FIELDS.pack(0, 2, 0.0, 1, 1, 1, 0, True)


@given(st.binary(max_size=200))
@example(body(b"not a record"))
@example(body(FIELD_BYTES + b"\xff" + struct.pack("<II", 0, 0)))
@example(body(FIELD_BYTES + b"s" + struct.pack("<II", 5, 0) + b"key"))
@example(HEADER.pack(b"smS2", 3, zlib.crc32(b"abc")) + b"abc")
def test_arbitrary_bytes_never_raise(junk):
    assert list(read(junk)) == []


@pytest.mark.parametrize("rows", [0, 4])
def test_a_seal_that_counts_otherwise_is_no_seal(rows):
    journal = records([3])[0].encode() + seal(rows)
    assert [e.record is None for e in read(journal)] == [False]


def test_a_record_out_of_order_ends_the_reading():
    first, second = records([3, 4])
    assert [e.record for e in read(second.encode())] == []
    assert [e.record for e in read(first.encode() + first.encode())] == [first]
    assert struct.calcsize("<4sII") == HEADER.size
