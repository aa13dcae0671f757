"""The whole thing once, with real processes: start, feed, train, look, stop, go on."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streammac.link.request import ask_status
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from streammac.supervisor.run import supervise
from streammac.telemetry import metrics
from streammac.wire.status import PointCounts
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("run")]
GOOD = 3000


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "feed.csv"
    with path.open("w") as file:
        for n, row in enumerate(rng.normal(size=(GOOD, 8)).round(3)):
            file.write(",".join(map(str, row)) + "\n")
            if n % 1000 == 500:
                file.write("1,2,spoiled\n")
    return path


def scrape(url: str) -> set[str]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    return {f.name for f in text_string_to_metric_families(text) if f.samples}


def probe(metrics_url: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(metrics_url.replace("metrics", path), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def families(series: tuple[metrics.Series, ...]) -> set[str]:
    return {one.name.removesuffix("_total") for one in series}


def test_a_cluster_from_start_to_resumption(tmp_path: Path, feed: Path, run: Run) -> None:  # noqa: F811
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 2},
            "model": {"bits": 8},
            "ingest": {"sources": [str(feed)]},
            "training": {"start_points": 500},
            "held_out": {"share": 0.1},
        }
    )
    local = LocalCluster(RunDirectory(tmp_path / "d"), settings)
    seen: dict[str, Any] = {}

    def show(status: Any, _: float) -> None:
        if status and status.waiting:
            seen["early"] = seen.get("early") or probe(status.coordinator.metrics_url, "ready")
        settled = status and status.quality and status.points.accepted == GOOD
        if settled and all(node.finished for node in status.ingest):
            endpoints = (status.coordinator, status.workers[0], status.ingest[0])
            tables = (metrics.COORDINATOR, metrics.WORKER, metrics.INGEST)
            seen["missing"] = {
                family
                for endpoint, table in zip(endpoints, tables, strict=True)
                for family in families(table) - scrape(endpoint.metrics_url)
            } - {
                "streammac_recovery_last_seconds",  # needs a failure
                "streammac_worker_entering_error",  # drift, or more points than there are
                "streammac_refresh_seconds",  # a promise
                "streammac_training_mean",  # a family with sums of its own
                "streammac_prequential_points",  # points after the first model
                "streammac_prequential_mean",
            }
            if seen["missing"]:
                return  # the coordinator renews its series once a second
            seen["status"] = run("status", "--dir", "d")
            seen["replay"] = run("dead-letters", "replay", "--dir", "d")
            urls = [endpoint.metrics_url for endpoint in endpoints]
            seen["probes"] = {probe(url, path)[0] for url in urls for path in ("health", "ready")}
            seen["promoted"] = status.promoted
            seen["rollback"] = run("model", "rollback", status.promoted, "--dir", "d")
            seen["refused"] = run("model", "rollback", 999, "--dir", "d")
            local.interrupt()

    first = supervise(local, show, duration_s=40)
    assert first.failure is None
    assert seen, f"never came to a measured model: {first.status}"
    assert seen["missing"] == set()
    assert [child.exit_code for child in local.children] == [0] * 4
    assert first.status is not None
    assert first.status.points == PointCounts(
        sent=GOOD + 3,
        accepted=GOOD,
        duplicate=0,
        dead_lettered=3,
        stored=GOOD,
        expired=0,
        away=0,
        dropped=0,
        damaged=0,
    )
    assert seen["probes"] == {200}
    assert seen["early"][0] == 503
    assert seen["early"][1].startswith("waiting for ")
    assert seen["status"][0] == 0
    assert "dead-lettered" in seen["status"][1]
    assert seen["replay"][0] == 0, seen["replay"][2]
    assert "0 went through, 3 were refused" in seen["replay"][1]

    code, out, _ = run("dead-letters", "list", "--dir", "d")
    assert (code, "3 dead letters" in out) == (0, True)
    versions = VersionStore(local.directory.models, 10)
    np.save(tmp_path / "x.npy", np.zeros((4, 8), np.float32))
    assert run("encode", "x.npy", "c.npy", "--dir", "d")[0] == 0
    assert np.load(tmp_path / "c.npy").shape == (4, 1)

    assert seen["rollback"][0] == 0, seen["rollback"][2]
    assert seen["refused"][0] == 6
    assert "no version 999; there are: " in seen["refused"][2]
    assert (versions.current, versions.pinned) == (seen["promoted"], True)
    newest = versions.newest
    again = run("up", "--dir", "d", "--for", 5, "--no-ui", "--summary", "s.json")
    assert again[0] == 0, again[2]
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["points"]["stored"] == GOOD
    assert summary["epochs"] >= first.status.epoch
    assert versions.newest >= newest
    assert versions.current == seen["promoted"]
    assert ask_status("tcp://127.0.0.1:1", timeout_s=0.1) is None
