"""What the coordinator's state machine knows of the cluster's status (docs/status.md)."""

from __future__ import annotations

from typing import Any

from msgspec import convert
from msgspec.structs import asdict, replace

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.membership import Peer
from streammac.models.base import SUMS
from streammac.settings.schema import duration_s
from streammac.wire.status import (
    ClusterStatus,
    FailureCounts,
    IngestStatus,
    PointCounts,
    Recovery,
    WorkerStatus,
)


def points(coordinator: Coordinator) -> PointCounts:
    """Return the accounting, see `streammac.coordinator.accounts.Accounts.points`."""
    workers = coordinator.membership.of("worker", alive=False)
    counts = coordinator.accounts.points({peer.name for peer in workers if not peer.away})
    nodes = coordinator.membership.of("ingest", alive=False)
    return replace(counts, waiting=sum(peer.ingest.late.waiting for peer in nodes))


def _process(peer: Peer) -> dict[str, Any]:
    registration = peer.registration
    return {
        "name": registration.name,
        "pid": registration.pid,
        "host": registration.host,
        "state": peer.state,
        "metrics_url": registration.addresses.get("metrics"),
    }


def _worker(peer: Peer, weight: float) -> WorkerStatus:
    report = peer.worker
    return WorkerStatus(
        **_process(peer),
        weight=weight,
        points=report.points,
        busy_share=report.busy_share,
        epoch=report.ring.epoch,
        view=report.ring.view,
        rate=report.rate,
        hops=report.ring.hops,
        iterations=report.ring.iterations,
        neighbours=report.ring.neighbours / max(1, report.ring.iterations),
        train_s=report.train_s,
        z_step_s=report.z_step_s,
        failed_steps=report.failed_steps,
        holding=report.ring.holding if peer.here else (),
        data=peer.registration.addresses.get("data"),
    )


def _ingest(peer: Peer) -> IngestStatus:
    report = peer.ingest
    return IngestStatus(
        **_process(peer),
        http_url=peer.registration.addresses.get("http"),
        client=peer.registration.addresses.get("client"),
        finished=report.finished,
        rate=report.rate,
        first_ack_s=report.first_ack_s,
        blocked_s=report.blocked_s,
        unacknowledged=report.unacknowledged,
        revoked=report.revoked,
        late=asdict(report.late),
        failed=report.failed,
    )


def _learning(coordinator: Coordinator) -> dict[str, Any]:
    result = coordinator.progress.result
    if result is None:
        return {}
    return {
        "objective": result.per_point("nested"),
        "penalised": result.per_point("penalised"),
        "violated": result.per_point("violated"),
        "left_out": int(result.sums.get("left_out", 0.0)),
        "named": {name: result.per_point(name) for name in sorted(result.sums.keys() - SUMS)},
        "mu": result.mu,
        "age": result.plan.age,
        "epoch_seconds": dict(result.seconds),
        "imbalance": result.imbalance,
    }


def status(coordinator: Coordinator) -> ClusterStatus:
    """Return the part of the status that the coordinator's state machine knows."""
    members, weight = coordinator.membership, coordinator.routing.weight
    workers = members.of("worker", alive=False)
    return ClusterStatus(
        cluster=coordinator.cluster,
        view=coordinator.view.number if coordinator.view else 0,
        epoch=coordinator.progress.epoch,
        waiting=coordinator.waiting,
        resting=coordinator.resting,
        points=points(coordinator),
        workers=tuple(_worker(peer, weight(peer.name)) for peer in workers),
        ingest=tuple(_ingest(peer) for peer in members.of("ingest", alive=False)),
        refresh_s=duration_s(coordinator.settings.training.refresh),
        freshness_s=coordinator.progress.freshness.newest_s,
        unpublished_s=coordinator.progress.freshness.waiting_s,
        drift_events=coordinator.progress.continuation.drifts,
        failures=convert(coordinator.failures.counts, FailureCounts),
        recovery=convert(coordinator.failures.recoveries, Recovery),
        prequential=coordinator.accounts.predictions.status,
        events=coordinator.events.newest,
        **_learning(coordinator),
    )
