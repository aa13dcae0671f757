"""How a process shows its series to Prometheus: values are set as things happen, and read at scrape time.

A process makes one of `WorkerMetrics`, `IngestMetrics` and `CoordinatorMetrics`, hands it the reports
that it sends in heartbeats anyway, and serves its ``application``. Nothing is computed between scrapes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, make_asgi_app
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp

from streammac.telemetry import metrics
from streammac.telemetry.metrics import Labels, Series
from streammac.version import __version__
from streammac.wire.reports import IngestReport, WorkerReport
from streammac.wire.status import ClusterStatus, Estimate, Prequential, Quality


class ProcessMetrics(Collector):
    """The registry and endpoint of one process: a value per series and labels, read at scrape time.

    Parameters
    ----------
    series : tuple of Series
        What this process may export; one without a value yet is left out of a scrape.
    """

    def __init__(self, series: tuple[Series, ...]) -> None:
        self.series = series
        self.registry = CollectorRegistry()
        self._values: dict[Series, dict[Labels, float]] = {
            s: {} for s in series if s.kind != "histogram"
        }
        self._histograms = {
            s: Histogram(s.name, s.help, buckets=s.buckets, registry=self.registry)
            for s in series
            if s.kind == "histogram"
        }
        self.set(metrics.BUILD, 1, __version__)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def set(self, series: Series, value: float, *labels: str) -> None:
        """Set a gauge, or a counter whose count the process keeps itself."""
        assert len(labels) == len(series.labels), f"{series.name} has the labels {series.labels}"
        self._values[series][labels] = float(value)

    def add(self, series: Series, amount: float, *labels: str) -> None:
        """Let a counter grow."""
        assert amount >= 0, f"{series.name} is a counter"
        self.set(series, self._values[series].get(labels, 0.0) + amount, *labels)

    def replace(self, series: Series, values: Mapping[Labels, float]) -> None:
        """Set all of a series at once: labels that are not there any more vanish."""
        self._values[series] = {labels: float(value) for labels, value in values.items()}

    def handshakes(self, failures: Mapping[str, int]) -> None:
        """Take the failed handshakes so far, by reason."""
        self.replace(
            metrics.HANDSHAKE_FAILURES, {(reason,): count for reason, count in failures.items()}
        )

    def observe(self, series: Series, value: float) -> None:
        """Put a value into a histogram."""
        self._histograms[series].observe(value)

    def collect(self) -> Iterator[Metric]:
        """Return what a scrape shows (called by the registry, in the endpoint's thread)."""
        for series, values in self._values.items():
            family = GaugeMetricFamily if series.kind == "gauge" else CounterMetricFamily
            metric = family(series.name, series.help, labels=series.labels)
            for labels, value in sorted(values.copy().items()):
                metric.add_metric(labels, value)
            if metric.samples:
                yield metric

    def describe(self) -> Iterator[Metric]:
        """Return nothing: names are checked by the tables, not by a first scrape."""
        return iter(())

    def application(self) -> ASGIApp:
        """Return what answers scrapes."""
        app: ASGIApp = make_asgi_app(self.registry)
        return app


class WorkerMetrics(ProcessMetrics):
    """Series of a worker, from its reports."""

    def __init__(self, name: str) -> None:
        super().__init__(metrics.WORKER)
        self.name = name
        self.set(metrics.REFUSING, 0)  # nothing wrong is a value, too: alerts compare with it
        self.set(metrics.QUARANTINED, 0)

    def update(self, report: WorkerReport) -> None:
        """Take the report of a heartbeat; what is not known yet is not shown."""
        ring, shard = report.ring, report.shard
        self.set(metrics.WORKER_EPOCH, ring.epoch)
        self.set(metrics.WORKER_VIEW, ring.view)
        self.set(metrics.HOLDING, len(ring.holding))
        self.set(metrics.BUSY, report.busy_share)
        self.set(metrics.WORKER_MALFORMED, report.malformed)
        if ring.ready:
            self.set(metrics.HOPS, ring.hops)
            self.set(metrics.FROZEN, ring.frozen)
            self.set(metrics.ITERATIONS, ring.iterations)
            self.set(metrics.NEIGHBOURS, ring.neighbours)
        if shard is not None:
            self.set(metrics.SHARD_POINTS, shard.points)
            self.set(metrics.SHARD_BYTES, shard.bytes)
            self.set(metrics.SHARD_HELD_OUT, shard.held_out)
            self.set(metrics.APPENDED, shard.appended)
            self.set(metrics.EXPIRED, shard.expired)
            self.set(metrics.DUPLICATES, shard.duplicates)
            self.set(metrics.REFUSED, shard.refused)
            self.set(metrics.REFUSING, shard.refusing)
            self.set(metrics.QUARANTINED, shard.quarantined)

    def visited(self, seconds: float) -> None:
        """Take the duration of a visit."""
        self.observe(metrics.VISIT_SECONDS, seconds)

    def hopped(self, seconds: float) -> None:
        """Take the time that a block has spent here, from its arrival to its departure."""
        self.observe(metrics.HOP_SECONDS, seconds)

    def epoch_done(self, seconds: Mapping[str, float]) -> None:
        """Take a finished epoch: where its time went, by phase."""
        for phase, value in seconds.items():
            self.add(metrics.PHASES, value, phase)
        self.add(metrics.WORKER_EPOCHS, 1)
        self.observe(metrics.WORKER_EPOCH_SECONDS, sum(seconds.values()))


class Session(Protocol):
    """What is exported of an ingest node's session with a worker."""

    @property
    def outstanding_bytes(self) -> int:
        """Return the bytes under way."""
        ...

    @property
    def window_bytes(self) -> int:
        """Return the bytes that may be under way."""
        ...


class IngestMetrics(ProcessMetrics):
    """Series of an ingest node, from its reports."""

    def __init__(self, name: str) -> None:
        super().__init__(metrics.INGEST)
        self.name = name

    def update(self, report: IngestReport) -> None:
        """Take the report of a heartbeat."""
        self.set(metrics.UNACKNOWLEDGED, report.unacknowledged)
        self.set(metrics.BLOCKED, report.blocked_s)
        self.set(metrics.FINISHED, report.finished)
        self.set(metrics.FAILED_FEEDS, len(report.failed))
        self.set(metrics.RESENT, report.resent)
        self.set(metrics.INGEST_MALFORMED, report.malformed)
        self.set(metrics.INGESTED, report.sent, "sent")
        self.set(metrics.INGESTED, report.acknowledged, "acknowledged")
        self.set(metrics.INGESTED, report.duplicate, "duplicate")
        self.set(metrics.INGESTED, report.dead_lettered, "dead_lettered")
        late = asdict(report.late)
        self.set(metrics.WAITING_POINTS, late.pop("waiting"))
        self.replace(metrics.LATE_TARGETS, {(outcome,): count for outcome, count in late.items()})

    def sessions(self, sessions: Mapping[str, Session], waiting_bytes: int) -> None:
        """Take the credit of each worker that there is, by its name, and what waits for some."""
        self.set(metrics.WAITING, waiting_bytes)
        self.replace(
            metrics.OUTSTANDING, {(name,): s.outstanding_bytes for name, s in sessions.items()}
        )
        self.replace(metrics.WINDOW, {(name,): s.window_bytes for name, s in sessions.items()})

    def letters_lost(self, count: int) -> None:
        """Take how many dead letters could not be kept."""
        self.set(metrics.LETTERS_LOST, count)

    def acknowledged(self, after_s: float) -> None:
        """Take the time that the acknowledgement of a batch took."""
        self.observe(metrics.ACK_SECONDS, after_s)


class FinishedEpoch(Protocol):
    """What is exported of an epoch's result (`streammac.coordinator.epoch_reports.EpochResult`)."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Return seconds by phase."""
        ...


class CoordinatorMetrics(ProcessMetrics):
    """Series of the coordinator, from the cluster's status."""

    STATES = ("alive", "draining", "lost", "left")

    def __init__(self) -> None:
        super().__init__(metrics.COORDINATOR)
        self._version = 0

    def update(self, status: ClusterStatus, malformed: int = 0) -> None:
        """Take the cluster's status, and how many messages did not decode."""
        quality = status.quality
        values = {
            metrics.VIEW: status.view,
            metrics.EPOCH: status.epoch,
            metrics.UNPUBLISHED: status.unpublished_s,
            metrics.REFRESH: status.refresh_s,
            metrics.RESTING: status.resting is not None,
            metrics.OBJECTIVE: status.objective,
            metrics.PENALISED: status.penalised,
            metrics.VIOLATED: status.violated,
            metrics.LEFT_OUT: status.left_out,
            metrics.MU: status.mu,
            metrics.IMBALANCE: status.imbalance,
            metrics.MODEL_VERSION: status.model_version,
            metrics.PROMOTED: status.promoted,
            metrics.EXAMINED: status.examined_s or None,
            metrics.DRIFTS: status.drift_events,
            metrics.COORDINATOR_MALFORMED: malformed,
            metrics.RECOVERY_LAST: status.recovery.last_s if status.recovery.count else None,
            **{series: getattr(quality, n, None) for n, series in metrics.PROPERTIES.items()},
        }
        for series, value in values.items():
            if value is not None:
                self.set(series, value)
            elif self._values[series]:
                self.set(series, math.nan)  # what it was is not what it is
        named: dict[Labels, float] = {
            (name,): value for name, value in status.named.items() if value is not None
        }
        self.replace(metrics.NAMED, named)
        self._update_prequential(status.prequential)
        self.replace(metrics.POINTS, _by_name(status.points))
        self.replace(metrics.FAILURES, _by_name(status.failures))
        members: dict[Labels, float] = {}
        for kind, processes in (("worker", status.workers), ("ingest", status.ingest)):
            for state in self.STATES:
                members[kind, state] = sum(process.state == state for process in processes)
        self.replace(metrics.MEMBERS, members)
        # who left in good order is not missed
        there = [worker for worker in status.workers if worker.state != "left"]
        self.replace(metrics.WORKER_UP, {(worker.name,): not worker.is_lost for worker in there})
        self.replace(
            metrics.WEIGHT, {(w.name,): w.weight for w in status.workers if w.state == "alive"}
        )
        self._update_quality(quality)
        if status.model_version != self._version:
            self._version = status.model_version
            self.set(metrics.PUBLISHED, time.time())

    def _update_prequential(self, told: Prequential | None) -> None:
        if told is None:
            return
        self.set(metrics.PREDICTED, told.points)
        spans = {"overall": told.overall, "window": told.window}
        found: dict[Labels, float] = {
            (name, span): value for span, means in spans.items() for name, value in means.items()
        }
        self.replace(metrics.PREQUENTIAL, found)

    def _update_quality(self, quality: Quality | None) -> None:
        leading: dict[Labels, float] = {
            (method,): value for method, value in (quality.methods if quality else {}).items()
        }
        self.replace(metrics.QUALITY, leading)
        measures = quality.measures if quality else {}
        found: dict[Labels, Estimate] = {
            (m, name): e for m, of in measures.items() for name, e in of.items()
        }
        self.replace(metrics.MEASURES, {labels: e.value for labels, e in found.items()})
        self.replace(metrics.MARGINS, {labels: e.margin for labels, e in found.items()})

    def events(self, counts: Mapping[str, int]) -> None:
        """Take how often each kind of event has happened.

        All kinds from the start: what appears as 1 without having been 0 has not grown, for Prometheus.
        """
        self.replace(metrics.EVENTS, {(kind,): count for kind, count in counts.items()})

    def recovered(self, seconds: float) -> None:
        """Take a recovery: how long the ring stood still."""
        self.observe(metrics.RECOVERY_SECONDS, seconds)

    def published(self, waited_s: float) -> None:
        """Take how long the oldest of the points had waited that are new in a version."""
        self.observe(metrics.FRESHNESS, waited_s)

    def epoch_done(self, result: FinishedEpoch) -> None:
        """Take a finished epoch of the whole ring."""
        for phase, value in result.seconds.items():
            self.add(metrics.EPOCH_PHASES, value, phase)
        self.add(metrics.EPOCHS, 1)
        self.observe(metrics.EPOCH_SECONDS, sum(result.seconds.values()))


def _by_name(counts: Struct) -> dict[Labels, float]:
    return {(name,): count for name, count in asdict(counts).items()}
