"""The sender's side: credit, owners, sessions, resending; what the ledger is announced, and when."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from streammac.delivery import session as session_module
from streammac.delivery.batch import BATCH_OVERHEAD_BYTES, Batch, Ticket
from streammac.delivery.records import Handed, Revoked, Settled, State
from streammac.delivery.sender import MAX_REFUSALS, Post, Sender, Write
from streammac.delivery.session import OPEN_SESSION_S
from streammac.wire.messages import Ack, Credit, OpenSession, Points, Route

RESEND_S = 5.0
BATCH_BYTES = 32 + BATCH_OVERHEAD_BYTES
WINDOW = 3 * BATCH_BYTES


class Office:
    """A sender, and the workers' part said by the test."""

    def __init__(self, *workers, window=WINDOW, state=None, on_lost="reassign") -> None:
        self.sender = Sender("i1", 100, RESEND_S, 4 * BATCH_BYTES, state, on_lost)
        self.records: list[object] = []
        self.tickets: list[Ticket] = []
        self.state = state or State()
        if workers:
            self.route(*workers)
            self.agree(window=window)

    def route(self, *workers) -> None:
        routes = [w if isinstance(w, Route) else Route(w, "a", 1) for w in workers]
        self.sender.route(routes)

    def put(self, *sequences, count=4, durable=True) -> None:
        for sequence in sequences:
            x = np.full((count, 2), sequence, np.float32)
            ticket = Ticket()
            self.tickets.append(ticket)
            message = Points("s", 1, sequence, False, {"x": x})
            self.sender.put(Batch(message, BATCH_BYTES, ticket, durable))

    def send(self, now=0.0) -> list[Post]:
        orders = self.sender.send(now)
        for number, order in enumerate(orders):
            if isinstance(order, Write):
                assert number == 0, "the ledger comes first"
                self.records += order.records
                for record in order.records:
                    self.state.apply(record)
        return [order for order in orders if isinstance(order, Post)]

    def agree(self, now=0.0, window=WINDOW, only=None) -> list[OpenSession]:
        opened = [p for p in self.send(now) if isinstance(p.message, OpenSession)]
        for post in opened:
            if only in (None, post.worker):
                self.sender.credit(post.worker, Credit(post.message.session, window))
        return [post.message for post in opened]

    def points(self, now=0.0) -> list[tuple[str, int]]:
        return [
            (p.worker, p.message.sequence) for p in self.send(now) if isinstance(p.message, Points)
        ]

    def ack(self, worker, sequence, outcome="stored", *, now=0.0, window=WINDOW, session=None):
        session = session or self.sender.sessions[worker].number
        answer = Ack("s", 1, sequence, session, outcome, window, "why")
        return self.sender.acknowledge(worker, answer, now)


def test_nothing_goes_to_a_worker_before_it_agrees_to_the_session():
    office = Office()
    office.put(1)
    office.route("w1")
    (opening,) = office.send()
    assert (opening.message.sender, opening.message.incarnation) == ("i1", 1)
    assert office.points() == []
    assert [type(p.message) for p in office.send(OPEN_SESSION_S)] == [OpenSession], "it asks again"
    office.sender.credit("w1", Credit(opening.message.session, WINDOW))
    assert office.points() == [("w1", 1)]


def test_credit_of_another_session_counts_for_nothing_and_a_newer_one_is_outdone():
    office = Office()
    office.route("w1")
    office.put(1)
    (opening,) = office.send()
    office.sender.credit("w1", Credit(opening.message.session - 1, WINDOW))
    assert office.points(0.1) == []
    office.sender.credit("w1", Credit(9999, WINDOW))
    (opening,) = office.agree(0.2)
    assert opening.session == 10_000
    assert office.points(0.3) == [("w1", 1)]


