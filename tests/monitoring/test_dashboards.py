"""The dashboards are what their code makes of them, and keep the rules for dashboards that people share."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
import yaml

from streammac.telemetry.metrics import COORDINATOR, INGEST, WORKER, Series
from tests.monitoring.dashboards import NAMES, everything, load, panels
from tests.monitoring.programs import MONITORING

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"short", "s", "bytes", "cps", "percentunit"}
SERIES = {series.name: series for series in {*WORKER, *INGEST, *COORDINATOR}}
FOREIGN = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
           "process_max_fds", "scrape_duration_seconds"}  # fmt: skip
NOT_SHOWN = {
    "streammac_build_info": "the variables are made from it",
    "streammac_worker_busy_ratio": "the panels take seconds, which add up",
    "streammac_worker_epochs_total": "the panels take the ring's",
    "streammac_epoch": "the panels take the workers' and the number of epochs",
    "streammac_ingest_finished": "a feed that ends is no trouble",
}


def known(name: str) -> Series | None:
    """The series that an expression's name belongs to; a histogram has three names."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        series = SERIES.get(name.removesuffix(suffix) if suffix else name)
        if series is not None and (series.kind == "histogram") == bool(suffix):
            return series
    return None


def test_the_committed_dashboards_are_what_the_code_makes(tmp_path) -> None:
    from monitoring.__main__ import DASHBOARDS, write

    write(tmp_path)
    for name in DASHBOARDS:
        committed = (MONITORING / "dashboards" / name).read_text()
        assert (tmp_path / name).read_text() == committed, "run make docs"


@pytest.mark.parametrize("name", NAMES)
class TestDashboard:
    def test_identifiers_are_unique(self, name: str) -> None:
        board = load(name)
        identifiers = [panel["id"] for panel in board["panels"]]
        assert len(identifiers) == len(set(identifiers))
        assert board["uid"] == f"streammac-{name}"
        for panel in panels(name):
            references = [target["refId"] for target in panel["targets"]]
            assert references == list("ABCDEFGH")[: len(references)]
            assert references

    def test_panels_stay_on_the_grid_and_do_not_overlap(self, name: str) -> None:
        cells = [panel["gridPos"] for panel in load(name)["panels"]]
        assert all(cell["x"] >= 0 and cell["x"] + cell["w"] <= 24 for cell in cells)
        for one, other in combinations(cells, 2):
            apart = (
                one["x"] + one["w"] <= other["x"]
                or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"]
                or other["y"] + other["h"] <= one["y"]
            )
            assert apart, (one, other)

    def test_every_panel_says_what_it_is_and_in_which_unit(self, name: str) -> None:
        titles = [panel["title"] for panel in panels(name)]
        assert len(titles) == len(set(titles))
        for panel in panels(name):
            assert panel["title"]
            assert len(panel["description"]) > 20, panel["title"]
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
            assert all(target["legendFormat"] for target in panel["targets"])

    def test_the_data_source_is_a_variable_everywhere(self, name: str) -> None:
        board = load(name)
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        assert list(variables) == ["datasource", "job", "cluster", "name"]
        assert variables["datasource"]["type"] == "datasource"
        users = [*panels(name), *board["annotations"]["list"]]
        users += [target for panel in panels(name) for target in panel["targets"]]
        users += [variables[name] for name in ("job", "cluster", "name")]
        assert all(user["datasource"] == SOURCE for user in users)

    def test_grafana_can_load_it(self, name: str) -> None:
        board = load(name)
        assert board["schemaVersion"] >= 39
        assert "id" not in board, "that is Grafana's to give"
        assert {panel["type"] for panel in board["panels"]} <= {
            "row", "timeseries", "stat", "state-timeline",
        }  # fmt: skip


def expressions() -> list[str]:
    marks = [mark["expr"] for name in NAMES for mark in load(name)["annotations"]["list"]]
    return [query.expression for query in everything()] + marks


@pytest.mark.parametrize("expression", expressions())
def test_expressions(expression: str) -> None:
    windows = re.findall(r"\[([^\]]*)\]", expression)
    assert set(windows) <= {"$__rate_interval"}
    selectors = re.findall(r"\b((?:streammac|process|scrape)_\w+)(\{[^}]*\})?", expression)
    assert selectors or "ALERTS" in expression
    for name, matchers in selectors:
        assert name in FOREIGN or known(name) is not None, f"there is no series {name}"
        assert matchers.startswith('{job=~"$job",cluster=~"$cluster"')
    for window in re.finditer(r"\b(\w+)\((\w+)\{[^}]*\}\[", expression):
        function, name = window.groups()
        counts = name in FOREIGN or known(name).kind != "gauge"  # type: ignore[union-attr]
        assert function in ("rate", "increase")
        assert counts, f"{name} is a gauge"


def test_every_series_is_on_a_dashboard() -> None:
    used = {known(name) for text in expressions() for name in re.findall(r"streammac_\w+", text)}
    missing = {name for name, series in SERIES.items() if series not in used}
    assert missing == NOT_SHOWN.keys()


def test_what_grafana_and_prometheus_are_given_is_there() -> None:
    services = yaml.safe_load((MONITORING / "compose.yaml").read_text())["services"]
    assert set(services) == {"prometheus", "grafana"}
    inside = {}
    for service in services.values():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]), "versions are pinned"
        for volume in service["volumes"]:
            ours, theirs = volume.split(":")[:2]
            if ours.startswith("."):
                assert (MONITORING / ours).exists(), ours
                inside[theirs] = MONITORING / ours
    provider = yaml.safe_load(
        (MONITORING / "provisioning" / "dashboards" / "streammac.yml").read_text()
    )["providers"][0]
    loaded = inside[provider["options"]["path"]]
    assert {file.stem for file in loaded.glob("*.json")} == set(NAMES)
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (loaded / home.removeprefix(provider["options"]["path"] + "/")).exists()
    source = yaml.safe_load(
        (MONITORING / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"][0]
    address = source["url"].removeprefix("http://")
    assert f"--web.listen-address={address}" in services["prometheus"]["command"]
    scraping = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"]
