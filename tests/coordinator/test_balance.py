"""Shares of the feed follow the workers' speeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.coordinator.balance import NOTABLE, Balance, weights

positive = st.floats(1e-3, 1e6)
names = st.sampled_from("abcdef")


@given(st.dictionaries(names, st.tuples(positive, positive), min_size=1))
def test_shares_add_up_and_nobody_is_left_out(workers):
    got = weights(
        {name: speed for name, (speed, _) in workers.items()},
        {name: points for name, (_, points) in workers.items()},
    )
    assert got.keys() == workers.keys()
    assert sum(got.values()) == pytest.approx(len(workers), abs=1e-3)
    assert all(weight >= 0 for weight in got.values())


def test_an_epoch_without_points_or_work_says_nothing_of_speed():
    balance = Balance()
    balance.measure("w1", 0, 1.0)
    balance.measure("w1", 1, 0.0)
    assert balance.speeds(["w1"]) == {}
    balance.measure("w1", 1, 0.5)
    assert balance.speeds(["w1"]) == {"w1": 2.0}


def test_who_is_not_counted_yet_has_no_points():
    speeds = {"w1": 1.0, "w2": 1.0}
    assert weights(speeds, {"w1": 2.0}) == weights(speeds, {"w1": 2.0, "w2": 0.0})


def test_a_feed_makes_shards_proportional_to_speed_and_keeps_them_so():
    speeds = {"w1": 3.0, "w2": 3.0, "w3": 1.0}
    shards = {"w1": 20_000.0, "w2": 20_000.0, "w3": 20_000.0}
    fed = 0.0
    while max(shards[n] / speeds[n] for n in speeds) > 1.2 * sum(
        shards[n] / speeds[n] for n in speeds
    ) / len(speeds):
        for name, weight in weights(speeds, shards).items():
            shards[name] += 1000 * weight / len(speeds)
        fed += 1000
        assert fed < 200_000
    # a third of the speed, a third of the time: the slow one had 2.3 times its share
    assert fed < 110_000
    for _ in range(500):
        for name, weight in weights(speeds, shards).items():
            shards[name] += 1000 * weight / len(speeds)
    busy = [shards[name] / speed for name, speed in speeds.items()]
    assert max(busy) / min(busy) == pytest.approx(1.0, abs=0.02)


def test_only_notable_changes_are_told():
    balance = Balance()
    assert balance.news({"w1": 10.0, "w2": 10.0}) is None, "nothing is known"
    balance.measure("w1", 100, 1.0)
    balance.measure("w2", 100 * (1 + NOTABLE / 10), 1.0)
    assert balance.news({"w1": 10.0, "w2": 10.0}) is None
    for _ in range(20):
        balance.measure("w2", 300, 1.0)
    told = balance.news({"w1": 10.0, "w2": 10.0})
    assert told is not None
    assert told["w2"] > 1.5 > told["w1"]
    assert balance.news({"w1": 10.0, "w2": 10.0}) is None, "told already"


def test_a_newcomer_counts_as_fast_as_the_others_and_gets_the_most_until_it_has_its_share():
    balance = Balance()
    for name in ("w1", "w2"):
        balance.measure(name, 100, 1.0)
    told = balance.news({"w1": 1000.0, "w2": 1000.0, "w3": 0.0})
    assert told is not None
    assert told["w3"] > 2 * told["w1"]


def test_a_process_that_comes_back_is_measured_anew():
    balance = Balance()
    balance.measure("w1", 100, 1.0)
    balance.measure("w2", 900, 1.0)
    assert balance.news({"w1": 1.0, "w2": 1.0}) is not None
    balance.forget({"w1"})
    assert balance.announced.keys() == {"w1"}
    assert balance.news({"w1": 1.0, "w2": 1.0}) == {"w1": 1.0, "w2": 1.0}