def test_the_ledger_knows_of_durable_batches_before_they_leave():
    office = Office("w1")
    office.put(1)
    office.put(2, durable=False)
    office.points()
    assert office.records == [Handed("s", 1, 1, "w1")]
    office.ack("w1", 1)
    office.ack("w1", 2)
    office.send()
    assert office.records[1:] == [Settled("s", 1, 1, 4)]
    assert (office.sender.acknowledged, office.sender.idle) == (8, True)


def test_without_credit_nothing_is_sent_and_no_more_is_taken():
    office = Office("w1", window=0)
    office.put(*range(5))
    assert not office.sender.has_room
    assert office.points(0.5) == []
    office.send(10.5)
    assert office.sender.waiting.blocked_s == 10.0
    office.sender.credit("w1", Credit(office.sender.sessions["w1"].number, WINDOW))
    assert len(office.points(11.0)) == 3
    assert not office.sender.idle


def test_a_batch_larger_than_the_window_goes_alone():
    office = Office("w1", window=1)
    office.put(1, 2)
    assert office.points() == [("w1", 1)]
    assert office.points(1.0) == []
    office.ack("w1", 1, window=1)
    assert office.points(2.0) == [("w1", 2)]


def shares(office, sequences, now=0.0) -> dict[str, int]:
    """Put batches in, and return how many went to each worker."""
    office.put(*sequences)
    return dict(Counter(worker for worker, _ in office.points(now)))


def test_workers_get_batches_in_proportion_to_their_weights():
    office = Office(Route("w1", "a", 1, 3.0), Route("w2", "a", 1, 1.0), window=1 << 30)
    assert shares(office, range(400)) == {"w1": 300, "w2": 100}
    office.route(Route("w1", "a", 1, 0.5), Route("w2", "a", 1, 1.5))
    assert shares(office, range(400, 800)) == {"w1": 100, "w2": 300}, "from now on"


def test_it_is_bytes_that_are_shared_out():
    office = Office(Route("w1", "a", 1, 3.0), Route("w2", "a", 1, 1.0), window=1 << 30)
    sizes = [1 + 997 * n % 1000 for n in range(400)]
    for n, size in enumerate(sizes):
        office.sender.put(Batch(Points("s", 1, n, False, {"x": np.zeros((1, 1))}), size, Ticket()))
    to_w2 = sum(sizes[sequence] for worker, sequence in office.points() if worker == "w2")
    assert to_w2 == pytest.approx(sum(sizes) / 4, abs=2 * max(sizes))


def test_who_joins_gets_its_share_and_what_it_missed_is_not_made_up_for():
    office = Office("w1", window=1 << 30)
    assert shares(office, range(100)) == {"w1": 100}
    office.route("w1", "w2")
    office.agree(window=1 << 30)
    assert shares(office, range(100, 200)) == {"w1": 50, "w2": 50}


def test_an_unanswered_batch_goes_again_to_the_same_worker_and_is_counted_once():
    office = Office("w1", "w2")
    office.put(1)
    ((worker, _),) = office.points()
    assert office.points(RESEND_S - 0.1) == []
    assert office.points(RESEND_S) == [(worker, 1)]
    assert office.sender.resent == 1
    assert office.ack(worker, 1, "duplicate") is not None
    assert office.ack(worker, 1) is None
    assert (office.sender.acknowledged, office.sender.duplicate) == (4, 4)


def test_the_batches_of_a_worker_that_is_gone_go_elsewhere_and_it_is_told_when_it_returns():
    office = Office("w1", "w2")
    office.put(1, 2, 3, 4)
    sent = office.points()
    lost = {s for worker, s in sent if worker == "w1"}
    for worker, sequence in sent:
        if worker == "w2":
            office.ack("w2", sequence)
    office.route("w2")
    moved = office.points(0.1)
    assert {s for _, s in moved} == lost
    assert {w for w, _ in moved} == {"w2"}
    assert any(isinstance(r, Revoked) for r in office.records)
    office.route("w2", Route("w1", "a", 2))
    opening = next(o for o in office.agree(0.2, only="w2") if o.revoked)
    announced = {n for r in opening.revoked[0].ranges for n in range(r[0], r[1] + 1)}
    assert (announced, opening.incarnation) == (lost, 2)
    assert office.sender.revoked == 1
    office.sender.credit("w1", Credit(office.sender.sessions["w1"].number, WINDOW))
    office.send()
    assert office.sender.revoked == 0
    assert not office.state.revoked


