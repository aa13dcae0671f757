"""One session with one worker: when it opens, what it announces, and what becomes of batches meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.records import RevocationConfirmed, Revoked
from streammac.delivery.session import OPEN_SESSION_S, Session, SessionNumbers
from streammac.wire.messages import Credit, Points, Route


def batch(sequence: int) -> Batch:
    message = Points("s", 1, sequence, False, {"x": np.zeros((1, 2), np.float32)})
    return Batch(message, 10, Ticket())


@pytest.fixture
def session() -> Session:
    """Return one that is open, with two batches under way."""
    session = Session("w1", SessionNumbers(4))
    session.enter(incarnation=7, assigned=0.0)
    assert session.open_message("i1", 0.0).session == session.number == 5
    assert session.credit(Credit(5, 100)) == []
    assert session.is_open
    session.add(batch(1))
    session.add(batch(2))
    return session


def test_what_is_taken_back_is_announced_and_released_with_the_consent(session):
    (first, second) = session.under_way.values()
    assert session.take_back([first]) == [Revoked("w1", [["s", 1, [[1, 1]]]])]
    assert (list(session.under_way.values()), session.returning) == ([second], [first])
    assert (session.outstanding_bytes, session.is_open) == (10, False)
    message = session.open_message("i1", 1.0)
    assert (message.session, message.revoked[0].ranges) == (6, ((1, 1),))
    assert session.open_message("i1", 1.0) is None
    assert session.open_message("i1", 1.0 + OPEN_SESSION_S) == message
    assert session.credit(Credit(5, 100)) == [], "that was another session"
    assert session.credit(Credit(6, 100)) == [RevocationConfirmed("w1", [["s", 1, [[1, 1]]]])]
    assert (session.is_open, bool(session.revoked)) == (True, False)
    assert session.release() == [first]
    assert session.release() == []


def test_a_worker_that_knows_a_newer_session_gets_one_that_is_newer_still(session):
    session.credit(Credit(50, 100))
    assert (session.number, session.is_open) == (51, False)


def test_what_a_worker_has_when_it_goes_is_announced_when_it_returns(session):
    session.revoke(list(session.under_way.values()))
    assert session.outstanding_bytes == 0
    session.enter(incarnation=8, assigned=3.0)
    message = session.open_message("i1", 2.0)
    assert (message.incarnation, message.revoked[0].ranges) == (8, ((1, 2),))


def test_only_a_worker_that_drains_is_told_that_nothing_more_comes(session):
    assert session.route(Route("w1", "a", 7, 0.0))
    assert session.open_message("i1", 1.0).closing
    assert not session.takes(1, 1.0)
    session.route(Route("w1", "a", 7, 1.0))
    assert not session.open_message("i1", 1.0).closing
