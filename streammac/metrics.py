"""Every Prometheus series of every process, and how a process exports its own.

A process makes one of `WorkerMetrics`, `IngestMetrics` and `CoordinatorMetrics`, hands it the facts
that it sends in heartbeats anyway, and calls ``serve``. Dashboards and alert rules take names from
the tables `WORKER`, `INGEST` and `COORDINATOR`: nothing else in the project spells a series' name.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.exposition import MetricsHandler
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streammac import __version__

POLL_S = 0.1
"""How often the endpoint looks whether it is to close."""
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One time series as Prometheus sees it.

    Attributes
    ----------
    name : str
        With prefix and base unit; counters end in ``_total``.
    kind : {"gauge", "counter", "histogram"}
        A counter never falls while the process lives.
    help : str
        What it means, for the page of metrics and Prometheus' own help.
    labels : tuple of str
        Names of its labels; each has few values.
    buckets : tuple of float
        Upper bounds, histograms only, at most 12.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()


BUILD = Series("streammac_build_info", "gauge", "always 1; the running version", ("version",))

HANDSHAKE_FAILURES = Series(
    "streammac_handshake_failures_total",
    "counter",
    "connections that were refused: unknown_key, wrong_cluster_key, no_key, allow_list, protocol, "
    "closed",
    ("reason",),
)

# -- workers ---------------------------------------------------------------------------------------

SHARD_POINTS = Series("streammac_shard_points", "gauge", "points stored, held-out ones included")
SHARD_BYTES = Series("streammac_shard_bytes", "gauge", "bytes of the shards on disk")
SHARD_HELD_OUT = Series(
    "streammac_shard_held_out_points", "gauge", "stored points never trained on"
)
APPENDED = Series(
    "streammac_shard_appended_total", "counter", "points ever stored, over restarts too"
)
EXPIRED = Series("streammac_shard_expired_total", "counter", "points dropped by retention")
DUPLICATES = Series(
    "streammac_shard_duplicate_total", "counter", "points that were sent again and dropped"
)
REFUSED = Series(
    "streammac_shard_refused_batches_total", "counter", "batches that could not be stored"
)
WORKER_MALFORMED = Series(
    "streammac_worker_malformed_total", "counter", "messages that did not decode"
)
WORKER_EPOCH = Series("streammac_worker_epoch", "gauge", "epoch that the worker is at")
WORKER_VIEW = Series("streammac_worker_view", "gauge", "number of the view that the worker follows")
REFUSING = Series(
    "streammac_shard_refusing", "gauge", "1 while the worker takes no points: disk full or failing"
)
QUARANTINED = Series(
    "streammac_shard_quarantined_segments", "gauge", "damaged segments that were set aside"
)
HOPS = Series(
    "streammac_worker_hops_total", "counter", "visits, copies and Z steps done by the worker"
)
HOLDING = Series(
    "streammac_worker_blocks", "gauge", "blocks of submodels that wait for or are in training here"
)
FROZEN = Series(
    "streammac_worker_frozen", "gauge", "1 while the worker waits for the ring to be put together"
)
VISIT_SECONDS = Series(
    "streammac_worker_visit_seconds",
    "histogram",
    "duration of a visit: one block of submodels trained on the whole shard or its budget",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
)
BUSY = Series("streammac_worker_busy_ratio", "gauge", "share of time spent computing, lately")
WORKER_EPOCHS = Series("streammac_worker_epochs_total", "counter", "epochs finished by the worker")
PHASES = Series(
    "streammac_worker_phase_seconds_total",
    "counter",
    "where the worker's time went: train (W step), z_step, wait",
    ("phase",),
)
EPOCH_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
WORKER_EPOCH_SECONDS = Series(
    "streammac_worker_epoch_seconds",
    "histogram",
    "duration of an epoch as the worker saw it",
    buckets=EPOCH_BUCKETS,
)

WORKER = (
    BUILD, SHARD_POINTS, SHARD_BYTES, SHARD_HELD_OUT, APPENDED, EXPIRED, DUPLICATES, REFUSED,
    REFUSING, QUARANTINED, WORKER_MALFORMED, WORKER_EPOCH, WORKER_VIEW, HOPS, HOLDING, FROZEN, BUSY,
    VISIT_SECONDS, WORKER_EPOCHS, PHASES, WORKER_EPOCH_SECONDS, HANDSHAKE_FAILURES,
)  # fmt: skip
"""All series of a worker."""

# -- ingest nodes ----------------------------------------------------------------------------------

INGESTED = Series(
    "streammac_ingest_points_total",
    "counter",
    "points by outcome: sent (read and settled), acknowledged, duplicate, dead_lettered",
    ("outcome",),
)
UNACKNOWLEDGED = Series(
    "streammac_ingest_unacknowledged_points", "gauge", "points under way to workers"
)
BLOCKED = Series(
    "streammac_ingest_blocked_seconds_total", "counter", "time in which no worker had credit left"
)
RATE = Series("streammac_ingest_rate", "gauge", "points acknowledged per second, lately")
FINISHED = Series("streammac_ingest_finished", "gauge", "1 once all sources are exhausted and safe")
RESENT = Series("streammac_ingest_resent_batches_total", "counter", "batches sent again")
INGEST_MALFORMED = Series(
    "streammac_ingest_malformed_total", "counter", "messages that did not decode"
)
ACK_SECONDS = Series(
    "streammac_ingest_ack_seconds",
    "histogram",
    "time from sending a batch to its acknowledgement",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)

OUTSTANDING = Series(
    "streammac_ingest_outstanding_bytes", "gauge", "bytes under way to a worker", ("worker",)
)
WINDOW = Series(
    "streammac_ingest_window_bytes",
    "gauge",
    "bytes that may be under way to a worker: its credit is what is left of it",
    ("worker",),
)

INGEST = (
    BUILD, INGESTED, UNACKNOWLEDGED, OUTSTANDING, WINDOW, BLOCKED, RATE, FINISHED, RESENT,
    INGEST_MALFORMED, ACK_SECONDS, HANDSHAKE_FAILURES,
)  # fmt: skip
"""All series of an ingest node."""

# -- the coordinator -------------------------------------------------------------------------------

VIEW = Series("streammac_view", "gauge", "number of the cluster view; grows with each change")
MEMBERS = Series(
    "streammac_members",
    "gauge",
    "worker and ingest processes by state: alive, draining, lost, left",
    ("process", "state"),
)
WORKER_UP = Series(
    "streammac_worker_up",
    "gauge",
    "1 while the worker gives signs of life, 0 while it is lost; none once it left in good order",
    ("worker",),
)
WEIGHT = Series(
    "streammac_worker_weight_ratio", "gauge", "share of the feed over an equal share", ("worker",)
)
FAILURES = Series(
    "streammac_failures_total",
    "counter",
    "processes lost (crash, hang), taken for lost and back (fenced), not reached by others "
    "(unreachable), and left in good order (drained)",
    ("reason",),
)
RECOVERY_LAST = Series(
    "streammac_recovery_last_seconds", "gauge", "the last recovery: death to the next visit done"
)
RECOVERY_SECONDS = Series(
    "streammac_recovery_seconds",
    "histogram",
    "duration of recoveries: from a death to the first visit that the others finished after it",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
EVENTS = Series(
    "streammac_events_total", "counter", "events by kind, see docs/status.md", ("kind",)
)
COORDINATOR_MALFORMED = Series(
    "streammac_coordinator_malformed_total", "counter", "messages that did not decode"
)
POINTS = Series(
    "streammac_points",
    "gauge",
    "the accounting: sent = accepted + dead_lettered, accepted = stored + expired + away",
    ("state",),
)
EPOCH = Series("streammac_epoch", "gauge", "next epoch that is not known to be complete")
EPOCHS = Series("streammac_epochs_total", "counter", "epochs finished by the whole ring")
EPOCH_PHASES = Series(
    "streammac_epoch_phase_seconds_total",
    "counter",
    "where epochs' time went, mean over workers",
    ("phase",),
)
EPOCH_SECONDS = Series(
    "streammac_epoch_seconds",
    "histogram",
    "duration of an epoch, mean over workers",
    buckets=EPOCH_BUCKETS,
)
OBJECTIVE = Series("streammac_objective", "gauge", "error of the nested model per point")
PENALISED = Series(
    "streammac_penalised_objective", "gauge", "error plus mu times constraint violation, per point"
)
VIOLATED = Series(
    "streammac_constraint_violation_ratio", "gauge", "share of coordinates that differ from h(x)"
)
MU = Series("streammac_mu", "gauge", "penalty of the continuation")
IMBALANCE = Series(
    "streammac_load_imbalance_ratio", "gauge", "largest over mean busy time of an epoch"
)
MODEL_VERSION = Series("streammac_model_version", "gauge", "newest model version")
PROMOTED = Series("streammac_model_promoted_version", "gauge", "model version that users get")
PUBLISHED = Series(
    "streammac_model_published_timestamp_seconds", "gauge", "when the newest version was published"
)
QUALITY = Series(
    "streammac_quality_ratio",
    "gauge",
    "share of true neighbours found on held-out points: model and the baselines itq, pca, random",
    ("method",),
)
DRIFTS = Series("streammac_drift_events_total", "counter", "drifts that a majority of workers saw")

COORDINATOR = (
    BUILD, VIEW, MEMBERS, WORKER_UP, WEIGHT, FAILURES, RECOVERY_LAST, RECOVERY_SECONDS, EVENTS,
    COORDINATOR_MALFORMED, POINTS, EPOCH, EPOCHS, EPOCH_PHASES, EPOCH_SECONDS, OBJECTIVE, PENALISED,
    VIOLATED, MU, IMBALANCE, MODEL_VERSION, PROMOTED, PUBLISHED, QUALITY, DRIFTS,
    HANDSHAKE_FAILURES,
)  # fmt: skip
"""All series of the coordinator."""

# -- exporting -------------------------------------------------------------------------------------


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
        self.set(BUILD, 1, __version__)
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
        self.replace(HANDSHAKE_FAILURES, {(reason,): count for reason, count in failures.items()})

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

    def serve(self, host: str) -> tuple[str, Callable[[], None]]:
        """Answer scrapes on any free port of this interface; return the URL and what closes it."""
        server = socketserver.ThreadingTCPServer(
            (host, 0), MetricsHandler.factory(self.registry), bind_and_activate=True
        )
        server.daemon_threads = True
        thread = threading.Thread(
            target=server.serve_forever, args=(POLL_S,), name="metrics", daemon=True
        )
        thread.start()

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return f"http://{host}:{server.server_address[1]}/metrics", close


class WorkerMetrics(ProcessMetrics):
    """Series of a worker, from the facts of its heartbeats."""

    FACTS: Mapping[str, Series] = {
        "points": SHARD_POINTS,
        "bytes": SHARD_BYTES,
        "held_out": SHARD_HELD_OUT,
        "appended": APPENDED,
        "expired": EXPIRED,
        "duplicates": DUPLICATES,
        "refused": REFUSED,
        "refusing": REFUSING,
        "quarantined": QUARANTINED,
        "progress": HOPS,
        "holding": HOLDING,
        "frozen": FROZEN,
        "malformed": WORKER_MALFORMED,
        "epoch": WORKER_EPOCH,
        "view": WORKER_VIEW,
        "busy_share": BUSY,
    }

    def __init__(self, name: str) -> None:
        super().__init__(WORKER)
        self.name = name
        self.set(REFUSING, 0)  # nothing wrong is a value, too: alerts compare with it
        self.set(QUARANTINED, 0)

    def update(self, facts: Mapping[str, float]) -> None:
        """Take the facts of a heartbeat."""
        for fact, series in self.FACTS.items():
            if fact in facts:
                self.set(series, facts[fact])

    def visited(self, seconds: float) -> None:
        """Take the duration of a visit."""
        self.observe(VISIT_SECONDS, seconds)

    def epoch_done(self, train_s: float, z_step_s: float, wait_s: float) -> None:
        """Take a finished epoch and where its time went."""
        seconds = {"train": train_s, "z_step": z_step_s, "wait": max(0.0, wait_s)}
        for phase, value in seconds.items():
            self.add(PHASES, value, phase)
        self.add(WORKER_EPOCHS, 1)
        self.observe(WORKER_EPOCH_SECONDS, sum(seconds.values()))


class Lane(Protocol):
    """What is exported of the way from an ingest node to a worker."""

    @property
    def outstanding_bytes(self) -> int:
        """Return the bytes under way."""
        ...

    @property
    def window_bytes(self) -> int:
        """Return the bytes that may be under way."""
        ...


class IngestMetrics(ProcessMetrics):
    """Series of an ingest node, from the facts of its heartbeats."""

    FACTS: Mapping[str, Series] = {
        "unacknowledged": UNACKNOWLEDGED,
        "blocked_s": BLOCKED,
        "rate": RATE,
        "finished": FINISHED,
        "resent": RESENT,
        "malformed": INGEST_MALFORMED,
    }
    OUTCOMES = ("sent", "acknowledged", "duplicate", "dead_lettered")

    def __init__(self, name: str) -> None:
        super().__init__(INGEST)
        self.name = name

    def update(self, facts: Mapping[str, float]) -> None:
        """Take the facts of a heartbeat."""
        for fact, series in self.FACTS.items():
            if fact in facts:
                self.set(series, facts[fact])
        for outcome in self.OUTCOMES:
            if outcome in facts:
                self.set(INGESTED, facts[outcome], outcome)

    def lanes(self, lanes: Mapping[str, Lane]) -> None:
        """Take the credit of each worker that there is, by its name."""
        self.replace(OUTSTANDING, {(name,): lane.outstanding_bytes for name, lane in lanes.items()})
        self.replace(WINDOW, {(name,): lane.window_bytes for name, lane in lanes.items()})

    def acknowledged(self, after_s: float) -> None:
        """Take the time that the acknowledgement of a batch took."""
        self.observe(ACK_SECONDS, after_s)


class FinishedEpoch(Protocol):
    """What is exported of an epoch's result (`streammac.ring.epochs.EpochResult`)."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Return seconds by phase."""
        ...


