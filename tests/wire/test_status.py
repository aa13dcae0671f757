"""The status as JSON: what programs read, so it may only gain keys."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from streammac.wire.status import (
    Answer,
    ChildStatus,
    ClusterStatus,
    Estimate,
    Event,
    IngestStatus,
    Quality,
    SupervisorStatus,
    WorkerStatus,
    from_json,
    to_json,
)

EVENT = Event(1, 1.5, "joined", "w1", "from here", 0.25)
FULL = ClusterStatus(
    cluster="c",
    started_s=1.5,
    view=1,
    epoch=2,
    waiting="waiting for points",
    workers=(
        WorkerStatus(
            *("w1", 10, "here", "alive", "http://127.0.0.1:1/metrics"),
            holding=("encoder/0",),
            data="tcp://127.0.0.1:1",
        ),
    ),
    ingest=(
        IngestStatus(
            *("i1", 11, "here", "alive", "http://127.0.0.1:2/metrics"),
            http_url="http://127.0.0.1:3",
            client="tcp://127.0.0.1:4",
            revoked=2,
        ),
    ),
    objective=0.5,
    penalised=0.5,
    violated=0.5,
    named={"loss": 0.5},
    mu=0.5,
    age=3,
    epoch_seconds={"train": 0.1, "z_step": 0.2, "communicate": 0.3, "wait": 0.4},
    imbalance=1.5,
    model_version=1,
    promoted=1,
    promotion="the first version",
    first_model_s=1.5,
    quality=Quality(
        *("share", 0.8, 0.7, 0.5, 0.3, 100, 50, 0.9, 0.5, 1),
        initial=0.75,
        measure="recall_100",
        measures={"recall_100": {"model": Estimate(0.8, 0.02)}},
        others={"itq": 0.7},
        titles={"itq": "ITQ"},
        correlation=0.1,
        largest_correlation=0.5,
    ),
    answers=(Answer("training", "Is it training?", "good", "Training", "epoch 2"),),
    events=(EVENT,),
    supervisor=SupervisorStatus(
        processes=(ChildStatus("w1", "worker", 10, next_attempt_s=2.5, reason="signal SIGKILL"),),
        events=(EVENT,),
    ),
)

PROCESS = {"name": str, "pid": int, "host": str, "state": str, "metrics_url": str}
EVENTS = [{"number": int, "time": float, "kind": str, "name": str, "text": str, "seconds": float}]
SHAPE: dict[str, Any] = {
    "cluster": str,
    "started_s": float,
    "view": int,
    "epoch": int,
    "waiting": str,
    "objective": float,
    "penalised": float,
    "violated": float,
    "named": {"loss": float},
    "mu": float,
    "age": int,
    "epoch_seconds": {"train": float, "z_step": float, "communicate": float, "wait": float},
    "imbalance": float,
    "failures": {"crash": int, "hang": int, "drained": int, "fenced": int, "unreachable": int},
    "recovery": {"count": int, "last_s": float, "seconds": float},
    "events": EVENTS,
    "drift_events": int,
    "model_version": int,
    "promoted": int,
    "promotion": str,
    "first_model_s": float,
    "quality": {
        "metric": str,
        "model": float,
        "itq": float,
        "pca": float,
        "random": float,
        "points": int,
        "queries": int,
        "entropy": float,
        "least_entropy": float,
        "version": int,
        "initial": float,
        "measure": str,
        "measures": {"recall_100": {"model": {"value": float, "margin": float}}},
        "others": {"itq": float},
        "titles": {"itq": str},
        "correlation": float,
        "largest_correlation": float,
    },
    "points": {
        "sent": int,
        "accepted": int,
        "duplicate": int,
        "dead_lettered": int,
        "stored": int,
        "away": int,
        "expired": int,
        "dropped": int,
        "damaged": int,
    },
    "coordinator": {"pid": int, "address": str, "metrics_url": str, "http_url": str},
    "workers": [
        PROCESS
        | {
            "weight": float,
            "points": int,
            "busy_share": float,
            "epoch": int,
            "view": int,
            "rate": float,
            "hops": int,
            "train_s": float,
            "z_step_s": float,
            "holding": [str],
            "data": str,
        }
    ],
    "ingest": [
        PROCESS
        | {
            "http_url": str,
            "client": str,
            "finished": bool,
            "rate": float,
            "first_ack_s": float,
            "blocked_s": float,
            "unacknowledged": int,
            "disowned": int,
        }
    ],
    "supervisor": {
        "name": str,
        "pid": int,
        "control": str,
        "restart": str,
        "started_s": float,
        "restarts": int,
        "processes": [
            {
                "name": str,
                "role": str,
                "pid": int,
                "state": str,
                "restarts": int,
                "budget_left": int,
                "next_attempt_s": float,
                "reason": str,
            }
        ],
        "events": EVENTS,
    },
    "answers": [{"id": str, "question": str, "tone": str, "text": str, "more": str}],
    "stale": bool,
}
"""Every key that there ever was, and its type."""


def fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return shape.keys() <= value.keys() and all(fits(value[k], shape[k]) for k in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and bool(value) and all(fits(v, shape[0]) for v in value)
    return type(value) is shape


def test_every_key_has_its_type() -> None:
    assert fits(json.loads(to_json(FULL)), SHAPE)
    assert not fits(json.loads(to_json(msgspec.structs.replace(FULL, events=()))), SHAPE)


def test_what_is_written_is_read() -> None:
    assert from_json(to_json(FULL)) == FULL
    assert from_json(to_json(ClusterStatus(), indent=1)) == ClusterStatus()


def test_a_status_of_another_version_is_read() -> None:
    """What it lacks has a default, what is unknown is passed over."""

    def without(value: Any, key: str) -> Any:
        if isinstance(value, dict) and not {"recall_100", "loss", "itq"} & (
            value.keys() - {"model"}
        ):  # not a part, but a map of them
            return {k: without(v, key) for k, v in value.items() if k != key} | {"new": 1}
        return [without(v, key) for v in value] if isinstance(value, list) else value

    optional = {key for part in _parts(json.loads(to_json(FULL))) for key in part}
    optional -= {
        "number",
        "time",
        "kind",
        "name",
        "text",
        "role",
        "metric",
        *("id", "question", "tone"),
    }
    optional -= {"model", "itq", "pca", "random", "value", "margin"}
    for key in optional:
        assert from_json(json.dumps(without(json.loads(to_json(FULL)), key))).cluster in ("c", "")


def _parts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(part for v in value.values() for part in _parts(v))]
    return [part for v in value for part in _parts(v)] if isinstance(value, list) else []


def test_numbers_that_json_does_not_have_become_null() -> None:
    strange = msgspec.structs.replace(FULL, objective=math.nan, violated=math.inf)
    assert json.loads(to_json(strange))["objective"] is None
    assert from_json(to_json(strange)).violated is None


def test_numbers_of_numpy_are_plain_ones() -> None:
    computed = msgspec.structs.replace(FULL, objective=np.float64(0.25), epoch=np.int64(3))
    read = from_json(to_json(computed))
    assert (read.objective, read.epoch) == (0.25, 3)


@pytest.mark.parametrize("text", ["torn {", "[]", '{"epoch": "x"}', '{"workers": [{}]}'])
def test_what_is_no_status_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        from_json(text)


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
    known = set(re.findall(r"`(\w+)`", page))
    assert {key for part in _parts(json.loads(to_json(FULL))) for key in part} <= known


def test_events_of_coordinator_and_supervisor_are_in_order() -> None:
    def events(*times: int) -> tuple[Event, ...]:
        return tuple(Event(n, float(n), "joined", "", "") for n in times)

    status = ClusterStatus(events=events(1, 4), supervisor=SupervisorStatus(events=events(2, 3)))
    assert [event.time for event in status.newest_events(3)] == [2, 3, 4]


def test_the_start_is_the_supervisor_s_if_there_is_one() -> None:
    assert ClusterStatus(started_s=1000.0).running_since == 1000.0
    supervised = ClusterStatus(started_s=1000.0).supervised(SupervisorStatus(started_s=10.0))
    assert supervised.running_since == 10.0
