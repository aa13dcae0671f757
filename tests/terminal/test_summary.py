import io
from typing import Any

from msgspec.structs import replace
from rich.console import Console

from streammac.errors import ExitCode, Failure
from streammac.supervisor.milestones import Milestones
from streammac.supervisor.run import Run
from streammac.terminal.summary import final_table, summarise
from streammac.wire.status import (
    ClusterStatus,
    IngestStatus,
    PointCounts,
    Prequential,
    Quality,
    WorkerStatus,
)

POINTS = {
    "sent": 10_010,
    "accepted": 10_000,
    "duplicate": 5,
    "dead_lettered": 10,
    "stored": 9_000,
    "expired": 1_000,
    "away": 0,
    "dropped": 0,
    "damaged": 0,
    "waiting": 0,
}
STATUS = ClusterStatus(
    points=PointCounts(**POINTS),
    epoch=7,
    model_version=6,
    drift_events=2,
    first_model_s=1004.5,
    ingest=tuple(IngestStatus("i", first_ack_s=ack_s) for ack_s in (1002.5, 1001.25, 0.0)),
    workers=(WorkerStatus("w1", points=9000, busy_share=0.75),),
    imbalance=1.25,
    quality=Quality("share", 0.8, 0.7, 0.5, 0.3, version=6),
    prequential=Prequential(
        900, {"accuracy": 0.75, "loss": 0.5}, 500, {"accuracy": 0.8, "loss": 0.4}
    ),
)

SEEN = Milestones(1001.25, 1004.5)


def text(summary: dict[str, Any], running: Any) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(final_table(summary, running))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_summary_has_everything() -> None:
    assert summarise(Run(STATUS, STATUS, 1000.0, 60.0, milestones=SEEN)) == {
        "points": POINTS,
        "epochs": 7,
        "restarts": 0,
        "model_version": 6,
        "drift_events": 2,
        "left_out": 0,
        "failed_steps": 0,
        "seconds": 60.0,
        "seconds_to_first_ack": 1.25,
        "seconds_to_first_model": 4.5,
        "prequential": {
            "points": 900,
            "overall": {"accuracy": 0.75, "loss": 0.5},
            "window_points": 500,
            "window": {"accuracy": 0.8, "loss": 0.4},
        },
        "quality": {
            "metric": "share",
            "model": 0.8,
            "initial": None,
            "itq": 0.7,
            "pca": 0.5,
            "random": 0.3,
            "measure": "",
            "measures": {},
            "others": {},
            "titles": {},
        },
        "error": None,
    }


def test_a_run_that_never_got_anywhere() -> None:
    failure = Failure(ExitCode.PROCESS_DIED, "w1 died")
    summary = summarise(Run(None, None, 1000.0, 1.0, failure))
    assert set(summary["points"].values()) == {0}
    assert summary["seconds_to_first_ack"] is None
    assert summary["quality"] is None
    assert summary["error"] == "w1 died"
    assert "not measured" in text(summary, None)


def test_the_table_tells_what_training_could_not_use() -> None:
    wrong = replace(STATUS, left_out=3, workers=(WorkerStatus("w1", failed_steps=2),))
    shown = text(summarise(Run(wrong, wrong, 1000.0, 60.0)), None)
    assert "3 points are too far from the others" in shown
    assert "2 steps failed on their numbers" in shown
    assert "too far" not in text(summarise(Run(STATUS, STATUS, 1000.0, 60.0)), None)


def test_the_table() -> None:
    shown = text(summarise(Run(STATUS, STATUS, 1000.0, 60.0, milestones=SEEN)), STATUS)
    for fact in (
        "10,000 stored safely of 10,010 sent (10 dead-lettered, 5 duplicate, 1,000 expired)",
        "the first after 1.2 s",
        "7 in 60 s, model version 6, the first after 4.5 s",
        "2 noticed, and training begun anew",
        "w1 9,000 points 75% busy; largest over mean 1.25",
        "0.800  this model",
        "0.300  random projections",
        "this model is better than all of these",
        "accuracy 0.75, loss 0.5 of 900 new points, each predicted before it was trained on",
    ):
        assert fact in shown


def test_the_table_says_what_the_model_is_not_better_than() -> None:
    worse = replace(STATUS, quality=Quality("share", 0.8, 0.8, 0.9, 0.3, initial=0.7))
    shown = text(summarise(Run(worse, worse, 1000.0, 60.0)), None)
    assert "this model is not better than ITQ, principal components" in shown
