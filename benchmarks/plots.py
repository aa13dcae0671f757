"""Plots of results, small SVG files: speed-up, time to quality, ingest, roofline.

Each names the data that it is of by a digest, so that a test can tell an old plot from a new one whatever version
of matplotlib drew it.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from benchmarks.report import Cell, Report, Spread
from benchmarks.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Results: TypeAlias = Mapping[str, Result]
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "streammac",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def column(report: Report, name: str) -> list[Cell]:
    """Return a column."""
    number = list(report.columns).index(name)
    return [row[number] for row in report.rows]


def numbers(report: Report, name: str) -> list[float]:
    """Return a column of numbers; of what has spread the middle, nothing as NaN."""
    middles = (cell.middle if isinstance(cell, Spread) else cell for cell in column(report, name))
    return [float(cell) if isinstance(cell, int | float) else math.nan for cell in middles]


def scaling(results: Results, axes: Axes) -> None:
    """Speed-up over workers: measured, and predicted by both models."""
    most = 1.0
    for report in results["plan"].reports:
        if "speed-up: formula" not in report.columns:
            continue
        workers = numbers(report, "workers")
        title = report.title.partition(":")[0]
        simulated = numbers(report, "simulated, speed-up")
        (line,) = axes.plot(workers, simulated, "o-", ms=3, label=f"{title}, simulated")
        formula = numbers(report, "speed-up: formula")
        axes.plot(workers, formula, ":", color=line.get_color(), label=f"{title}, formula")
        most = max(most, *workers)
    if "speedup" in results:
        report = results["speedup"].reports[0]
        measured = (numbers(report, name) for name in ("workers", "speed-up"))
        axes.plot(*measured, "ks", ms=5, label="measured here")
    axes.plot([1, most], [1, most], color="0.7", lw=1, label="perfect")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="speed-up")


def time_to_quality(results: Results, axes: Axes) -> None:
    """Precision over seconds."""
    (report,) = results["time_to_quality"].reports
    found = zip(column(report, ""), numbers(report, "s"), numbers(report, "precision"), strict=True)
    points = [(name, s, p) for name, s, p in found if not math.isnan(p)]
    ours = [(s, p) for name, s, p in points if name == "streammac"]
    axes.plot([s for s, _ in ours], [p for _, p in ours], "o-", ms=3, label="streammac")
    for name, s, p in points:
        if name != "streammac":
            axes.plot([s], [p], "s", label=str(name))
    axes.set(xlabel="seconds of one thread", ylabel="precision")


def ingest(results: Results, axes: Axes) -> None:
    """Points per second of a feed, by what comes before the rate in its table."""
    report = results["ingest"].reports[0]
    before = list(report.columns).index("points/s")
    names = [", keys: ".join(map(str, row[:before])) for row in report.rows]
    axes.barh(names, [rate / 1000 for rate in numbers(report, "points/s")])
    axes.set(xlabel="thousand points per second")


def roofline(results: Results, axes: Axes) -> None:
    """Share of the peak over arithmetic intensity: operations for each byte of a point that is read."""
    for report in results["w_step"].reports:
        if "of the sgemm peak" not in report.columns:
            continue
        what = report.title.partition(":")[2].strip()
        size = 1 if "uint8" in what else 4
        intensity = [4 * bits / size for bits in numbers(report, "bits per block")]
        axes.plot(intensity, numbers(report, "of the sgemm peak"), "o-", ms=3, label=what)
    axes.axhline(1.0, color="0.7", lw=1, label="sgemm")
    axes.set(xscale="log", ylim=(0, 1.1), ylabel="share of the sgemm peak")
    axes.set(xlabel="operations per byte of a point")


def consensus(results: Results, axes: Axes) -> None:
    """Iterations to a loss over workers: how many times fewer than one alone needs."""
    report = results["strategies_consensus"].reports[2]
    workers = numbers(report, "workers")
    for name in [name for name in report.columns if name.startswith("fewer, ")]:
        label = name.partition(", ")[2]
        axes.plot(workers, numbers(report, name), "o-", ms=3, label=label)
    axes.plot([1, workers[-1]], [1, workers[-1]], color="0.7", lw=1, label="perfect")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="fewer iterations to the loss")


def coding(results: Results, axes: Axes) -> None:
    """Share of a gradient that is known over messages that have arrived."""
    report = results["strategies_coding"].reports[1]
    arrived = numbers(report, "arrived")
    for name in list(report.columns)[1:]:
        axes.plot(arrived, numbers(report, name), label=name)
    axes.set(xlabel="messages that have arrived", ylabel="share of the gradient")


PLOTS: Mapping[str, tuple[tuple[str, ...], Callable[[Results, Axes], None]]] = {
    "scaling": (("plan", "speedup"), scaling),
    "time_to_quality": (("time_to_quality",), time_to_quality),
    "ingest": (("ingest",), ingest),
    "roofline": (("w_step",), roofline),
    "strategies_consensus": (("strategies_consensus",), consensus),
    "strategies_coding": (("strategies_coding",), coding),
}
"""Name to the benchmarks that it shows (the first one has to be there), and what draws it."""


def wanted(results: Results) -> dict[str, str]:
    """Return the plots that can be drawn, each with the digest of its data."""
    found = {}
    for name, (sources, _) in PLOTS.items():
        if sources[0] in results:
            data = [results[source].reports for source in sources if source in results]
            found[name] = hashlib.sha256(msgspec.json.encode(data)).hexdigest()[:16]
    return found


def draw(name: str, results: Results, digest: str) -> str:
    """Return a plot as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
        PLOTS[name][1](results, axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False)
        out = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Description": digest}
        figure.savefig(out, format="svg", metadata=metadata)
        plt.close(figure)
    return out.getvalue()
