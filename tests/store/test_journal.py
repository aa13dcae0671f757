"""The journal: what was written is read, and nothing else ever is."""

from __future__ import annotations

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from streammac.files import log
from streammac.files.log import framed
from streammac.points.batch_id import BatchId
from streammac.store.journal import Entry, Lost, Opening, Record, Seal, entries


def read(journal: bytes) -> list[Entry]:
    return [placed.entry for placed in entries(log.read(journal))]


def records(counts) -> list[Record]:
    rows = 0
    out = []
    for n, count in enumerate(counts):
        keys = tuple(bytes(range(i)) for i in range(count)) if n % 2 else None
        batch_id, sender = BatchId(f"søurce{n}", -1, n), "w1" if n % 3 else ""
        out.append(Record(rows, count, float(n), batch_id, (n, n + 1), keys, sender, rows))
        rows += count
    return out


def written(some: list[Entry]) -> bytes:
    return b"".join(framed(entry.encode()) for entry in some)


@given(st.lists(st.integers(0, 9), max_size=6), st.booleans())
def test_what_was_written_is_read(counts, sealed):
    end = [Seal(sum(counts))] if sealed else []
    some = [Opening("s1", 7), *records(counts), *end]
    assert read(written(some)) == some
    assert list(entries(log.read(written(some))))[-1].end == len(written(some))


def test_a_record_is_laid_out_as_in_the_journals_that_there_are():
    record = Record(5, 2, 1.5, BatchId("s", 7, 9), (3, 4), (b"k", b""), "w1", 4)
    fields = [5, 2, 1.5, ["s", 7, 9], [3, 4], [b"k", b""], "w1", 4]
    assert msgpack.unpackb(record.encode()) == fields
    assert msgpack.unpackb(Seal(258).encode()) == 258
    assert msgpack.unpackb(Opening("s1", 3).encode()) == ["s1", 3]
    assert msgpack.unpackb(Lost(5, 2, BatchId("s", 7, 9)).encode()) == [5, 2, ["s", 7, 9], ""]
    former = msgpack.packb([0, 2, 1.5, ["s", 7, 9], [3, 4], [b"k", b""], "w1"])
    assert read(framed(former))[0].promised == 0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_a_cut_journal_yields_the_records_before_the_cut(counts, data):
    some = records(counts)
    cut = data.draw(st.integers(0, len(written(some))))
    whole = sum(len(written(some[: i + 1])) <= cut for i in range(len(some)))
    assert read(written(some)[:cut]) == some[:whole]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_costs_one_record_whose_rows_are_known_by_the_next(counts, data):
    some = records(counts)
    journal = bytearray(written(some))
    at = data.draw(st.integers(0, len(journal) - 1))
    journal[at] ^= 1 << data.draw(st.integers(0, 7))
    hit = sum(len(written(some[: i + 1])) <= at for i in range(len(some)))
    last = hit == len(some) - 1
    lost = [] if last else [Lost(some[hit].row, some[hit].count)]
    assert read(bytes(journal)) == [*some[:hit], *lost, *some[hit + 1 :]]


@given(st.binary(max_size=200))
@example(framed(b"not a record"))
@example(framed(b""))
@example(framed(msgpack.packb("abc")))
@example(framed(msgpack.packb([0, 2, 0.0, ["s", 1]])))
@example(framed(msgpack.packb([0, 2, 0.0, ["s", 1], [], None, ""])))
@example(framed(msgpack.packb([0, 2, 0.0, 1, [], None, ""])))
def test_arbitrary_bytes_never_raise(junk):
    assert read(junk) == []


def test_a_seal_tells_of_records_that_are_missing_before_it():
    some = records([3])
    assert read(written([*some, Seal(0)])) == some
    assert read(written([*some, Seal(4)])) == [*some, Lost(3, 1), Seal(4)]


def test_nothing_is_read_beyond_the_seal():
    first, second = records([3, 4])
    assert read(written([first, Seal(3), second])) == [first, Seal(3)]


def test_a_record_of_rows_that_another_one_has_is_none():
    first, second = records([3, 4])
    assert read(written([second])) == [Lost(0, 3), second]
    assert read(written([first, first])) == [first]
