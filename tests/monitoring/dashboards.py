"""The committed dashboards as plain values, and their expressions as Prometheus gets them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.monitoring.programs import MONITORING

NAMES = ("cluster", "learning")


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MONITORING / "dashboards" / f"{name}.json").read_text())
    return loaded


def panels(name: str) -> list[dict[str, Any]]:
    """All panels but the rows' headings."""
    return [panel for panel in load(name)["panels"] if panel["type"] != "row"]


@dataclass(frozen=True)
class Query:
    """One line of a panel."""

    dashboard: str
    panel: str
    expression: str
    legend: str

    def filled(self, window: str = "5s", name: str = ".*", cluster: str = ".*") -> str:
        """The expression with values for its variables, as Grafana would send it."""
        values = {"__rate_interval": window, "job": ".*", "cluster": cluster, "name": name}
        filled = re.sub(r"\$(\w+)", lambda found: values[found[1]], self.expression)
        assert "$" not in filled
        return filled


def queries(name: str) -> Iterator[Query]:
    for panel in panels(name):
        for target in panel["targets"]:
            yield Query(name, panel["title"], target["expr"], target["legendFormat"])


def everything() -> list[Query]:
    return [query for name in NAMES for query in queries(name)]


def of(dashboard: str, panel: str, line: int = 0) -> Query:
    return [query for query in queries(dashboard) if query.panel == panel][line]