class Happened(Protocol):
    """What is exported of an event (`streammac.ring.events.Event`)."""

    @property
    def kind(self) -> str:
        """Return the kind of event."""
        ...

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        ...


class CoordinatorMetrics(ProcessMetrics):
    """Series of the coordinator, from the cluster's status (docs/status.md)."""

    STATUS: Mapping[str, Series] = {
        "view": VIEW,
        "epoch": EPOCH,
        "objective": OBJECTIVE,
        "penalised": PENALISED,
        "violated": VIOLATED,
        "mu": MU,
        "imbalance": IMBALANCE,
        "model_version": MODEL_VERSION,
        "promoted": PROMOTED,
        "drift_events": DRIFTS,
        "malformed": COORDINATOR_MALFORMED,
    }
    METHODS = ("model", "itq", "pca", "random")
    STATES = ("alive", "draining", "lost", "left")

    def __init__(self) -> None:
        super().__init__(COORDINATOR)
        self._version = 0

    def update(self, status: Mapping[str, Any]) -> None:
        """Take the cluster's status."""
        for fact, series in self.STATUS.items():
            if status.get(fact) is not None:
                self.set(series, status[fact])
        self.replace(POINTS, {(state,): count for state, count in status["points"].items()})
        self.replace(FAILURES, {(reason,): n for reason, n in status["failures"].items()})
        if status["recovery"]["count"]:
            self.set(RECOVERY_LAST, status["recovery"]["last_s"])
        members: dict[Labels, float] = {}
        for kind, key in (("worker", "workers"), ("ingest", "ingest")):
            for state in self.STATES:
                members[kind, state] = sum(process["state"] == state for process in status[key])
        self.replace(MEMBERS, members)
        # who left in good order is not missed
        there = [worker for worker in status["workers"] if worker["state"] != "left"]
        self.replace(WORKER_UP, {(w["name"],): w["state"] != "lost" for w in there})
        self.replace(WEIGHT, {(w["name"],): w["weight"] for w in there if w["state"] == "alive"})
        quality = status.get("quality") or {}
        self.replace(QUALITY, {(m,): quality[m] for m in self.METHODS if m in quality})
        if status.get("model_version", 0) != self._version:
            self._version = status["model_version"]
            self.set(PUBLISHED, time.time())

    def happened(self, event: Happened) -> None:
        """Take an event as it happens."""
        self.add(EVENTS, 1, event.kind)
        if event.kind == "recovered":
            self.observe(RECOVERY_SECONDS, event.seconds)

    def epoch_done(self, result: FinishedEpoch) -> None:
        """Take a finished epoch of the whole ring."""
        for phase, value in result.seconds.items():
            self.add(EPOCH_PHASES, value, phase)
        self.add(EPOCHS, 1)
        self.observe(EPOCH_SECONDS, sum(result.seconds.values()))
