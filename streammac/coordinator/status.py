"""The cluster's status as plain values: what ``streammac status --json`` prints (docs/status.md)."""

from __future__ import annotations

from typing import Any

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.membership import Peer


def points(coordinator: Coordinator) -> dict[str, int]:
    """Return the accounting, see `streammac.coordinator.accounts.Accounts.points`."""
    workers = coordinator.membership.of("worker", alive=False)
    return coordinator.accounts.points({peer.name for peer in workers if not peer.away})


def _process(peer: Peer) -> dict[str, Any]:
    registration = peer.registration
    return {
        "name": registration.name,
        "pid": registration.pid,
        "host": registration.host,
        "state": peer.state,
        "metrics_url": registration.addresses.get("metrics"),
    }


def _worker(peer: Peer, weight: float) -> dict[str, Any]:
    return _process(peer) | {
        "weight": weight,
        "points": peer.worker.points,
        "busy_share": peer.worker.busy_share,
        "epoch": peer.worker.ring.epoch,
        "view": peer.worker.ring.view,
        "rate": peer.worker.rate,
        "hops": peer.worker.ring.hops,
        "train_s": peer.worker.train_s,
        "z_step_s": peer.worker.z_step_s,
        "holding": list(peer.worker.ring.holding) if peer.here else [],
        "data": peer.registration.addresses.get("data"),
    }


def _ingest(peer: Peer) -> dict[str, Any]:
    return _process(peer) | {
        "http_url": peer.registration.addresses.get("http"),
        "client": peer.registration.addresses.get("client"),
        "finished": peer.ingest.finished,
        "rate": peer.ingest.rate,
        "first_ack_s": peer.ingest.first_ack_s,
        "blocked_s": peer.ingest.blocked_s,
        "unacknowledged": peer.ingest.unacknowledged,
        "disowned": peer.ingest.revoked,
    }


def status(coordinator: Coordinator) -> dict[str, Any]:
    """Return the part of the status that the coordinator's state machine knows."""
    result = coordinator.progress.result
    learning: dict[str, Any] = {"objective": None, "mu": None, "age": None}
    if result is not None:
        count = max(1.0, result.sums.get("points", 0.0))
        learning = {
            "objective": result.sums.get("nested", 0.0) / count,
            "penalised": result.sums.get("penalised", 0.0) / count,
            "violated": result.sums.get("violated", 0.0) / count,
            "mu": result.mu,
            "age": result.plan.age,
            "epoch_seconds": dict(result.seconds),
            "imbalance": result.imbalance,
        }
    members = coordinator.membership
    return {
        "cluster": coordinator.cluster,
        "view": coordinator.view.number if coordinator.view else 0,
        "epoch": coordinator.progress.epoch,
        "waiting": coordinator.waiting,
        "points": points(coordinator),
        "workers": [
            _worker(peer, coordinator.routing.weight(peer.name))
            for peer in members.of("worker", alive=False)
        ],
        "ingest": [_ingest(peer) for peer in members.of("ingest", alive=False)],
        "drift_events": coordinator.progress.continuation.drifts,
        "failures": dict(coordinator.failures.counts),
        "recovery": dict(coordinator.failures.recoveries),
        "events": coordinator.events.to_json(),
        **learning,
    }
