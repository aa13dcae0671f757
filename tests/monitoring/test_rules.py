"""The rules hold what promtool checks, speak of series that there are, and each alert has a test and a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.programs import MONITORING, promtool
from tests.monitoring.test_dashboards import FOREIGN, known

RULES = MONITORING / "rules" / "streammac.yml"
TESTS = MONITORING / "rules" / "streammac.test.yml"
RUNBOOK = MONITORING.parent / "docs" / "runbook.md"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def test_the_rules_hold_in_their_unit_tests() -> None:
    promtool("test", "rules", TESTS)


def test_a_broken_rule_does_not_pass_them(tmp_path: Path) -> None:
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    broken = RULES.read_text().replace("streammac_worker_up == 0", "streammac_worker_up == 2")
    (tmp_path / RULES.name).write_text(broken)
    with pytest.raises(AssertionError, match="StreammacWorkerLost"):
        promtool("test", "rules", tmp_path / TESTS.name)


def test_prometheus_takes_configuration_and_rules() -> None:
    promtool("check", "config", "--lint=all", "--lint-fatal", MONITORING / "prometheus.yml")


def test_every_rule_has_a_unit_test() -> None:
    tests = yaml.safe_load(TESTS.read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires == ALERTS.keys()
    assert quiet == ALERTS.keys()
    asked = " ".join(c["expr"] for test in tests for c in test.get("promql_expr_test", []))
    assert all(name in asked for name in RECORDED)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_to_do(name: str) -> None:
    annotations = ALERTS[name]["annotations"]
    assert annotations["summary"].endswith(".")
    assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    section = RUNBOOK.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert len(section.split()) > 20
    assert ALERTS[name]["labels"]["severity"] in ("warning", "critical")


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    headings = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.M))
    assert headings == ALERTS.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert", rule.get("record")))
def test_rules_speak_of_series_that_there_are(rule: dict[str, Any]) -> None:
    names = set(re.findall(r"(?<![\w:])(?:\w+:)?streammac_\w+(?::\w+)?", rule["expr"]))
    assert names or rule["alert"] == "StreammacNotScraped"
    for name in names:
        assert name in RECORDED or name in FOREIGN or known(name) is not None, name
