import math
import re
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert
from prometheus_client.parser import text_string_to_metric_families

from streammac.coordinator.events import EventLog
from streammac.link.http_server import serve_process
from streammac.link.pulse import Pulse
from streammac.settings.schema import Network
from streammac.telemetry import exporter, metrics
from streammac.telemetry.metrics import COORDINATOR, INGEST, WORKER
from streammac.wire.reports import IngestReport, ShardCounts, WorkerReport
from streammac.wire.status import ClusterStatus

STATUS: dict[str, Any] = {
    "view": 3,
    "epoch": 7,
    "objective": 1.5,
    "mu": 0.25,
    "model_version": 6,
    "promoted": 5,
    "drift_events": 1,
    "points": {"sent": 10, "accepted": 9, "dead_lettered": 1, "stored": 9, "expired": 0},
    "failures": {"crash": 1, "hang": 0},
    "recovery": {"count": 1, "last_s": 0.25, "seconds": 0.25},
    "workers": [
        {"name": "w1", "state": "alive", "weight": 1.5},
        {"name": "w2", "state": "lost", "weight": 1.0},
        {"name": "w3", "state": "left", "weight": 1.0},
    ],
    "ingest": [{"name": "i1", "state": "alive"}],
    "quality": {
        "metric": "share",
        "model": 0.8,
        "itq": 0.7,
        "pca": 0.5,
        "random": 0.3,
        "measures": {"recall_100": {"model": {"value": 0.8, "margin": 0.02}}},
        "entropy": 0.9,
        "least_entropy": 0.5,
    },
}


@dataclass
class Epoch:
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.25, "z_step": 0.5})


@dataclass
class Session:
    window_bytes: int
    outstanding_bytes: int


