"""Every Prometheus series of every process: the one place that spells their names.

`streammac.telemetry.exporter` fills them; the dashboards in ``monitoring/`` and docs/metrics.md are made from the
tables `WORKER`, `INGEST` and `COORDINATOR`; the alert rules are checked against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Labels: TypeAlias = tuple[str, ...]


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
    "streammac_shard_quarantined_segments", "gauge", "copies of damaged files that are set aside"
)
HOPS = Series(
    "streammac_worker_hops_total",
    "counter",
    "visits, gradient steps, copies and Z steps done by the worker",
)
ITERATIONS = Series(
    "streammac_worker_iterations_total",
    "counter",
    "gradient steps of the worker's copies, with training.strategy = consensus",
)
NEIGHBOURS = Series(
    "streammac_worker_neighbours_total",
    "counter",
    "copies of others with which its own was averaged: by iterations, the mean number of neighbours",
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
HOP_SECONDS = Series(
    "streammac_worker_hop_seconds",
    "histogram",
    "time that a block of submodels spends at the worker: waiting for its turn and in training",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
)
ENTERING_ERROR = Series(
    "streammac_worker_entering_error",
    "gauge",
    "mean error of the points that entered last, before anything was trained on them: of codes the "
    "reconstruction error, of nets the loss",
)
DISK_FREE = Series("streammac_disk_free_bytes", "gauge", "bytes free where the shards are")
BUSY = Series("streammac_worker_busy_ratio", "gauge", "share of time spent computing, lately")
WORKER_EPOCHS = Series("streammac_worker_epochs_total", "counter", "epochs finished by the worker")
PHASES = Series(
    "streammac_worker_phase_seconds_total",
    "counter",
    "where the worker's time went: train (W step), z_step, communicate (sending and receiving "
    "submodels with nothing to compute), wait",
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
    REFUSING, QUARANTINED, WORKER_MALFORMED, WORKER_EPOCH, WORKER_VIEW, HOPS, ITERATIONS, NEIGHBOURS,
    HOLDING, FROZEN, BUSY, VISIT_SECONDS, HOP_SECONDS, ENTERING_ERROR, DISK_FREE, WORKER_EPOCHS, PHASES,
    WORKER_EPOCH_SECONDS, HANDSHAKE_FAILURES,
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
WAITING = Series(
    "streammac_ingest_waiting_bytes",
    "gauge",
    "bytes that were read and wait for credit; at ingest.window_bytes sources are held up",
)
BLOCKED = Series(
    "streammac_ingest_blocked_seconds_total", "counter", "time in which no worker had credit left"
)
FINISHED = Series("streammac_ingest_finished", "gauge", "1 once all sources are exhausted and safe")
FAILED_FEEDS = Series("streammac_ingest_failed_feeds", "gauge", "feeds that have failed")
LETTERS_LOST = Series(
    "streammac_ingest_dead_letters_lost_total", "counter", "dead letters that could not be kept"
)
RESENT = Series("streammac_ingest_resent_batches_total", "counter", "batches sent again")
WAITING_POINTS = Series(
    "streammac_ingest_waiting_points", "gauge", "points that wait for their targets"
)
LATE_TARGETS = Series(
    "streammac_ingest_late_targets_total",
    "counter",
    "targets that come after their points, by outcome: joined; expired: a point got none in time; refused: a point "
    "whose key another one had; late and unknown: targets of no use",
    ("outcome",),
)
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
    BUILD, INGESTED, UNACKNOWLEDGED, OUTSTANDING, WINDOW, WAITING, BLOCKED, FINISHED, RESENT,
    FAILED_FEEDS, LETTERS_LOST, WAITING_POINTS, LATE_TARGETS,
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
    "the accounting: sent = accepted + dead_lettered, accepted = stored + expired + away; waiting: for targets",
    ("state",),
)
EPOCH = Series("streammac_epoch", "gauge", "next epoch that is not known to be complete")
RESTING = Series(
    "streammac_resting", "gauge", "1 while there are no epochs because nothing is left to train"
)
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
FRESHNESS = Series(
    "streammac_freshness_seconds",
    "histogram",
    "from the acknowledgement of the oldest point that is new in a version to that version",
    buckets=(0.5, 1, 2, 3, 5, 7, 10, 15, 30, 60, 300),
)
UNPUBLISHED = Series(
    "streammac_unpublished_points_age_seconds",
    "gauge",
    "age of the oldest acknowledged point that no version was trained with, 0: there is none",
)
REFRESH = Series(
    "streammac_refresh_seconds", "gauge", "what training.refresh promises; missing without it"
)
OBJECTIVE = Series("streammac_objective", "gauge", "error of the nested model per point")
PENALISED = Series(
    "streammac_penalised_objective", "gauge", "error plus mu times constraint violation, per point"
)
VIOLATED = Series(
    "streammac_constraint_violation_ratio", "gauge", "share of coordinates that differ from h(x)"
)
LEFT_OUT = Series(
    "streammac_points_left_out", "gauge", "stored points too far from the others to be trained on"
)
NAMED = Series(
    "streammac_training_mean",
    "gauge",
    "further sums of training that the model's family tells of, per point",
    ("name",),
)
PREDICTED = Series(
    "streammac_prequential_points_total",
    "counter",
    "new points that were predicted before anything was trained on them",
)
PREQUENTIAL = Series(
    "streammac_prequential_mean",
    "gauge",
    "how the models did on those, by the name that the family gives it (error, loss, accuracy, squared_error); span: "
    "overall, or window, of the newest ones",
    ("name", "span"),
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
EXAMINED = Series(
    "streammac_model_examined_timestamp_seconds",
    "gauge",
    "when an epoch was published last, or found to have the hash functions of a version",
)
QUALITY = Series(
    "streammac_quality_ratio",
    "gauge",
    "leading measure on held-out queries: the model, the initial one, and the family's baselines",
    ("method",),
)
MEASURES = Series(
    "streammac_quality_measure_ratio",
    "gauge",
    "each measure on held-out queries, mean over these",
    ("measure", "method"),
)
MARGINS = Series(
    "streammac_quality_margin_ratio",
    "gauge",
    "half the width of the 95 % confidence interval of streammac_quality_measure_ratio",
    ("measure", "method"),
)
ENTROPY = Series(
    "streammac_bit_entropy_mean_ratio",
    "gauge",
    "entropy of a bit of the codes of stored points, mean over bits; 1: on for half of the points",
)
LEAST_ENTROPY = Series(
    "streammac_bit_entropy_least_ratio",
    "gauge",
    "entropy of the least balanced bit; 0: it is constant",
)
CORRELATION = Series(
    "streammac_bit_correlation_mean_ratio",
    "gauge",
    "correlation of two bits of the codes, without its sign, mean over pairs",
)
LARGEST_CORRELATION = Series(
    "streammac_bit_correlation_largest_ratio",
    "gauge",
    "largest correlation of two bits; 1: they say the same",
)
PROPERTIES = {
    "entropy": ENTROPY,
    "least_entropy": LEAST_ENTROPY,
    "correlation": CORRELATION,
    "largest_correlation": LARGEST_CORRELATION,
}
"""What `streammac.wire.status.PROPERTIES` are exported as."""
DRIFTS = Series(
    "streammac_drift_events_total", "counter", "drifts that workers with most of the points saw"
)

COORDINATOR = (
    BUILD, VIEW, MEMBERS, WORKER_UP, WEIGHT, FAILURES, RECOVERY_LAST, RECOVERY_SECONDS, EVENTS,
    COORDINATOR_MALFORMED, POINTS, EPOCH, RESTING, EPOCHS, EPOCH_PHASES, EPOCH_SECONDS, FRESHNESS, UNPUBLISHED,
    REFRESH, OBJECTIVE, PENALISED, VIOLATED, LEFT_OUT, NAMED, PREDICTED, PREQUENTIAL, MU, IMBALANCE, MODEL_VERSION,
    PROMOTED, PUBLISHED, EXAMINED, QUALITY, MEASURES, MARGINS, *PROPERTIES.values(), DRIFTS, HANDSHAKE_FAILURES,
)  # fmt: skip
"""All series of the coordinator."""
