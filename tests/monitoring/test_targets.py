"""What Prometheus is told to scrape, over HTTP and in a file, up to a thousand workers."""

from __future__ import annotations

import json
import urllib.request

import pytest
from starlette.applications import Starlette

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.status import status
from streammac.files.writes import Writes
from streammac.link.http_server import serve, serve_process
from streammac.link.pulse import Pulse
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Network, Settings
from streammac.telemetry.exporter import CoordinatorMetrics
from streammac.wire.messages import Goodbye, Register
from tests.monitoring.programs import promtool
from workers.coordinator.http import routes
from workers.coordinator.live import Live
from workers.coordinator.targets import targets

WRITES = Writes(lambda *_: None)

OWN = "http://127.0.0.1:9000/metrics"


def registered(workers: int) -> Coordinator:
    core = Coordinator(Settings.model_validate({"cluster": {"workers": 256}}), "many")
    for n in range(workers):
        addresses = {"metrics": f"http://10.0.0.1:{10_000 + n}/metrics", "data": "d", "ring": "r"}
        core.handle(b"%d" % n, Register("worker", f"w{n}", 1, n, "here", addresses), 0.0)
    return core


def test_who_is_lost_or_has_left_is_not_scraped() -> None:
    core = registered(4)
    core.disconnected("w1", 1, 0.0, 1.0)
    core.handle(b"2", Goodbye("w2", 1), 1.0)
    listed = targets(core, OWN)
    assert [t["labels"]["name"] for t in listed] == ["coordinator", "w0", "w3"]
    assert listed[1] == {
        "targets": ["10.0.0.1:10000"],
        "labels": {"cluster": "many", "role": "worker", "name": "w0"},
    }


def test_the_file_is_written_when_the_list_changes_and_only_then(tmp_path) -> None:
    directory = RunDirectory(tmp_path)
    live, core = Live(directory, WRITES), registered(2)
    file = directory.targets
    live.step(0.0, lambda: status(core), lambda: targets(core, OWN))
    first = file.stat().st_ino
    live.step(1e6, lambda: status(core), lambda: targets(core, OWN))
    assert file.stat().st_ino == first
    core.disconnected("w1", 1, 0.0, 1.0)
    live.step(2e6, lambda: status(core), lambda: targets(core, OWN))
    assert [t["labels"]["name"] for t in json.loads(file.read_text())] == ["coordinator", "w0"]
    live.close(status(core))
    assert json.loads(file.read_text()) == []


@pytest.fixture(scope="module")
def thousand() -> Coordinator:
    return registered(1000)


def test_a_thousand_workers_are_listed(thousand, tmp_path) -> None:
    live = Live(RunDirectory(tmp_path), WRITES)
    live.step(0.0, lambda: status(thousand), lambda: targets(thousand, OWN))
    url, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"{url}/sd", timeout=10) as answer:
            assert answer.headers["content-type"] == "application/json"
            listed = json.loads(answer.read())
        with urllib.request.urlopen(f"{url}/status", timeout=10) as answer:
            assert len(json.loads(answer.read())["workers"]) == 1000
    finally:
        live.closed = True
        close()
    assert len(listed) == 1001
    assert len({target["targets"][0] for target in listed}) == 1001


def test_a_scrape_of_a_coordinator_of_a_thousand_is_well_formed(thousand) -> None:
    process = CoordinatorMetrics()
    process.update(status(thousand))
    process.events(thousand.events.counts)
    url, close = serve_process(process, Pulse(), Network())
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        close()
    assert text.count("streammac_worker_up{") == 1000
    assert promtool("check", "metrics", text=text) == ""
