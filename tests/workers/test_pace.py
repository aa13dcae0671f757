"""The time of an epoch, shared out among its visits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streammac.settings.schema import Training
from workers.pace import LEAST_S, Even, Refreshing, pace_of


@given(
    visits=st.integers(1, 50),
    turns=st.integers(1, 50),
    waits=st.lists(st.floats(0.0, 0.2), min_size=51, max_size=51),
)
def test_visits_end_with_the_epoch_whatever_they_wait_for(visits, turns, waits):
    pace, now, too_late = Refreshing(refresh_s=6.0), 50.0, 0.0
    pace.begin(now, visits, turns)
    for wait in waits[: visits + 1]:
        too_late += min(wait, max(0.0, now + wait - 52.0))
        now += wait
        now += pace.next_s(now)
    least = (visits + 1) * LEAST_S
    assert now <= 50.0 + pace.epoch_s + too_late + least + 1e-6


def test_the_settings_say_how_long_a_visit_may_take():
    assert pace_of(Training()) is pace_of(Training(visit_budget=500)) is None
    even, refreshing = pace_of(Training(visit_budget="2s")), pace_of(Training(refresh="6s"))
    assert isinstance(even, Even)
    assert even.next_s(0.0) == 2.0
    assert isinstance(refreshing, Refreshing)
    assert refreshing.epoch_s == 2.0


def test_where_a_block_visits_many_members_each_of_them_gets_less():
    alone, many = Refreshing(9.0), Refreshing(9.0)
    alone.begin(0.0, visits=2, turns=2)
    many.begin(0.0, visits=2, turns=8)
    assert alone.next_s(0.0) == 1.0
    assert many.next_s(0.0) == 0.25
