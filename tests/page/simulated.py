"""Statuses of clusters of any size, as a coordinator would give them."""

from __future__ import annotations

from typing import Any

from msgspec import convert
from msgspec.structs import replace

from streammac.coordinator.health import Health
from streammac.wire.status import ClusterStatus

START_S = 1_700_000_000.0


def simulated_status(workers: int, epoch: int = 5, lost: int = 0, **more: Any) -> ClusterStatus:
    """The first ``lost`` workers are lost; loads and shards differ from worker to worker."""
    status = convert(simulated_parts(workers, epoch, lost) | more, ClusterStatus)
    return replace(status, answers=Health().answers(status, 0.0))


def simulated_parts(workers: int, epoch: int = 5, lost: int = 0) -> dict[str, Any]:
    return {
        "cluster": "simulated",
        "started_s": START_S,
        "view": 3,
        "epoch": epoch,
        "objective": 1.0 / (1 + epoch),
        "penalised": 1.5 / (1 + epoch),
        "violated": 0.01,
        "mu": 0.1,
        "age": epoch,
        "epoch_seconds": {"train": 0.5, "z_step": 0.25, "communicate": 0.05, "wait": 0.125},
        "imbalance": 1.1,
        "drift_events": 0,
        "model_version": epoch,
        "promoted": epoch,
        "promotion": "the first version",
        "first_model_s": START_S + 5,
        "failures": {"crash": lost, "hang": 0, "drained": 0, "fenced": 0},
        "quality": {
            "metric": "recall of the 10 true nearest among the first 100",
            "points": 1200,
            "queries": 400,
            "measure": "recall_100",
            "measures": {
                name: {
                    "model": {"value": 0.27, "margin": 0.0125},
                    "itq": {"value": 0.16, "margin": 0.01},
                }
                for name in ("recall_100", "precision_100")
            },
            "version": epoch,
            "model": 0.27,
            "itq": 0.16,
            "pca": 0.17,
            "random": 0.15,
        },
        "points": {
            "sent": 1001 * workers,
            "accepted": 1000 * workers,
            "duplicate": 0,
            "dead_lettered": workers,
            "stored": 1000 * workers,
            "expired": 0,
        },
        "events": [
            {
                "number": 1,
                "time": START_S,
                "kind": "joined",
                "name": "w1",
                "text": "w1 joined from <b>here</b>",
                "seconds": 0.0,
            }
        ],
        "coordinator": {"pid": 1, "address": "", "metrics_url": "", "http_url": ""},
        "workers": [worker(n, epoch, "lost" if n < lost else "alive") for n in range(workers)],
        "ingest": [
            {
                "name": "i1",
                "pid": 2,
                "host": "here",
                "state": "alive",
                "finished": False,
                "rate": 1000.0,
                "first_ack_s": START_S,
                "blocked_s": 0.0,
                "unacknowledged": 0,
            }
        ],
    }


def worker(number: int, epoch: int, state: str) -> dict[str, Any]:
    return {
        "name": f"w{number + 1}",
        "pid": 1000 + number,
        "host": "here",
        "state": state,
        "points": 600 + 37 * (number % 20),
        "busy_share": (number % 10) / 10,
        "epoch": epoch,
        "holding": [f"encoder/{number}"],
        "data": f"tcp://127.0.0.1:{20_000 + number}",
        "metrics_url": f"http://127.0.0.1:{30_000 + number}/metrics",
        "train_s": 0.5,
        "z_step_s": 0.25,
        "rate": 100.0,
    }


def simulated_targets(workers: int) -> list[dict[str, Any]]:
    return [
        {"targets": [f"127.0.0.1:{30_000 + n}"], "labels": {"role": "worker", "name": f"w{n + 1}"}}
        for n in range(workers)
    ]
