"""When a trained model is trained again: how often, and how."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from streammac.models.renewal import Renewal


def begun(points: int = 1000, ever: int = 1000) -> Renewal:
    rule = Renewal()
    rule.begun("fresh", points, ever)
    return rule


def beginnings(rule: Renewal, arrivals: list[int], window: int | None = None) -> list[str]:
    """Return how training begins again, feeding so many points from epoch to epoch."""
    ever, made = rule.ever, []
    for arrived in arrivals:
        ever += arrived
        points = min(ever, window or ever)
        begin = rule.due(points, ever)
        if begin is not None:
            made.append(begin)
            rule.begun(begin, points, ever)
    return made


def test_nothing_begins_before_there_is_a_model():
    assert Renewal().due(1000, 1000) is None


def test_a_quarter_of_new_points_is_trained_on_from_the_model_there_is():
    rule = begun()
    assert rule.due(1249, 1249) is None
    assert rule.due(1250, 1250) == "warm"


def test_where_the_points_have_doubled_a_new_model_is_made():
    assert begun().due(2000, 2000) == "fresh"


def test_where_retention_has_replaced_all_points_a_new_model_is_made():
    assert begun().due(1000, 1999) == "warm"
    assert begun().due(1000, 2000) == "fresh"


def test_points_that_come_back_with_their_worker_are_new():
    assert begun(points=1000, ever=1500).due(1500, 1500) == "warm"


def test_a_worker_that_is_gone_brings_nothing_new():
    assert begun(points=1000).due(500, 1000) is None


def test_after_a_drift_new_models_are_made_until_none_of_the_old_kind_is_left():
    rule = begun()
    assert beginnings(rule, [100, 100], window=1000) == []
    rule.drifted(1000, 1200)
    rule.begun("warm", 1000, 1200)
    assert rule.drifted_ever == 1200
    assert beginnings(rule, [125] * 16, window=1000) == ["fresh"] * 4 + ["warm"] * 3 + ["fresh"]
    assert rule.drifted_ever == 0, "it is over"


ARRIVALS = st.lists(st.integers(0, 700), max_size=60)


@given(arrivals=ARRIVALS)
def test_without_retention_new_models_are_logarithmically_few(arrivals):
    made = beginnings(begun(), arrivals)
    growth = 1 + sum(arrivals) / 1000
    assert made.count("fresh") <= math.log2(growth)
    assert len(made) <= math.log(growth, 1.25)


@given(arrivals=ARRIVALS)
def test_in_a_window_they_are_as_many_as_it_is_replaced(arrivals):
    made = beginnings(begun(), arrivals, window=1000)
    turnovers = sum(arrivals) / 1000
    assert made.count("fresh") <= turnovers
    assert len(made) <= 4 * turnovers


@given(arrivals=ARRIVALS, window=st.sampled_from([None, 1000]))
def test_no_quarter_of_new_points_waits(arrivals, window):
    rule = begun()
    beginnings(rule, arrivals, window)
    ever = 1000 + sum(arrivals)
    assert ever - rule.ever < 0.25 * rule.points


def test_what_it_remembers_outlives_the_process():
    rule = begun()
    rule.drifted(1000, 1100)
    assert Renewal(**json.loads(json.dumps(rule.memory))) == rule
