"""What a sender finds again: every record that was written, none that was not, whatever happened to the file."""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.delivery import ledger as module
from streammac.delivery import records as records_module
from streammac.delivery.ledger import Ledger, LedgerError, pack
from streammac.delivery.records import (
    Counted,
    Handed,
    RevocationConfirmed,
    Revoked,
    Settled,
    State,
)
from streammac.files.disk import Disk
from streammac.files.lock import Locked
from streammac.files.log import framed
from streammac.points.batch_id import BatchId
from tests.files.failing_disk import Died, FailingDisk

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
    ends = []
    for record in written:
        ledger.write([record])
        ends.append(path.stat().st_size)
    ledger.close()
    content = path.read_bytes()
    cut = data.draw(st.integers(ends[0], len(content)))
    # of a power cut
    zeros = bytes(data.draw(st.integers(0, 20))) if cut in ends else b""
    path.write_bytes(content[:cut] + zeros)
    whole = [record for record, end in zip(written, ends, strict=True) if end <= cut]
    again = Ledger(path, State())
    assert plain(again.state) == plain(added_up(whole))
    again.write([Handed("s", 1, 77, "w1")])
    again.close()
    last = Ledger(path, State())
    assert last.state.handed[BatchId("s", 1, 77)] == "w1"
    last.close()


@settings(max_examples=60)
@given(st.lists(records, min_size=1, max_size=8), st.data())
def test_a_flipped_bit_is_refused_and_named(tmp_path_factory, written, data):
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    ledger = Ledger(path, State())
    ledger.write(written)
    ledger.close()
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"is (damaged at byte|empty).* - put it back"):
            Ledger(path, State())


@pytest.mark.parametrize("gone", ["empty", "missing"])
def test_a_ledger_that_is_gone_is_missed(tmp_path, gone):
    path = tmp_path / "ledger"
    Ledger(path, State()).close()
    ledger = Ledger(path, State())
    ledger.write([Handed("s", 1, 1, "w1")])
    ledger.close()
    path.unlink() if gone == "missing" else path.write_bytes(b"")
    with pytest.raises(LedgerError, match=f"is {gone} - put it back"):
        Ledger(path, State())


def test_a_full_disk_loses_nothing_and_the_records_are_written_later(tmp_path):
    disk = FailingDisk()
    ledger = Ledger(tmp_path / "ledger", State(), disk)
    ledger.write([Handed("s", 1, 1, "w1")])
    disk.room = 7
    for number in (2, 3):
        with pytest.raises(OSError, match="No space"):
            ledger.write([Handed("s", 1, number, "w1")])
    disk.room = None
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


class Unwilling(Disk):
    """Replaces no file, or says so."""

    def __init__(self, *, replaced: bool) -> None:
        self.replaced = replaced

    def replace(self, path, data):
        if self.replaced:
            super().replace(path, data)
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("replaced", [False, True])
def test_where_it_cannot_be_written_anew_it_goes_on(tmp_path, monkeypatch, replaced):
    monkeypatch.setattr(module, "COMPACT_BYTES", 100)
    ledger = Ledger(tmp_path / "ledger", State(), Unwilling(replaced=replaced))
    for number in range(20):
        ledger.write([Handed("s", 1, number, "w1")])
    ledger.close()
    assert len(Ledger(tmp_path / "ledger", State()).state.handed) == 20


class Life:
    """Drives a ledger over a failing disk, and knows what it has promised."""

    def __init__(self, path) -> None:
        self.path = path
        self.disk = FailingDisk()
        self.promised: list = []
        self.attempted: list = []  # may have been written when it was killed
        self.ledger = Ledger(path, State(), self.disk)

    def write(self, written) -> None:
        self.attempted += written
        try:
            self.ledger.write(written)
        except OSError:
            assert plain(self.ledger.state) == plain(added_up(self.promised))
        else:
            self.promised += self.attempted
            self.attempted.clear()

    def kill(self) -> None:
        self.disk.steps = self.disk.room = None
        self.ledger.close()
        self.ledger = Ledger(self.path, State(), self.disk)
        outcomes = [
            self.promised + self.attempted[:count] for count in range(len(self.attempted) + 1)
        ]
        states = [plain(added_up(outcome)) for outcome in outcomes]
        self.promised = outcomes[states.index(plain(self.ledger.state))]
        self.attempted.clear()


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.lists(records, min_size=1, max_size=3),
            st.tuples(st.sampled_from(["steps", "room"]), st.integers(0, 60)),
            st.sampled_from(["kill", "room"]),
        ),
        min_size=10,
        max_size=60,
    )
)
def test_nothing_is_lost_that_was_promised(tmp_path_factory, actions):
    life = Life(tmp_path_factory.mktemp("ledger") / "ledger")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "COMPACT_BYTES", 150)
        for action in actions:
            try:
                match action:
                    case list():
                        life.write(action)
                    case "kill":
                        life.kill()
                    case "room":
                        life.disk.room = None
                    case name, number:
                        setattr(life.disk, name, number)
            except Died:
                life.kill()
        life.kill()
    life.ledger.close()


def test_a_kill_between_any_two_changes_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_BYTES", 150)
    rng, steps, lived = random.Random(1), 0, False
    while not lived:
        life = Life(tmp_path / str(steps))
        life.disk.steps = steps
        try:
            for number in range(30):
                settled = Settled("s", 1, rng.randrange(number + 1), 4)
                life.write([Handed("s", 1, number, "w1"), settled])
            lived = True
        except Died:
            lived = False
        life.kill()
        life.write([Handed("s", 1, 99, "w2")])
        life.kill()
        assert life.ledger.state.handed[BatchId("s", 1, 99)] == "w2"
        life.ledger.close()
        steps += 1
    assert steps > 40


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
    with pytest.raises(Locked, match="another name"):
        Ledger(tmp_path / "ledger", State())
    first.close()
    Ledger(tmp_path / "ledger", State()).close()


def test_records_of_another_version_are_not_guessed_at(tmp_path):
    (tmp_path / "ledger").write_bytes(framed(b"\x92\x63\x01"))  # [99, 1]
    with pytest.raises(LedgerError, match="does not know"):
        Ledger(tmp_path / "ledger", State())
    assert pack(Handed("s", 1, 1, "w"), KINDS)
