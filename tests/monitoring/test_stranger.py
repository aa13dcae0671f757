"""Somebody who knows nothing of the cluster but its dashboards finds out what is wrong."""

from __future__ import annotations

from statistics import fmean

import pytest

from tests.monitoring.dashboards import of
from tests.monitoring.story import Story, stands_out

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]


def peaks(
    story: Story, dashboard: str, panel: str, chapter: str, line: int = 0
) -> dict[str, float]:
    shown = story.read(of(dashboard, panel, line), chapter)
    return {name: max(values) for name, values in shown.items()}


def test_which_worker_is_slow(story: Story) -> None:
    def moments(slow: str, *others: str) -> int:
        during = story.chapters["a slow worker"]
        found = story.prometheus.over(stands_out(slow, *others), *during, step=0.2)
        return sum(len(one.samples) for one in found)

    # on a busy machine another one may stand out for a moment
    assert moments("w1", "w2", "w4") > moments("w2", "w1", "w4") + moments("w4", "w1", "w2")
    assert max(peaks(story, "cluster", "Imbalance", "a slow worker").values()) > 1.5


def test_which_worker_died_and_how_long_the_recovery_took(story: Story) -> None:
    here = of("cluster", "Who is here")
    during = story.read(here, "death")
    assert {name for name, values in during.items() if values[-1] == 0} == {"w2"}
    assert during.keys() >= {"w1", "w4"}
    assert story.read(here, "return")["w2"][-1] == 1
    failures = peaks(story, "cluster", "Failures", "death")
    assert failures["crash"] > max(failures["hang"], failures["unreachable"])
    recovery = story.read(of("cluster", "Recovery"), "death")["last recovery"]
    assert recovery[-1] == pytest.approx(story.recovery_s)
    assert peaks(story, "cluster", "Points away", "death")["away"] > 0


def test_whether_workers_hold_up_ingest_and_which(story: Story) -> None:
    assert max(peaks(story, "cluster", "Held up by back-pressure", "healthy").values()) < 0.2
    assert max(peaks(story, "cluster", "Credit in use", "healthy").values()) < 0.5
    # a single slow worker holds nothing up, the others take its share; when all are slow, the feed waits for all
    one = peaks(story, "cluster", "Held up by back-pressure", "a slow worker")
    assert one["i2"] < 0.9
    held_up = peaks(story, "cluster", "Held up by back-pressure", "back-pressure")
    assert max(held_up, key=held_up.__getitem__) == "i3"
    assert held_up["i3"] > 0.9
    assert min(peaks(story, "cluster", "Credit in use", "back-pressure").values()) > 0.5
    assert peaks(story, "cluster", "Waiting for credit", "back-pressure")["i3"] > 0


def test_that_the_feed_drifted_and_quality_recovered(story: Story) -> None:
    assert peaks(story, "learning", "Drift", "drift", 1)["drifts"] > 0
    assert peaks(story, "learning", "Drift", "healthy", 1)["drifts"] == 0
    usual = max(peaks(story, "learning", "Error of new points", "healthy").values())
    errors = story.read(of("learning", "Error of new points"), "drift")
    assert max(max(values) for values in errors.values()) > 1.5 * usual
    assert all(min(values[-5:]) < 1.4 * usual for values in errors.values()), "and falls again"
    above = of("learning", "Above the best baseline")
    (usually,) = story.read(above, "healthy").values()
    (during,) = story.read(above, "drift").values()
    assert fmean(usually) > -0.03, "a small model on a small set is about as good as ITQ"
    assert max(during[-3:]) > -0.03, "codes are as good as those of the baselines, or are so again"
    begun_anew = peaks(story, "learning", "Continuation begun anew", "drift")
    assert begun_anew["restarts"] > 0
