"""Whose turn it is: never without credit, in proportion to weights, no catching up for those who join."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.delivery.session import Lane, choose, joining

lanes_of_any_kind = st.dictionaries(
    st.sampled_from(["w1", "w2", "w3", "w4"]),
    st.builds(
        Lane,
        is_open=st.booleans(),
        weight=st.floats(0.1, 10),
        window_bytes=st.integers(0, 100),
        outstanding_bytes=st.integers(0, 100),
        assigned=st.floats(0, 1000),
        blocked_until=st.floats(0, 2),
    ),
)


@given(lanes_of_any_kind, st.integers(1, 150))
def test_the_choice_is_the_one_furthest_behind_of_those_with_credit(lanes, size):
    def has_credit(lane):
        fits = lane.outstanding_bytes + size <= lane.window_bytes or lane.outstanding_bytes == 0
        return lane.is_open and fits and lane.window_bytes > 0 and lane.blocked_until <= 1.0

    able = {name: lane for name, lane in lanes.items() if has_credit(lane)}
    chosen = choose(lanes, size, now=1.0)
    if not able:
        assert chosen is None
    else:
        assert chosen in able
        assert lanes[chosen].assigned == min(lane.assigned for lane in able.values())


@given(
    st.lists(st.floats(0.2, 5), min_size=2, max_size=4),
    st.lists(st.integers(1, 1000), min_size=200, max_size=300),
)
def test_the_feed_is_shared_in_proportion_to_weights(weights, sizes):
    lanes = {
        f"w{n}": Lane(weight, is_open=True, window_bytes=1 << 40)
        for n, weight in enumerate(weights)
    }
    got = dict.fromkeys(lanes, 0)
    for size in sizes:
        name = choose(lanes, size, 0.0)
        got[name] += size
        lanes[name].assigned += size / lanes[name].weight
    for name, lane in lanes.items():
        fair = sum(sizes) * lane.weight / sum(weights)
        assert got[name] == pytest.approx(fair, abs=max(sizes) * len(lanes) * 5)


def test_a_worker_of_three_times_the_weight_gets_three_times_as_much():
    lanes = {
        "w1": Lane(1.0, is_open=True, window_bytes=1 << 30),
        "w2": Lane(3.0, is_open=True, window_bytes=1 << 30),
    }
    got = {"w1": 0, "w2": 0}
    for _ in range(400):
        name = choose(lanes, 10, 0.0)
        got[name] += 1
        lanes[name].assigned += 10 / lanes[name].weight
    assert got == {"w1": 100, "w2": 300}


def test_one_that_drains_gets_nothing():
    lanes = {"w1": Lane(0.0, is_open=True, window_bytes=1 << 30)}
    assert choose(lanes, 1, 0.0) is None


def test_who_joins_gets_its_share_and_not_everything():
    lanes = {"w1": Lane(assigned=500.0), "w2": Lane(assigned=300.0)}
    assert joining(lanes) == 300.0
    assert joining({}) == 0.0
