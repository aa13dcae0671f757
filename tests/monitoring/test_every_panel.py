"""A real Prometheus watches a real cluster: panels show something when they should, alerts come and go."""

from __future__ import annotations

import re

import pytest

from streammac.telemetry.metrics import COORDINATOR, INGEST, WORKER
from tests.monitoring.dashboards import NAMES, Query, everything, load, of, panels
from tests.monitoring.programs import promtool
from tests.monitoring.story import ALERTS, WINDOW, Story
from tests.monitoring.test_rules import ALERTS as RULES
from tests.monitoring.test_rules import RECORDED

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

EMPTY_BEFORE_THE_FIRST_DEATH = {"Last recovery", "Recovery"}
OF_OTHERS = {"The family's own sums", "Neighbours averaged with"}
"""Codes have no such sums, and on the ring no copies are averaged; see `test_dashboards.py`."""
CHAPTERS = {
    ("cluster", "Lost", "Lost"): "death",
    ("cluster", "Alerts", "Alerts"): "death",
    ("cluster", "Held up by back-pressure", "i3"): "back-pressure",
    ("cluster", "Credit in use", "w1"): "a slow worker",
    ("cluster", "Waiting for credit", "i3"): "back-pressure",
    ("cluster", "Not taken, not kept", "points dead_lettered"): "strangers and bad records",
    ("cluster", "Not taken, not kept", "points expired"): "healthy",
    ("cluster", "Where an epoch's time goes", "communicate"): "healthy",
    ("cluster", "Work done", "w4"): "join and leave",
    ("cluster", "Failures", "drained"): "join and leave",
    ("cluster", "Failures", "crash"): "death",
    ("cluster", "Recoveries", "all"): "death",
    ("cluster", "Points away", "away"): "death",
    ("cluster", "Events", "lost"): "death",
    ("cluster", "Events", "recovered"): "death",
    ("cluster", "Events", "joined"): "return",
    ("cluster", "Refused handshakes", "no_key"): "strangers and bad records",
    ("learning", "Drift", "alarms of workers"): "drift",
    ("learning", "Drift", "drifts"): "drift",
    ("learning", "Continuation begun anew", "restarts"): "drift",
    ("learning", "Promoted and kept back", "promoted"): "drift",
}
"""What is above zero in which chapter."""
MARKS = {
    "Lost": "death",
    "Joined, returned or left": "return",
    "Drift": "drift",
    "Continuation begun anew": "drift",
}


@pytest.mark.parametrize(
    "query", everything(), ids=lambda q: f"{q.dashboard}: {q.panel}: {q.legend}"
)
def test_every_panel_shows_something(story: Story, query: Query) -> None:
    shown = story.read(query, "healthy")  # raises if the legend asks for a label that is not there
    if query.panel in OF_OTHERS:
        assert not shown
        return
    if query.panel in EMPTY_BEFORE_THE_FIRST_DEATH:
        assert not shown
        shown = story.read(query, "death")
    assert shown


@pytest.mark.parametrize(("dashboard", "panel", "line"), CHAPTERS)
def test_panels_tell_what_happens(story: Story, dashboard: str, panel: str, line: str) -> None:
    chapter = CHAPTERS[dashboard, panel, line]
    lines: dict[str, list[float]] = {}
    for query in everything():
        if (query.dashboard, query.panel) == (dashboard, panel):
            lines |= story.read(query, chapter)
    assert max(lines[line]) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_large_number_is_one_number(story: Story, name: str) -> None:
    stats = {panel["title"] for panel in panels(name) if panel["type"] == "stat"}
    for query in everything():
        if query.dashboard == name and query.panel in stats:
            assert len(story.over(query, "death")) == 1, query.panel


@pytest.mark.parametrize("name", NAMES)
def test_marks_are_where_something_happened(story: Story, name: str) -> None:
    for mark in load(name)["annotations"]["list"]:
        query = Query(name, mark["name"], mark["expr"], mark["name"])
        assert story.read(query, MARKS[mark["name"]]), mark["name"]
        if mark["name"] != "Continuation begun anew":  # that happens when the data grows, too
            assert not story.read(query, "healthy"), mark["name"]


def test_the_variables_have_values(story: Story) -> None:
    values = {}
    start, end = story.chapters["healthy"]
    for variable in load("cluster")["templating"]["list"][1:]:
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert asked
        match = Query("", "", asked[1], "").filled()
        values[asked[2]] = story.prometheus.ask(
            f"label/{asked[2]}/values", **{"match[]": match}, start=start, end=end
        )
    assert values["job"] == ["streammac"]
    assert len(values["cluster"]) == 1
    assert {"coordinator", "i1", "w1", "w2", "w3"} <= set(values["name"])


def test_the_variables_choose(story: Story) -> None:
    for panel in ("Shards", "Share of the feed", "Processor", "Training time of a point"):
        assert list(story.read(of("cluster", panel), "healthy", name="w1")) == ["w1"]
    expression = of("cluster", "Shards").filled(WINDOW, cluster="another")
    assert not story.prometheus.over(expression, *story.chapters["healthy"])


@pytest.mark.parametrize("alert", ALERTS)
def test_alerts_come_and_go(story: Story, alert: str) -> None:
    start, end = story.chapters["healthy"][0], story.chapters["calm"][1]

    def at(state: str) -> set[float]:
        expression = f'ALERTS{{alertname="Streammac{alert}",alertstate="{state}"}}'
        found = story.prometheus.over(expression, start, end, step=0.2)  # some last one evaluation
        return {time for series in found for time, _ in series.samples}

    pending, firing = at("pending"), at("firing")
    assert firing
    if "for" in RULES[f"Streammac{alert}"]:
        assert min(pending) < min(firing)
    afterwards = {start + n for n in range(int(end - start)) if start + n > min(firing)}
    gone = {t for t in afterwards if all(abs(t - seen) > 0.5 for seen in pending | firing)}
    assert gone, "it never ended"


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recording_rules_record(story: Story, name: str) -> None:
    assert story.prometheus.over(name, *story.chapters["healthy"])


def test_promtool_finds_nothing_wrong_with_any_process(story: Story) -> None:
    assert set(story.exposed) == {"coordinator", "w1", "w2", "w3", "i1"}
    for text in story.exposed.values():
        assert promtool("check", "metrics", text=text) == ""


NOT_YET = {"streammac_recovery_last_seconds", "streammac_training_mean"}
"""Without a value before something has happened, or with codes."""


@pytest.mark.parametrize(
    ("name", "series"), [("coordinator", COORDINATOR), ("w1", WORKER), ("i1", INGEST)]
)
def test_a_process_shows_all_its_series(story: Story, name: str, series: tuple) -> None:
    shown = set(re.findall(r"^# TYPE (\w+) ", story.exposed[name], re.M))
    assert {s.name for s in series} - shown == NOT_YET & {s.name for s in series}
