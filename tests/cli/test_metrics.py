import re
import threading
import urllib.request
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streammac import metrics
from streammac.metrics import COORDINATOR, INGEST, WORKER

STATUS = {
    "view": 3,
    "epoch": 7,
    "objective": 1.5,
    "mu": 0.25,
    "model_version": 6,
    "promoted": 5,
    "drift_events": 1,
    "points": {"sent": 10, "accepted": 9, "dead_lettered": 1, "stored": 9, "expired": 0},
    "workers": [{"name": "w1", "state": "alive"}, {"name": "w2", "state": "silent"}],
    "ingest": [{"name": "i1", "state": "alive"}],
    "quality": {"metric": "share", "model": 0.8, "itq": 0.7, "pca": 0.5, "random": 0.3},
}


@dataclass
class Epoch:
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.25, "z_step": 0.5})


def scrape(process: metrics.ProcessMetrics) -> dict[str, float]:
    url, close = process.serve("127.0.0.1")
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
    finally:
        close()
    return {
        sample.name + "".join(f"[{v}]" for _, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("series", {*WORKER, *INGEST, *COORDINATOR}, ids=lambda s: s.name)
def test_names_follow_the_rules(series: metrics.Series) -> None:
    assert re.fullmatch(r"streammac_[a-z][a-z_]*[a-z]", series.name)
    assert series.name.endswith("_total") == (series.kind == "counter")
    assert series.help
    assert bool(series.buckets) == (series.kind == "histogram")
    assert len(series.buckets) <= 12
    assert list(series.buckets) == sorted(series.buckets)


def test_no_name_means_two_things() -> None:
    names = [s.name for s in {*WORKER, *INGEST, *COORDINATOR}]
    assert len(names) == len(set(names))


def test_a_worker_shows_its_facts() -> None:
    worker = metrics.WorkerMetrics("w1")
    worker.update({"points": 12, "busy_share": 0.5, "appended": 20, "unknown": 1})
    worker.epoch_done(1.0, 2.0, -0.1)
    worker.epoch_done(1.0, 0.5, 0.5)
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
    assert "streammac_shard_bytes" not in seen  # no value yet


def test_an_ingest_node_shows_its_facts() -> None:
    node = metrics.IngestMetrics("i1")
    node.update({"sent": 5, "acknowledged": 3, "dead_lettered": 2, "blocked_s": 0.5})
    node.acknowledged(0.004)
    seen = scrape(node)
    assert seen["streammac_ingest_points_total[sent]"] == 5
    assert seen["streammac_ingest_points_total[dead_lettered]"] == 2
    assert seen["streammac_ingest_blocked_seconds_total"] == 0.5
    assert seen["streammac_ingest_ack_seconds_bucket[0.005]"] == 1
    assert seen["streammac_ingest_ack_seconds_bucket[0.002]"] == 0


def test_the_coordinator_shows_the_status() -> None:
    coordinator = metrics.CoordinatorMetrics()
    coordinator.update(STATUS)
    coordinator.epoch_done(Epoch())
    seen = scrape(coordinator)
    assert seen["streammac_view"] == 3
    assert seen["streammac_points[accepted]"] == 9
    assert seen["streammac_quality_ratio[itq]"] == 0.7
    assert seen["streammac_members[worker][alive]"] == 1
    assert seen["streammac_worker_up[w2]"] == 0
    assert seen["streammac_epoch_phase_seconds_total[z_step]"] == 0.5
    assert seen["streammac_epoch_seconds_sum"] == 0.75
    assert seen["streammac_model_published_timestamp_seconds"] > 1e9


def test_a_member_that_is_gone_leaves_no_series() -> None:
    coordinator = metrics.CoordinatorMetrics()
    coordinator.update(STATUS)
    coordinator.update(STATUS | {"workers": [], "quality": None})
    seen = scrape(coordinator)
    assert "streammac_worker_up[w1]" not in seen
    assert "streammac_members[worker][alive]" not in seen
    assert seen["streammac_members[ingest][alive]"] == 1


def test_misuse_is_refused() -> None:
    worker = metrics.WorkerMetrics("w1")
    with pytest.raises(AssertionError, match="labels"):
        worker.set(metrics.PHASES, 1.0)
    with pytest.raises(AssertionError, match="counter"):
        worker.add(metrics.WORKER_EPOCHS, -1)


def test_closing_ends_the_endpoint() -> None:
    before = threading.active_count()
    url, close = metrics.WorkerMetrics("w1").serve("127.0.0.1")
    close()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)
