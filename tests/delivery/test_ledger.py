"""What a sender finds again: every record that was written, none that was not, whatever happened to the file."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.delivery import ledger as module
from streammac.delivery import records as records_module
from streammac.delivery.ledger import HEADER, Ledger, LedgerError, pack, unpack
from streammac.delivery.records import (
    Counted,
    Handed,
    RevocationConfirmed,
    Revoked,
    Settled,
    State,
)
from streammac.points.batch_id import BatchId

KINDS = State.kinds
names = st.sampled_from(["w1", "w2"])
sequences = st.integers(0, 20)
batch_ids = st.lists(sequences, min_size=1, max_size=3, unique=True).map(
    lambda ns: [["s", 1, [[n, n] for n in sorted(ns)]]]
)
records = st.one_of(
    st.builds(Handed, st.just("s"), st.sampled_from([1, 9]), sequences, names),
    st.builds(Settled, st.just("s"), st.sampled_from([1, 9]), sequences, st.integers(0, 50)),
    st.builds(Revoked, names, batch_ids),
    st.builds(RevocationConfirmed, names, batch_ids),
)


def plain(state: State):
    return (
        state.handed,
        {worker: m.to_json() for worker, m in state.revoked.items()},
        state.answered,
        state.points,
    )


def added_up(written) -> State:
    state = State()
    for record in written:
        state.apply(record)
    return state


@given(st.lists(records, max_size=40))
def test_the_fewest_records_add_up_to_the_same(written):
    state = added_up(written)
    assert plain(added_up(state.records())) == plain(state)


@settings(max_examples=30)
@given(st.lists(records, min_size=1, max_size=8), st.data())
def test_a_torn_tail_is_dropped_and_what_follows_is_read_again(tmp_path_factory, written, data):
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    ledger = Ledger(path, State())
    for record in written:
        ledger.write([record])
    ledger.close()
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    garbage = data.draw(st.binary(max_size=20))
    path.write_bytes(content[:cut] + garbage)
    whole = [record for record, end in unpack(content, KINDS) if end <= cut]
    again = Ledger(path, State())
    assert plain(again.state) == plain(added_up(whole))
    again.write([Handed("s", 1, 77, "w1")])
    again.close()
    last = Ledger(path, State())
    assert last.state.handed[BatchId("s", 1, 77)] == "w1"
    last.close()


def test_a_full_disk_loses_nothing_and_the_records_are_written_later(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger", State())
    ledger.write([Handed("s", 1, 1, "w1")])

    def some(descriptor, data, offset, pwrite=os.pwrite):
        pwrite(descriptor, data[:7], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(module.os, "pwrite", some)
        for number in (2, 3):
            with pytest.raises(OSError, match="No space"):
                ledger.write([Handed("s", 1, number, "w1")])
        assert len(ledger.state.handed) == 1, "nothing may be done that is not written"
    ledger.write([])
    ledger.close()
    assert [m.sequence for m in Ledger(tmp_path / "ledger", State()).state.handed] == [1, 2, 3]


def test_it_is_written_anew_when_it_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_BYTES", 2000)
    ledger = Ledger(tmp_path / "ledger", State())
    monkeypatch.setattr(records_module, "REMEMBERED", 3)
    for number in range(500):
        ledger.write([Handed("s", 9, 2 * number, "w1"), Settled("s", 9, 2 * number, 4)])
    assert (tmp_path / "ledger").stat().st_size < 4000
    expected = plain(ledger.state)
    ledger.close()
    assert plain(Ledger(tmp_path / "ledger", State()).state) == expected


def test_where_it_cannot_be_written_anew_it_stays_as_long_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_BYTES", 100)
    ledger = Ledger(tmp_path / "ledger", State())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.Path, "write_bytes", full)
    for number in range(20):
        ledger.write([Handed("s", 1, number, "w1")])
    ledger.close()
    assert len(Ledger(tmp_path / "ledger", State()).state.handed) == 20


def test_what_is_settled_is_remembered_for_a_while_and_counted_for_ever(monkeypatch):
    monkeypatch.setattr(records_module, "REMEMBERED", 3)
    state = added_up(Settled("c", 1, n, 10) for n in range(5))
    assert [state.is_settled(BatchId("c", 1, n)) for n in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert added_up(state.records()).points == state.points == 50
    assert Counted(20) in list(state.records())


def test_one_process_has_it_at_a_time(tmp_path):
    first = Ledger(tmp_path / "ledger", State())
    with pytest.raises(LedgerError, match="another name"):
        Ledger(tmp_path / "ledger", State())
    first.close()
    Ledger(tmp_path / "ledger", State()).close()


def test_records_of_another_version_are_not_guessed_at(tmp_path):
    import zlib

    body = b"\x92\x63\x01"  # [99, 1]
    (tmp_path / "ledger").write_bytes(HEADER.pack(len(body), zlib.crc32(body)) + body)
    with pytest.raises(LedgerError, match="does not know"):
        Ledger(tmp_path / "ledger", State())
    assert pack(Handed("s", 1, 1, "w"), KINDS)
