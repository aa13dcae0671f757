"""The receiver's side: what it believes, stores, refuses and leaves without an answer."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from streammac.delivery import receiver
from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.receiver import RETRY_S, Receiver
from streammac.delivery.sender import Post, Sender
from streammac.wire.codec import decode, encode
from streammac.wire.messages import Ack, BatchIdRanges, Credit, OpenSession, Points, Route
from tests.delivery.memory_store import MemoryStore, batch_id_of

WINDOW = 1000
LIFE = 7


def batch(sequence, session=1, sender="i1", count=2) -> Points:
    x = np.zeros((count, 3), np.float32)
    return Points("s", 1, sequence, False, {"x": x}, (), sender, session)


def opening(session=1, *revoked, sender="i1", incarnation=LIFE, closing=False) -> OpenSession:
    ranges = (BatchIdRanges("s", 1, tuple((n, n) for n in revoked)),) if revoked else ()
    return OpenSession(sender, session, incarnation, ranges, closing)


class Desk:
    """A receiver with its store; every peer is called by its sender's name."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.receiver: Receiver[str] = Receiver(LIFE, WINDOW, self.store)

    def say(self, *messages, now=0.0):
        answers = self.receiver.take([(m.sender, m) for m in messages], now)
        return [message for _, message in answers]

    def outcomes(self, *messages, now=0.0):
        return [m.outcome for m in self.say(*messages, now=now) if isinstance(m, Ack)]

    @property
    def sequences(self) -> list[int]:
        return sorted(batch_id.sequence for batch_id in self.store.batches)


@pytest.fixture
def desk():
    return Desk()


def test_an_opening_is_answered_with_credit_to_whom_it_came_from(desk):
    assert desk.receiver.take([("peer", opening(4))], 0.0) == [("peer", Credit(4, WINDOW))]


def test_points_are_stored_once_and_answered_each_time_after_one_commit(desk):
    desk.say(opening())
    assert desk.outcomes(batch(1), batch(2), batch(1)) == ["stored", "stored", "duplicate"]
    assert desk.store.commits == 1
    assert (desk.receiver.stored, desk.receiver.duplicates) == (4, 2)
    (ack,) = desk.say(batch(5))
    assert (ack.sequence, ack.session, ack.window_bytes) == (5, 1, WINDOW)


@pytest.mark.parametrize(
    ("session", "told"),
    [
        (1, [Credit(2, WINDOW)]),  # it does not know of the newer one, and is to go on above it
        (3, []),
    ],
)
def test_points_of_another_session_than_the_agreed_one_are_not_stored(desk, session, told):
    desk.say(opening(2))
    assert desk.say(batch(1, session)) == told
    assert desk.sequences == []
    assert desk.receiver.stale == 1


def test_what_arrives_in_a_row_is_stored_together_and_an_opening_comes_between(desk, monkeypatch):
    desk.say(opening())
    rows: list[list[int]] = []
    append = desk.store.append
    monkeypatch.setattr(
        desk.store, "append", lambda b: (rows.append([m.sequence for m in b]), append(b))[1]
    )
    said = batch(0), batch(1), opening(2, 1), batch(2), batch(3, session=2), batch(0, session=2)
    answers = desk.say(*said)
    assert rows == [[0, 1], [3, 0]]
    assert [getattr(answer, "outcome", answer) for answer in answers] == [
        "stored",
        "stored",
        Credit(2, WINDOW),
        Credit(2, WINDOW),
        "stored",
        "duplicate",
    ]
    assert desk.sequences == [0, 3]


def test_points_of_a_sender_that_never_opened_a_session_get_no_answer(desk):
    desk.say(opening(sender="i2"))
    assert desk.say(batch(1)) == []
    assert desk.sequences == []


def test_a_newer_session_withdraws_what_it_disowns_and_ends_the_former(desk):
    desk.say(opening(), batch(1), batch(2))
    answers = desk.say(opening(2, 1, 9), batch(1, session=1), batch(3, session=2))
    assert answers[:2] == [Credit(2, WINDOW)] * 2
    assert [a.sequence for a in answers[2:]] == [3]
    assert desk.sequences == [2, 3]
    assert desk.receiver.withdrawn == 2


def test_a_session_that_is_opened_twice_does_not_withdraw_what_has_come_back_since(desk):
    desk.say(opening(), batch(1))
    desk.say(opening(2, 1), batch(1, session=2))
    assert desk.say(opening(2, 1)) == [Credit(2, WINDOW)]
    assert desk.sequences == [1]


def test_opening_an_older_session_withdraws_nothing_and_hears_of_the_newer_one(desk):
    desk.say(opening(5), batch(1, session=5))
    assert desk.say(opening(4, 1)) == [Credit(5, WINDOW)]
    assert desk.sequences == [1]


def test_opening_one_with_another_process_of_this_name_begins_nothing(desk):
    assert desk.say(opening(1, incarnation=LIFE - 1), batch(1)) == []
    assert desk.sequences == []