def test_a_batch_that_a_worker_had_says_so_where_it_goes_next_also_in_another_life():
    office = Office("w1")
    office.put(1)
    assert [p.message.again for p in office.send()] == [False]
    assert [p.message.again for p in office.send(RESEND_S)] == [False], "the same worker again"
    office.route()
    office.send()
    other_life = Office(state=office.state)
    other_life.put(1, 2)
    for one in (office, other_life):
        one.route("w2")
        one.agree()
    told = [p.message for one in (office, other_life) for p in one.send()]
    assert [(message.sequence, message.again) for message in told] == [
        (1, True),
        (1, True),
        (2, False),
    ]


def test_where_they_are_held_the_batches_of_a_worker_that_is_gone_wait_until_it_returns_and_consents():
    office = Office("w1", "w2", on_lost="hold")
    office.put(1, 2, 3, 4)
    lost = {s for worker, s in office.points() if worker == "w1"}
    for sequence in {1, 2, 3, 4} - lost:
        office.ack("w2", sequence)
    office.route("w2")
    assert office.points(0.1) == []
    assert any(isinstance(r, Revoked) for r in office.records)
    assert (office.sender.moving, office.sender.idle) == (False, False)
    office.route("w2", Route("w1", "a", 2))
    assert any(opening.revoked for opening in office.agree(0.2))
    assert {s for _, s in office.points(0.3)} == lost


def test_another_process_of_a_worker_gets_its_batches_again_in_a_new_session():
    office = Office("w1")
    office.put(1)
    office.points()
    before = office.sender.sessions["w1"].number
    office.route(Route("w1", "b", 2))
    assert office.points(0.1) == []
    office.agree(OPEN_SESSION_S + 1)
    assert office.points(OPEN_SESSION_S + 1) == [("w1", 1)]
    assert office.sender.sessions["w1"].number > before
    assert office.ack("w1", 1, session=before) is None
    assert office.ack("w1", 1) is not None


def test_a_worker_that_drains_gives_its_batches_back_with_its_consent_and_gets_no_more():
    office = Office("w1", "w2")
    office.put(1, 2)
    office.points()
    office.route(Route("w1", "a", 1, 0.0), "w2")
    assert office.points(0.1) == [], "not before it consents"
    (opening,) = office.agree(OPEN_SESSION_S + 1)
    assert opening.closing
    assert [w for w, _ in office.points(OPEN_SESSION_S + 1)] == ["w2"]
    office.put(3, 4)
    assert {w for w, _ in office.points(2.5)} <= {"w2"}


def test_a_refused_batch_waits_for_the_workers_consent_and_is_given_up_in_the_end():
    office = Office("w1")
    office.put(1)
    now = 0.0
    for _ in range(MAX_REFUSALS):
        assert office.points(now) == [("w1", 1)]
        assert office.ack("w1", 1, "refused", now=now) is None
        assert office.sender.sessions["w1"].outstanding_bytes == 0
        office.agree(now)
        now += RESEND_S
    ((batch, reason),) = office.sender.given_up
    (ticket,) = office.tickets
    assert (len(batch), reason, ticket.settled, ticket.given_up) == (4, "why", True, 4)
    assert office.sender.idle
    office.send(now)
    assert isinstance(office.records[-1], Settled)


def test_a_worker_without_room_gives_everything_back_at_once_and_nothing_is_given_up():
    office = Office("w1", "w2")
    office.put(1, 2, 3, 4)
    mine = [s for w, s in office.points() if w == "w1"]
    assert len(mine) > 1
    office.ack("w1", mine[0], "refused", window=0)
    office.agree(0.1, window=0)
    for number in range(MAX_REFUSALS):
        for worker, sequence in office.points(0.2 + number):
            office.ack(worker, sequence, "refused", window=0)
        office.agree(0.3 + number, window=0)
    assert office.sender.given_up == []
    assert all(session.outstanding_bytes == 0 for session in office.sender.sessions.values())


