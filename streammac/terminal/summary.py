"""What a run came to: the ``--summary`` JSON and the table at its end (docs/cli.md).

Pure functions of the statuses that the supervisor took; ``up`` and ``demo`` write and print them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import convert, to_builtins
from msgspec.structs import asdict

from streammac.supervisor.run import Run
from streammac.wire.status import METHODS, ClusterStatus, Quality

if TYPE_CHECKING:
    from rich.table import Table

USUAL_TITLES = {
    "model": "this model",
    "initial": "initial model, before training",
    "itq": "ITQ",
    "pca": "principal components",
    "random": "random projections",
}
"""How people call the methods of a ``quality`` that does not say."""


def summarise(run: Run) -> dict[str, Any]:
    """Return the summary of a run, JSON-serialisable; None where there is nothing to tell."""
    status = run.status or ClusterStatus()
    return {
        "points": asdict(status.points),
        "epochs": status.epoch,
        "restarts": status.restarts,
        "model_version": status.model_version,
        "drift_events": status.drift_events,
        "left_out": status.left_out,
        "failed_steps": sum(worker.failed_steps for worker in status.workers),
        "seconds": round(run.seconds, 3),
        "seconds_to_first_ack": _since(run.started, run.milestones.first_ack_s),
        "seconds_to_first_model": _since(run.started, run.milestones.first_model_s),
        "quality": _quality(status.quality) if status.quality else None,
        "prequential": asdict(status.prequential) if status.prequential else None,
        "error": str(run.failure) if run.failure else None,
    }


def _quality(quality: Quality) -> dict[str, Any]:
    told: dict[str, Any] = to_builtins(quality)
    names = ("metric", *METHODS, "measure", "measures", "others", "titles")
    return {name: told[name] for name in names}


def title_of(titles: Mapping[str, str], method: str) -> str:
    """Return what a method is called."""
    return titles.get(method) or USUAL_TITLES.get(method, method)


def _verdict(quality: Quality) -> str:
    """Say whether the model is ahead of all that it is compared to, as far as the printed figures tell."""
    known = quality.methods
    model = round(known.pop("model"), 3)
    ahead = [title_of(quality.titles, n) for n, value in known.items() if round(value, 3) >= model]
    return f"not better than {', '.join(ahead)}" if ahead else "better than all of these"


def _since(started: float, moment: float) -> float | None:
    return round(moment - started, 3) if moment else None


def final_table(summary: dict[str, Any], running: ClusterStatus | None) -> Table:
    """Return the short table printed at the end: points, epochs, balance, quality."""
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    points = summary["points"]
    losses = [
        f"{points[name]:,} {name.replace('_', '-')}"
        for name in (
            "dead_lettered",
            "duplicate",
            "expired",
            "away",
            "dropped",
            "damaged",
            "waiting",
        )
        if points[name]
    ]
    first = summary["seconds_to_first_ack"]
    table.add_row(
        "points in",
        f"{points['accepted']:,} stored safely of {points['sent']:,} sent"
        + (f" ({', '.join(losses)})" if losses else "")
        + (f", the first after {first:.1f} s" if first is not None else ""),
    )
    first = summary["seconds_to_first_model"]
    table.add_row(
        "epochs",
        f"{summary['epochs']} in {summary['seconds']:.0f} s, model version "
        f"{summary['model_version']}"
        + (f", the first after {first:.1f} s" if first is not None else ""),
    )
    if summary["drift_events"]:
        table.add_row("drift", f"{summary['drift_events']} noticed, and training begun anew")
    odd = {
        f"{summary['left_out']:,} points are too far from the others to be trained on": summary[
            "left_out"
        ],
        f"{summary['failed_steps']:,} steps failed on their numbers: see the events": summary[
            "failed_steps"
        ],
    }
    for text in filter(odd.get, odd):
        table.add_row("training", text)
    if running and running.workers:
        busy = ", ".join(
            f"{w.name} {w.points:,} points {w.busy_share:.0%} busy" for w in running.workers
        )
        ratio = f"; largest over mean {running.imbalance:.2f}" if running.imbalance else ""
        table.add_row("load balance", busy + ratio)
    before = summary["prequential"]
    if before:
        means = ", ".join(f"{name} {value:.3g}" for name, value in before["overall"].items())
        text = (
            f"{means} of {before['points']:,} new points, each predicted before it was trained on"
        )
        table.add_row("prequential", text)
    told = summary["quality"]
    quality = convert(told, Quality) if told else None
    if quality is None:
        table.add_row("quality", "not measured: too few held-out points, or no model yet")
    else:
        table.add_row("quality", quality.metric)
        for name, value in quality.methods.items():
            known = quality.estimates().get(name)
            margin = f" ± {known.margin:.3f}" if known else ""
            table.add_row("", f"{value:.3f}{margin}  {title_of(quality.titles, name)}")
        table.add_row("", f"this model is {_verdict(quality)}")
        for measure, of in quality.measures.items():
            if measure != quality.measure:
                ordered = [name for name in quality.methods if name in of]
                shown = ", ".join(f"{name} {of[name].value:.3f}" for name in ordered)
                table.add_row("", f"{measure}: {shown}")
    return table
