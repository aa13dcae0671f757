"""Whose turn it is: never without credit, in proportion to weights, no catching up for those who join."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.delivery.choice import choose, joining
from streammac.delivery.session import Session, SessionNumbers

NUMBERS = SessionNumbers(0)


def session(worker: str = "w1", **attributes) -> Session:
    return Session(worker, NUMBERS, **{"is_open": True, "window_bytes": 1 << 40, **attributes})


any_sessions = st.lists(
    st.builds(
        session,
        st.sampled_from(["w1", "w2", "w3", "w4"]),
        is_open=st.booleans(),
        weight=st.floats(0.1, 10),
        window_bytes=st.integers(0, 100),
        outstanding_bytes=st.integers(0, 100),
        assigned=st.floats(0, 1000),
        blocked_until=st.floats(0, 2),
    ),
    unique_by=lambda session: session.worker,
    max_size=4,
)


@given(any_sessions, st.integers(1, 150))
def test_the_choice_is_the_one_furthest_behind_of_those_with_credit(sessions, size):
    def has_credit(s):
        fits = s.outstanding_bytes + size <= s.window_bytes or s.outstanding_bytes == 0
        return s.is_open and fits and s.window_bytes > 0 and s.blocked_until <= 1.0

    able = [session for session in sessions if has_credit(session)]
    chosen = choose(sessions, size, now=1.0)
    if chosen is None:
        assert not able
    else:
        assert chosen in able
        assert chosen.assigned == min(session.assigned for session in able)


@given(
    st.lists(st.floats(0.2, 5), min_size=2, max_size=4),
    st.lists(st.integers(1, 1000), min_size=200, max_size=300),
)
def test_the_feed_is_shared_in_proportion_to_weights(weights, sizes):
    sessions = [session(f"w{n}", weight=weight) for n, weight in enumerate(weights)]
    got = {s.worker: 0 for s in sessions}
    for size in sizes:
        chosen = choose(sessions, size, 0.0)
        got[chosen.worker] += size
        chosen.assigned += size / chosen.weight
    for s in sessions:
        fair = sum(sizes) * s.weight / sum(weights)
        assert got[s.worker] == pytest.approx(fair, abs=max(sizes) * len(sessions) * 5)


def test_a_worker_of_three_times_the_weight_gets_three_times_as_much():
    sessions = [session("w1", weight=1.0), session("w2", weight=3.0)]
    got = {"w1": 0, "w2": 0}
    for _ in range(400):
        chosen = choose(sessions, 10, 0.0)
        got[chosen.worker] += 1
        chosen.assigned += 10 / chosen.weight
    assert got == {"w1": 100, "w2": 300}


def test_one_that_drains_gets_nothing():
    assert choose([session(weight=0.0)], 1, 0.0) is None


def test_who_joins_gets_its_share_and_not_everything():
    assert joining([session("w1", assigned=500.0), session("w2", assigned=300.0)]) == 300.0
    assert joining([]) == 0.0