def test_while_it_is_on_hold_it_opens_sessions_and_hands_out_nothing():
    office = Office()
    office.sender.on_hold = True
    office.route("w1")
    office.put(1)
    assert office.agree()
    assert office.points() == []
    office.sender.on_hold = False
    assert office.points() == [("w1", 1)]


def test_a_sender_that_was_killed_goes_on_with_the_same_owners():
    former = Office("w1", "w2")
    former.put(1, 2)
    owners = {s: w for w, s in former.points()}
    later = Office("w1", "w2", state=former.state)
    later.put(2, 1)
    assert {s: w for w, s in later.points(1.0)} == owners
    third = Office(state=later.state)
    third.put(1, 2)
    third.route(owners[2])
    third.agree()
    third.send()
    assert third.state.revoked.keys() == {owners[1]}


def test_more_revoked_batches_than_a_message_holds_are_announced_in_several_sessions(monkeypatch):
    monkeypatch.setattr(session_module, "REVOKED_AT_ONCE", 2)
    office = Office("w1", window=100 * BATCH_BYTES)
    office.put(1, 3, 5, 7, 9)
    office.points()
    office.route("w2")
    office.points(0.1)
    office.route("w1", "w2")
    announced = []
    for number in range(4):
        for opening in office.agree(10.0 * (number + 1), only="w1"):
            announced += [r for some in opening.revoked for r in some.ranges]
    assert sorted(announced) == [(n, n) for n in (1, 3, 5, 7, 9)]
    office.send(99.0)
    assert not office.state.revoked


@pytest.mark.parametrize(
    ("source", "incarnation", "sequence"), [("t", 1, 0), ("s", 2, 0), ("s", 1, 7)]
)
def test_answers_to_others_change_nothing(source, incarnation, sequence):
    office = Office("w1")
    office.put(0)
    office.points()
    session = office.sender.sessions["w1"].number
    strange = Ack(source, incarnation, sequence, session, "stored", WINDOW)
    assert office.sender.acknowledge("w1", strange, 1.0) is None
    assert office.sender.acknowledge("w9", strange, 1.0) is None
    assert office.sender.unacknowledged == 4


def test_only_the_owner_of_a_batch_can_settle_it():
    office = Office("w1", "w2")
    office.put(1)
    ((owner, _),) = office.points()
    (other,) = {"w1", "w2"} - {owner}
    assert office.ack(other, 1) is None
    assert office.ack(owner, 1) is not None


def test_an_offer_is_settled_when_each_of_its_batches_is():
    office, ticket = Office("w1"), Ticket()
    for sequence in (1, 2):
        x = np.zeros((4, 2), np.float32)
        office.sender.put(Batch(Points("s", 1, sequence, False, {"x": x}), BATCH_BYTES, ticket))
    assert ticket.open_batches == 2
    office.points()
    office.ack("w1", 1)
    assert (ticket.stored, ticket.settled) == (4, False)
    office.ack("w1", 2)
    assert (ticket.stored, ticket.settled) == (8, True)


def test_what_is_recalled_is_under_way_no_more():
    office = Office()
    office.put(1, 2)
    recalled = office.sender.recall()
    assert sorted(batch.message.sequence for batch in recalled) == [1, 2]
    assert all(ticket.settled for ticket in office.tickets)
    assert office.sender.idle


def test_a_worker_that_refused_gets_nothing_for_a_while():
    office = Office("w1")
    office.put(1)
    assert office.points() == [("w1", 1)]
    office.ack("w1", 1, "refused", now=1.0)
    office.agree(now=1.0)
    assert office.points(1.0 + RESEND_S - 0.1) == []
    assert office.points(1.0 + RESEND_S) == [("w1", 1)]
