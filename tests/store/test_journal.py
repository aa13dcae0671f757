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
        sender = "wørker" if n % 3 == 2 else ""
        batch_id = BatchId(f"søurce{n}", -1, n)
        out.append(Record(rows, count, float(n), batch_id, (n, n + 1), keys, sender))
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


def test_the_bytes_are_those_of_the_journals_that_there_are():
    batch_id = BatchId("src", 7, 9)
    body = bytes.fromhex(
        "0500000000000000"  # row
        "02000000"  # count
        "000000000000f83f"  # arrival: 1.5
        "0700000000000000" "0900000000000000"  # incarnation, sequence
        "0300" "01" "01"  # bytes of the source's name, checksums, has keys
        "737263" "efbeadde"  # source, checksum
        "01000000" "02000000" "6b" "6b32"  # the keys' lengths, and they
    )  # fmt: skip
    plain = Record(5, 2, 1.5, batch_id, (0xDEADBEEF,), (b"k", b"k2"))
    assert plain.encode() == frame(b"smb2", body)
    sent_on = Record(5, 2, 1.5, batch_id, (0xDEADBEEF,), (b"k", b"k2"), "w1")
    assert sent_on.encode() == frame(b"smb3", b"\x02\x00w1" + body)
    assert seal(258) == frame(b"smS2", b"\x02\x01" + bytes(6))


def frame(magic: bytes, body: bytes) -> bytes:
    return magic + struct.pack("<II", len(body), zlib.crc32(body)) + body


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
@example(frame(b"smb3", b""))
@example(frame(b"smb3", b"\x01\x00\xff" + FIELD_BYTES))
@example(frame(b"smb3", b"\x01\x00w"))
@example(frame(b"smb2", FIELDS.pack(0, 0, 0.0, 1, 1, 1, 0, False) + b"sX"))
@example(frame(b"smb4", FIELDS.pack(0, 0, 0.0, 1, 1, 1, 0, False) + b"s"))
@example(HEADER.pack(b"smS2", 3, zlib.crc32(b"abc")) + b"abc")
def test_arbitrary_bytes_never_raise(junk):
    assert list(read(junk)) == []


@pytest.mark.parametrize("rows", [0, 4])
def test_a_seal_that_counts_otherwise_is_no_seal(rows):
    journal = records([3])[0].encode() + seal(rows)
    assert [e.record is None for e in read(journal)] == [False]


def test_nothing_is_read_beyond_the_seal():
    first, second = records([3, 4])
    whole = first.encode() + seal(3)
    entries = list(read(whole + second.encode()))
    assert [(entry.record, entry.end) for entry in entries] == [
        (first, len(first.encode())),
        (None, len(whole)),
    ]


def test_a_record_out_of_order_ends_the_reading():
    first, second = records([3, 4])
    assert [e.record for e in read(second.encode())] == []
    assert [e.record for e in read(first.encode() + first.encode())] == [first]
    assert struct.calcsize("<4sII") == HEADER.size