def scrape(process: exporter.ProcessMetrics) -> dict[str, float]:
    url, close = serve_process(process, Pulse(), Network())
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        close()
    return {
        sample.name + "".join(f"[{v}]" for _, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "series", sorted({*WORKER, *INGEST, *COORDINATOR}, key=lambda s: s.name), ids=lambda s: s.name
)
def test_names_follow_the_rules(series: metrics.Series) -> None:
    assert re.fullmatch(r"streammac_[a-z][a-z_]*[a-z]", series.name)
    assert series.name.endswith("_total") == (series.kind == "counter")
    assert series.help
    assert bool(series.buckets) == (series.kind == "histogram")
    assert len(series.buckets) <= 12
    assert list(series.buckets) == sorted(series.buckets)


def test_no_name_means_two_things() -> None:
    names = [s.name for s in sorted({*WORKER, *INGEST, *COORDINATOR}, key=lambda s: s.name)]
    assert len(names) == len(set(names))


def test_a_worker_shows_its_report() -> None:
    worker = exporter.WorkerMetrics("w1")
    report = WorkerReport(shard=ShardCounts(points=12, appended=20), busy_share=0.5)
    worker.update(WorkerReport())
    assert "streammac_shard_points" not in scrape(worker), "no value yet"
    worker.update(report)
    worker.visited(0.004)
    worker.hopped(0.25)
    worker.epoch_done({"train": 1.0, "z_step": 2.0, "wait": 0.0})
    worker.epoch_done({"train": 1.0, "z_step": 0.5, "wait": 0.5})
    seen = scrape(worker)
    assert seen["streammac_shard_points"] == 12
    assert seen["streammac_worker_busy_ratio"] == 0.5
    assert seen["streammac_shard_appended_total"] == 20
    assert seen["streammac_worker_phase_seconds_total[train]"] == 2
    assert seen["streammac_worker_phase_seconds_total[wait]"] == 0.5
    assert seen["streammac_worker_epochs_total"] == 2
    assert seen["streammac_worker_epoch_seconds_count"] == 2
    assert seen["streammac_worker_epoch_seconds_sum"] == 5
    assert seen["process_resident_memory_bytes"] > 0
    assert seen["streammac_worker_visit_seconds_bucket[0.005]"] == 1
    assert seen["streammac_worker_hop_seconds_sum"] == 0.25
    assert seen["streammac_shard_refusing"] == 0
    assert "streammac_worker_frozen" not in seen, "no value yet"


def test_an_ingest_node_shows_its_report() -> None:
    node = exporter.IngestMetrics("i1")
    node.update(IngestReport(sent=5, acknowledged=3, dead_lettered=2, blocked_s=0.5))
    node.acknowledged(0.004)
    node.sessions({"w1": Session(100, 40)}, waiting_bytes=7)
    seen = scrape(node)
    assert seen["streammac_ingest_points_total[sent]"] == 5
    assert seen["streammac_ingest_points_total[dead_lettered]"] == 2
    assert seen["streammac_ingest_blocked_seconds_total"] == 0.5
    assert seen["streammac_ingest_ack_seconds_bucket[0.005]"] == 1
    assert seen["streammac_ingest_ack_seconds_bucket[0.002]"] == 0
    assert seen["streammac_ingest_window_bytes[w1]"] == 100
    assert seen["streammac_ingest_outstanding_bytes[w1]"] == 40
    assert seen["streammac_ingest_waiting_bytes"] == 7


def test_the_coordinator_shows_the_status() -> None:
    coordinator = exporter.CoordinatorMetrics()
    coordinator.update(convert(STATUS, ClusterStatus))
    log = EventLog()
    log.add("drift", "w1", "")
    coordinator.events(log.counts)
    coordinator.recovered(0.25)
    coordinator.epoch_done(Epoch())
    seen = scrape(coordinator)
    assert seen["streammac_view"] == 3
    assert seen["streammac_points[accepted]"] == 9
    assert seen["streammac_quality_ratio[itq]"] == 0.7
    assert seen["streammac_bit_entropy_least_ratio"] == 0.5
    assert seen["streammac_members[worker][alive]"] == 1
    assert seen["streammac_members[worker][left]"] == 1
    assert seen["streammac_worker_up[w1]"] == 1
    assert seen["streammac_worker_up[w2]"] == 0
    assert "streammac_worker_up[w3]" not in seen, "who left in good order is not missed"
    assert seen["streammac_worker_weight_ratio[w1]"] == 1.5
    assert seen["streammac_failures_total[crash]"] == 1
    assert seen["streammac_recovery_last_seconds"] == 0.25
    assert seen["streammac_recovery_seconds_count"] == 1
    assert seen["streammac_events_total[drift]"] == 1
    assert seen["streammac_events_total[lost]"] == 0, "what appears as 1 has not grown"
    assert seen["streammac_epoch_phase_seconds_total[z_step]"] == 0.5
    assert seen["streammac_epoch_seconds_sum"] == 0.75
    assert seen["streammac_model_published_timestamp_seconds"] > 1e9


def test_a_member_that_is_gone_leaves_no_series() -> None:
    coordinator = exporter.CoordinatorMetrics()
    coordinator.update(convert(STATUS, ClusterStatus))
    coordinator.update(convert(STATUS | {"workers": [], "quality": None}, ClusterStatus))
    seen = scrape(coordinator)
    assert "streammac_worker_up[w1]" not in seen
    assert seen["streammac_members[worker][alive]"] == 0
    assert seen["streammac_members[ingest][alive]"] == 1


def test_misuse_is_refused() -> None:
    worker = exporter.WorkerMetrics("w1")
    with pytest.raises(AssertionError, match="labels"):
        worker.set(metrics.PHASES, 1.0)
    with pytest.raises(AssertionError, match="counter"):
        worker.add(metrics.WORKER_EPOCHS, -1)


def test_closing_ends_the_endpoint() -> None:
    before = threading.active_count()
    url, close = serve_process(exporter.WorkerMetrics("w1"), Pulse(), Network())
    close()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_every_documented_kind_of_event_is_counted_from_the_start() -> None:
    page = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
    table = page.split("## `events`")[1].split("\n## ")[0].split("| kind |")[1]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    kinds = {kind for row in rows for kind in re.findall(r"`(\w+)`", row)}
    assert kinds
    assert kinds <= EventLog().counts.keys()


def test_what_is_not_known_any_more_is_not_a_number() -> None:
    process = exporter.CoordinatorMetrics()
    process.update(ClusterStatus())
    assert "streammac_objective" not in scrape(process)
    process.update(convert(STATUS, ClusterStatus))
    process.update(convert(STATUS | {"objective": None}, ClusterStatus))
    shown = scrape(process)
    assert math.isnan(shown["streammac_objective"])
    assert shown["streammac_mu"] == 0.25