def test_senders_have_sessions_of_their_own(desk):
    desk.say(opening(9), opening(1, sender="i2"))
    assert desk.outcomes(batch(1, 9), batch(2, 1, "i2")) == ["stored", "stored"]


def test_a_withdrawal_that_fails_is_not_consented_to_but_ends_the_former_session(desk):
    desk.say(opening(), batch(1))
    desk.store.stuck = True
    assert desk.say(opening(2, 1), batch(8, 1), batch(9, 2)) == []
    assert desk.receiver.refusing
    desk.store.stuck = False
    assert desk.say(opening(2, 1), now=RETRY_S) == [Credit(2, WINDOW)]
    assert desk.sequences == []


def test_a_full_disk_refuses_with_the_reason_and_without_credit_until_it_takes_more(desk):
    desk.say(opening())
    desk.store.full = True
    (ack,) = desk.say(batch(1))
    assert (ack.outcome, ack.window_bytes) == ("refused", 0)
    assert "No space left" in ack.reason
    desk.store.full = False
    assert desk.say(batch(2), now=RETRY_S - 0.1)[0].outcome == "refused"  # nothing is tried yet
    assert desk.say(opening(2), now=RETRY_S - 0.1) == [Credit(2, 0)]
    assert desk.say(opening(2), now=RETRY_S) == [Credit(2, WINDOW)]
    assert desk.receiver.refusing
    assert desk.outcomes(batch(1, 2), now=RETRY_S) == ["stored"]
    assert not desk.receiver.refusing


def test_a_batch_that_does_not_fit_is_refused_alone(desk):
    desk.say(opening())
    bad, good = desk.say(replace(batch(1), tensors={}), batch(2))
    assert (bad.outcome, bad.reason, bad.window_bytes) == ("refused", "x: missing", WINDOW)
    assert good.outcome == "stored"
    assert not desk.receiver.refusing


def test_nothing_is_acknowledged_that_the_disk_did_not_keep(desk):
    desk.say(opening(), batch(1))
    desk.store.forgets = True
    known, new, bad = desk.say(batch(1), batch(2), replace(batch(3), tensors={}))
    assert [known.outcome, new.outcome, bad.outcome] == ["refused", "refused", "refused"]
    assert known.reason == new.reason == "OSError: [Errno 5] Input/output error"
    assert bad.reason == "x: missing", "whose fault it is"
    assert desk.receiver.stored == 2  # of the first turn


def test_closing_is_known_of_each_sender(desk):
    desk.say(opening(closing=True), opening(1, sender="i2"))
    assert not desk.receiver.closed
    desk.say(opening(2, sender="i2", closing=True))
    assert desk.receiver.closed
    desk.say(opening(2))
    assert not desk.receiver.closed


def test_late_copies_of_a_session_that_was_ended_are_not_stored_and_its_sender_may_begin_anew(desk):
    desk.say(opening(4), batch(1, session=4))
    desk.receiver.sessions["i1"].end()
    desk.store.batches.clear()  # it is with another worker by now
    assert desk.say(batch(1, session=4), opening(4), batch(1, session=4)) == []
    assert desk.sequences == []
    assert desk.say(opening(5)) == [Credit(5, WINDOW)]
    assert desk.outcomes(batch(2, session=5)) == ["stored"]


def test_senders_and_what_they_disown_are_bounded(desk, monkeypatch):
    monkeypatch.setattr(receiver, "MAX_SENDERS", 2)
    monkeypatch.setattr(receiver, "MAX_REVOKED", 10)
    everything = (BatchIdRanges("s", 1, ((-(1 << 63), (1 << 63) - 1),)),)
    assert desk.say(OpenSession("i1", 1, LIFE, everything)) == []
    assert desk.receiver.malformed == 1
    assert len(desk.say(*(opening(sender=f"i{n}") for n in range(4)))) == 2


def test_messages_cross_the_wire():
    for message in (opening(3, 1, 5, closing=True), Credit(3, 10), batch(4)):
        back = decode([bytes(frame) for frame in encode(message)])
        if isinstance(message, Points):
            np.testing.assert_array_equal(back.tensors["x"], message.tensors["x"])
            assert batch_id_of(back) == batch_id_of(message)
        else:
            assert back == message


def test_who_opens_a_session_in_the_name_of_a_sender_does_not_cut_it_off(desk):
    sender = Sender("i1", session=1, resend_s=2.0, room_bytes=1000)
    sender.route([Route("w1", "tcp://h:1", LIFE)])

    def turn(now: float) -> None:
        for post in [order for order in sender.send(now) if isinstance(order, Post)]:
            for answer in desk.say(post.message, now=now):
                if isinstance(answer, Credit):
                    sender.credit("w1", answer)
                else:
                    sender.acknowledge("w1", answer, now)

    turn(0.0)
    desk.say(opening(session=1 << 50))
    sender.put(Batch(batch(2), 10, Ticket()))
    for now in range(1, 8):
        turn(float(now))
    assert desk.sequences == [2]
    assert sender.acknowledged == 2
