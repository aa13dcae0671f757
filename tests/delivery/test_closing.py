"""Which batches may go: those whose senders have closed, or have ended."""

from __future__ import annotations

from streammac.delivery.closing import Closing
from streammac.delivery.receiver import ReceiverSession


def test_nothing_goes_before_it_is_known_who_sends():
    closing = Closing({"i1": ReceiverSession(1, agreed=True, closing=True)})
    assert not closing.lets_go("i1")
    assert not closing.closed
    closing.tell(["i1"])
    assert closing.lets_go("i1")
    assert closing.closed
    closing.forget()
    assert not closing.lets_go("i1")


def test_a_sender_has_closed_once_its_closing_session_is_agreed_on():
    sessions = {"i1": ReceiverSession(1, agreed=True), "i2": ReceiverSession(1, closing=True)}
    closing = Closing(sessions)
    closing.tell(["i1", "i2", "i3"])
    assert closing.open == {"i1", "i2", "i3"}
    sessions["i1"] = ReceiverSession(2, agreed=True, closing=True)
    assert closing.open == {"i2", "i3"}
    assert closing.lets_go("i1")
    assert not closing.lets_go("i3"), "it has opened no session since this process began"


def test_batches_of_senders_that_have_ended_go_and_nothing_of_their_sessions_counts_any_more():
    session = ReceiverSession(1, agreed=True)
    closing = Closing({"i1": session})
    closing.tell(["i2"])
    assert closing.lets_go("i1")
    assert (session.agreed, session.ended) == (False, True)
    closing.tell(["i1", "i2"])
    assert not closing.lets_go("i1"), "it sends again"


def test_who_begins_while_it_is_said_to_be_through_is_waited_for():
    sessions: dict[str, ReceiverSession] = {}
    closing = Closing(sessions)
    closing.tell([])
    sessions["w5"] = ReceiverSession(7, agreed=True)
    assert not closing.lets_go("w5"), "the coordinator's word was older"
    closing.tell([])
    assert closing.lets_go("w5")


def test_a_session_that_was_ended_at_an_older_word_goes_on_unless_its_batches_went():
    session = ReceiverSession(7, agreed=True)
    closing = Closing({"w3": session})
    closing.tell(["i1"])  # sent before w3 was told to move its points here, and slow
    assert not session.agreed
    closing.tell(["i1", "w3"])
    assert (session.agreed, session.ended) == (True, False)
    closing.tell(["i1"])
    closing.forget()
    assert session.agreed, "nothing moves any more, and a late copy is known again"
    closing.tell(["i1"])
    assert closing.lets_go("w3")
    closing.tell(["i1", "w3"])
    assert not session.agreed, "a late copy would not be known again"
