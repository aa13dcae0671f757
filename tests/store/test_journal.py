"""The journal: what was written is read, and nothing else ever is."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streammac.files import log
from streammac.files.log import framed
from streammac.points.batch_id import BatchId
from streammac.store.journal import Entry, Record, entries, seal


def read(journal: bytes) -> list[Entry]:
    return list(entries(log.read(journal)))


def records(counts) -> list[Record]:
    rows = 0
    out = []
    for n, count in enumerate(counts):
        keys = tuple(bytes(range(i)) for i in range(count)) if n % 2 else None
        batch_id, sender = BatchId(f"søurce{n}", -1, n), "w1" if n % 3 else ""
        out.append(Record(rows, count, float(n), batch_id, (n, n + 1), keys, sender))
        rows += count
    return out


def written(some: list[Record]) -> bytes:
    return b"".join(framed(record.encode()) for record in some)


@given(st.lists(st.integers(0, 9), max_size=6), st.booleans())
def test_what_was_written_is_read(counts, sealed):
    some = records(counts)
    journal = written(some) + (framed(seal(sum(counts))) if sealed else b"")
    found = read(journal)
    assert [e.record for e in found if e.record] == some
    assert any(e.record is None for e in found) == sealed
    assert (found[-1].end if found else 0) == len(journal)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_a_cut_journal_yields_the_records_before_the_cut(counts, data):
    some = records(counts)
    cut = data.draw(st.integers(0, len(written(some))))
    whole = sum(len(written(some[: i + 1])) <= cut for i in range(len(some)))
    assert [e.record for e in read(written(some)[:cut])] == some[:whole]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_ends_the_reading_before_it(counts, data):
    some = records(counts)
    journal = bytearray(written(some))
    at = data.draw(st.integers(0, len(journal) - 1))
    journal[at] ^= 1 << data.draw(st.integers(0, 7))
    got = [e.record for e in read(bytes(journal))]
    assert got == some[: len(got)]
    assert len(got) < len(some)


@given(st.binary(max_size=200))
@example(framed(b"not a record"))
@example(framed(b""))
@example(framed(msgpack.packb("abc")))
@example(framed(msgpack.packb([0, 2, 0.0, ["s", 1]])))
@example(framed(msgpack.packb([0, 2, 0.0, ["s", 1], [], None, ""])))
@example(framed(msgpack.packb([0, 2, 0.0, 1, [], None, ""])))
def test_arbitrary_bytes_never_raise(junk):
    assert read(junk) == []


@pytest.mark.parametrize("rows", [0, 4])
def test_a_seal_that_counts_otherwise_is_no_seal(rows):
    journal = written(records([3])) + framed(seal(rows))
    assert [e.record is None for e in read(journal)] == [False]


def test_a_record_out_of_order_ends_the_reading():
    first, second = records([3, 4])
    assert read(written([second])) == []
    assert [e.record for e in read(written([first, first]))] == [first]
