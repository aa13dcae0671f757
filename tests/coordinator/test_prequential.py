"""Prequential figures of all workers: each point counts once, whatever dies, and the window is of the newest."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streammac.coordinator.accounts import Accounts
from streammac.coordinator.prequential import STEP_POINTS, WINDOW_POINTS, Predictions
from streammac.wire.reports import Predicted

reports = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 3000), st.booleans()),
    max_size=40,
)


@given(reports)
def test_each_point_counts_once_over_deaths_and_repeated_or_late_words(reports):
    predictions = Predictions()
    counts: dict[tuple[str, int], int] = {}
    newest: dict[str, int] = {}
    told: list[int] = []
    for name, incarnation, more, repeated in reports:
        late = incarnation < newest.get(name, 0)
        if not late:
            newest[name] = incarnation
            counts[name, incarnation] = counts.get((name, incarnation), 0) + more
            told += [more] * (more > 0)
        points = counts.get((name, incarnation), 0)
        predicted = Predicted(points, {"accuracy": 0.25 * points})
        for _ in range(1 + repeated):
            predictions.take(name, incarnation, predicted)
    status = predictions.status
    if not told:
        assert status is None
        return
    assert status.points == sum(told)
    assert status.overall == {"accuracy": 0.25}
    assert status.window_points <= status.points
    assert status.window_points >= min(status.points, WINDOW_POINTS)
    assert len(predictions.steps) <= WINDOW_POINTS // STEP_POINTS + 2


def test_the_window_says_how_it_is_lately():
    predictions = Predictions()
    for n in range(1, 101):
        right = min(n, 50) * 1000.0
        predictions.take("w1", 1, Predicted(1000 * n, {"accuracy": right, "loss": 0.5 * n}))
    status = predictions.status
    assert status.overall["accuracy"] == 0.5
    assert status.window == {"accuracy": 0.0, "loss": 0.0005}
    assert status.window_points == WINDOW_POINTS


def test_figures_survive_the_coordinator():
    accounts = Accounts()
    accounts.predictions.take("w1", 1, Predicted(10, {"accuracy": 5.0}))
    after = Accounts.from_json(json.loads(json.dumps(accounts.to_json())))
    after.predictions.take("w1", 1, Predicted(20, {"accuracy": 15.0}))
    after.predictions.take("w1", 2, Predicted(10, {"accuracy": 10.0}))
    assert after.predictions.status.points == 30
    assert after.predictions.status.overall == {"accuracy": 25.0 / 30}
    assert Accounts.from_json({}).predictions.status is None, "as of an older release"


def test_figures_of_another_family_begin_anew():
    predictions = Predictions()
    predictions.take("w1", 1, Predicted(10, {"error": 5.0}))
    predictions.take("w1", 2, Predicted(4, {"loss": 1.0, "accuracy": 3.0}))
    assert predictions.status.points == 4
    assert predictions.status.overall == {"loss": 0.25, "accuracy": 0.75}
