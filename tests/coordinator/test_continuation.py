"""Orders to begin the continuation anew: on new points, and on the word of most workers."""

from __future__ import annotations

from streammac.coordinator.continuation import Continuation
from streammac.models.renewal import Renewal
from streammac.wire.messages import EpochPlan, RestartContinuation


def rule_of(points: int, *, enabled: bool = True) -> Continuation:
    rule = Continuation(Renewal(), enabled=enabled)
    assert rule.grown(points, points, EpochPlan()) is None
    return rule


def alike(workers: int) -> dict[str, int]:
    return {f"w{n}": 100 for n in range(1, workers + 1)}


def test_an_order_that_waits_to_be_carried_out_is_not_followed_by_another_one():
    rule = rule_of(1000)
    warm = RestartContinuation(1, fresh=False)
    assert rule.grown(1300, 1300, EpochPlan(age=3)) == warm
    assert rule.grown(1700, 1700, EpochPlan(age=4)) is None
    assert rule.missed(EpochPlan(age=5)) == warm
    again = RestartContinuation(2, fresh=False)
    assert rule.grown(1750, 1750, EpochPlan(age=4, restart=1)) == again


def test_a_fresh_beginning_comes_before_a_warm_one_that_waits():
    rule = rule_of(1000)
    assert rule.grown(1300, 1300, EpochPlan()) == RestartContinuation(1, fresh=False)
    assert rule.grown(2000, 2000, EpochPlan()) == RestartContinuation(2, fresh=True)
    assert rule.grown(9000, 9000, EpochPlan()) is None, "it has not been carried out"


def test_drift_takes_a_majority():
    rule = rule_of(400)
    assert rule.vote("w1", 5, 50.0, alike(4), ever=400) is None
    assert rule.vote("w1", 6, 60.0, alike(4), ever=400) is None
    assert rule.vote("w2", 6, 60.0, alike(4), ever=400) is None
    assert rule.vote("w3", 7, 70.0, alike(4), ever=400) == RestartContinuation(1, fresh=False)
    assert rule.drifts == 1
    assert rule.vote("w4", 8, 80.0, alike(4), ever=400) is None


def test_votes_weigh_as_much_as_the_points_behind_them():
    rule = rule_of(100)
    assert rule.vote("w1", 5, 50.0, {"w1": 55, "w2": 45}, ever=100) is None
    assert rule.vote("w3", 5, 50.0, {"w1": 10, "w2": 85, "w3": 5}, ever=100) is None
    assert rule.vote("w2", 6, 60.0, {"w1": 10, "w2": 85, "w3": 5}, ever=100) is not None
    assert rule.vote("w2", 9, 90.0, {"w1": 30, "w2": 70}, ever=100) is not None


def test_old_votes_do_not_count():
    rule = rule_of(300)
    assert rule.vote("w1", 5, 50.0, alike(3), ever=300) is None
    assert rule.vote("w2", 50, 500.0, alike(3), ever=300) is None


def test_votes_of_the_same_moment_count_however_short_epochs_are():
    rule = rule_of(300)
    assert rule.vote("w1", 5, 1.0, alike(3), ever=300) is None
    assert rule.vote("w2", 500, 11.0, alike(3), ever=300) is not None


def test_after_a_drift_new_models_are_made_while_the_data_is_replaced():
    rule = rule_of(100)
    assert rule.vote("w1", 5, 50.0, alike(1), ever=110) == RestartContinuation(1, fresh=False)
    orders = []
    for ever in range(110, 300, 5):
        order = rule.grown(100, ever, EpochPlan(restart=rule.number))
        orders += [(ever, order.fresh)] if order is not None else []
    fresh = [(135, True), (160, True), (185, True), (210, True)]
    assert orders == [*fresh, (235, False), (260, False), (285, False)]


def test_a_deterministic_run_never_begins_anew():
    rule = rule_of(100, enabled=False)
    assert rule.grown(1000, 1000, EpochPlan()) is None
    assert rule.vote("w1", 1, 10.0, alike(1), ever=100) is None
    assert rule.drifts == 1
