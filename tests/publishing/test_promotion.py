"""The rule of promotion on simulated queries: equal versions change nothing, real gains are found."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.publishing.measurement import Measurement
from streammac.publishing.promotion import Difference, has_fallen, judge

QUERIES = 1000
NOISE = 0.1
"""Of one query: two versions of the same quality find different neighbours."""


class Feed:
    """Measurements of versions with a known true quality."""

    def __init__(self, seed: int, queries: int = QUERIES) -> None:
        self.rng = np.random.default_rng(seed)
        self.queries = queries
        self.number = 0
        self.renew()

    def renew(self) -> None:
        self.number += 1
        self.difficulty = self.rng.normal(0.0, 0.25, self.queries)

    def measure(self, quality: float, itq: float = 0.5) -> Measurement:
        noise = self.rng.normal(0.0, NOISE, self.queries)
        leading = np.clip(quality + self.difficulty + noise, 0.0, 1.0)
        return Measurement(
            "m", float(leading.mean()), itq, 10, self.queries, probe=self.number,
            leading=leading,
        )  # fmt: skip


def test_hundreds_of_equal_candidates_change_hardly_anything():
    promotions = []
    for seed in range(20):
        feed = Feed(seed)
        current = feed.measure(0.6)
        promotions.append(0)
        for _ in range(300):
            new = feed.measure(0.6)
            if judge(new, current, current, 1).promoted:
                current, promotions[-1] = new, promotions[-1] + 1
    assert max(promotions) <= 1
    assert np.mean(promotions) < 0.4


def test_a_real_gain_is_found_and_a_loss_is_never_one():
    found = []
    for seed in range(100):
        feed = Feed(seed)
        current = feed.measure(0.6)
        found.append(judge(feed.measure(0.62), current, current, 1).promoted)
        worse = judge(feed.measure(0.58), current, current, 1)
        assert not worse.promoted
        assert "worse than version 1" in worse.reason
    assert np.mean(found) > 0.9


def test_small_gains_add_up_against_the_current_version():
    """Each step is below the noise; the current version is what they are held against, not the last one."""
    feed = Feed(3)
    current = feed.measure(0.6)
    decisions = [judge(feed.measure(0.6 + 0.002 * n), current, current, 1) for n in range(20)]
    assert not decisions[0].promoted
    assert decisions[-1].promoted


def test_what_has_become_worse_gives_way_to_one_that_is_not_worse():
    feed = Feed(5)
    then = feed.measure(0.6)
    feed.renew()
    now = feed.measure(0.4)
    assert has_fallen(then, now)
    equal = feed.measure(0.401)
    assert not Difference.of(equal, now).is_gain
    decision = judge(equal, now, then, 1)
    assert decision.promoted == (equal.model >= now.model)
    assert not judge(feed.measure(0.35), now, then, 1).promoted


def test_more_points_make_every_level_fall_and_no_version_worse():
    feed = Feed(6)
    then = feed.measure(0.6, itq=0.5)
    feed.renew()
    assert not has_fallen(then, feed.measure(0.4, itq=0.3))


def test_few_queries_need_a_larger_gain():
    few = [0.0] * 4 + [0.2]
    new = Measurement("m", 0.04, 0, 0, 0, 10, 5, leading=np.array(few))
    old = Measurement("m", 0.0, 0, 0, 0, 10, 5, leading=np.zeros(5))
    assert not Difference.of(new, old).is_gain
    one = Measurement("m", 0.9, 0, 0, 0, 10, 1, leading=np.ones(1))
    assert not Difference.of(one, Measurement("m", 0, 0, 0, 0, 10, 1, leading=np.zeros(1))).is_gain


def test_measurements_of_different_probes_are_not_compared():
    feed = Feed(7)
    first = feed.measure(0.6)
    feed.renew()
    with pytest.raises(ValueError, match="probes 2 and 1"):
        judge(feed.measure(0.6), first, first, 1)


def test_what_could_not_be_measured_is_kept():
    measured = Feed(8).measure(0.6)
    assert judge(None, measured, measured, 1).reason == "could not be measured"
    assert not judge(measured, None, None, 1).promoted
