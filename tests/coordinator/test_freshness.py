"""How long points wait for a version that was trained with them."""

from __future__ import annotations

from streammac.coordinator.freshness import MAX_OPEN, Freshness


def waiting_s(fresh: Freshness, untrained_s: list[float], now: float) -> float:
    fresh.look(untrained_s, now)
    return fresh.waiting_s


def test_the_oldest_new_point_of_any_worker_counts():
    fresh = Freshness()
    fresh.trained(3, 2.0, now=10.0)
    fresh.trained(3, 4.0, now=10.5)
    assert waiting_s(fresh, [], now=11.0) == 4.5
    assert fresh.published(3, now=12.0) == 5.5
    assert fresh.newest_s == 5.5
    assert waiting_s(fresh, [], now=13.0) == 0.0


def test_epochs_that_were_passed_over_come_with_the_next_version():
    fresh = Freshness()
    fresh.trained(3, 1.0, now=10.0)
    fresh.trained(4, 1.0, now=12.0)
    fresh.trained(5, 1.0, now=14.0)
    assert fresh.published(4, now=15.0) == 6.0
    assert fresh.published(4, now=15.0) is None
    assert waiting_s(fresh, [0.5], now=15.0) == 2.0


def test_an_epoch_without_new_points_tells_nothing():
    fresh = Freshness()
    fresh.trained(3, 0.0, now=10.0)
    assert fresh.published(3, now=11.0) is None
    assert fresh.newest_s is None


def test_points_that_no_epoch_has_had_wait_too():
    assert waiting_s(Freshness(), [0.0, 7.5], now=1.0) == 7.5


def test_where_nothing_is_published_little_is_remembered_and_nothing_forgotten():
    fresh = Freshness()
    for epoch in range(2 * MAX_OPEN):
        fresh.trained(epoch, 0.5, now=float(epoch))
    assert len(fresh._oldest) == MAX_OPEN
    assert waiting_s(fresh, [], now=1000.0) == 1000.5
