"""A cluster in a terminal: a pure function of its status and of the trend of those before.

``up``, ``demo``, ``top`` and ``status`` show it; `live_view` redraws it. It tells the same as the live
page, fits into 80 columns, and leaves out what the status does not have.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable

from msgspec.structs import replace
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from streammac.coordinator.health import failures
from streammac.terminal.glyphs import FINE, PLAIN, Glyphs
from streammac.terminal.summary import title_of
from streammac.terminal.trend import Trend
from streammac.wire.status import Answer, ClusterStatus, Event, WorkerStatus

BUSY_WIDTH = 8
QUALITY_WIDTH = 24
SPARK_WIDTH = 30
MOST_WORKERS = 16
"""Workers that get a row of their own."""
MOST_EVENTS = 6
COLOURS = {"good": "green", "warn": "yellow", "bad": "bold red", "none": "dim"}
STATES = {
    "alive": "green",
    "joining": "cyan",
    "draining": "yellow",
    "left": "dim",
    "lost": "bold red",
    "silent": "bold red",
}
EVENT_COLOURS = {
    "lost": "red",
    "ingest_lost": "red",
    "process_died": "red",
    "process_down": "bold red",
    "stall": "yellow",
    "disk_full": "bold red",
    "disk_room": "green",
    "damaged": "red",
    "quarantined": "yellow",
    "step_failed": "bold red",
    "not_published": "bold red",
    "unusable": "bold red",
    "outliers": "yellow",
    "feed_failed": "bold red",
    "feed_refused": "yellow",
    "letters_lost": "yellow",
    "drift": "yellow",
    "recovered": "green",
    "process_restarted": "green",
    "promoted": "dim",
    "kept_back": "dim",
    "pinned": "yellow",
    "unpinned": "dim",
}


def glyphs_for(console: Console) -> Glyphs:
    """Return the characters that a console can show."""
    return PLAIN if console.options.ascii_only else FINE


def render(
    status: ClusterStatus | None,
    elapsed_s: float,
    trend: Trend | None = None,
    glyphs: Glyphs = FINE,
) -> RenderableType:
    """Return what is shown of a status; None before there is one.

    Parameters
    ----------
    status : ClusterStatus or None
        If it is stale, the last one before the coordinator went away.
    elapsed_s : float
        Seconds since the start.
    trend : Trend, optional
        Where it comes from; without it there are no sparklines.
    glyphs : Glyphs
        What the terminal can show.
    """
    if status is None or not status.begun:
        unsaved = status.supervisor.unsaved if status and status.supervisor else ""
        return Text(f"starting ... {elapsed_s:.0f} s {unsaved}".rstrip())
    parts: list[RenderableType] = [
        _headline(answers(status), glyphs),
        _facts(status, elapsed_s),
        Text(""),
        _workers(status, glyphs),
    ]
    if status.ingest:
        parts += [Text(""), _ingest(status)]
    parts += [Text(""), _learning(status, trend, glyphs)]
    restarts, events = _restarts(status), status.newest_events(MOST_EVENTS)
    if restarts is not None:
        parts += [Text(""), restarts]
    if events:
        parts += [Text(""), _events(events)]
    return Group(*parts)


def answers(status: ClusterStatus) -> tuple[Answer, ...]:
    """Return the status's answers, with what the coordinator cannot know: that it is away, and who stays down."""
    found = {answer.id: answer for answer in status.answers}
    if status.stale and "training" in found:
        found["training"] = replace(found["training"], tone="bad", text="Coordinator away", more="")
    if status.supervisor is not None:
        found["failures"] = failures(status)
    return tuple(found.values())


def _headline(answers: Iterable[Answer], glyphs: Glyphs) -> Text:
    """Return the four answers in one line, or two in a narrow terminal."""
    line = Text()
    for answer in answers:
        words = answer.text.replace(" ", "\u00a0")  # a line is broken between answers only
        line.append(f"{glyphs.mark}\u00a0{words}", style=COLOURS[answer.tone])
        line.append("  ")
    return line


def number(value: float | None) -> str:
    """Return a number as it is shown: four digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def _grid() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


def _columns(*titles: str, right: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in right.split() else "left", no_wrap=True)
    return table


def _facts(status: ClusterStatus, elapsed_s: float) -> Table:
    table = _grid()
    points = status.points
    details = [f"{status.point_rate:,.0f}/s"] if status.point_rate else []
    details += [
        f"{count:,} {what}"
        for count, what in (
            (points.dead_lettered, "dead-lettered"),
            (points.duplicate, "duplicate"),
            (points.expired, "expired"),
            (points.away, "away"),
            (points.waiting, "waiting for targets"),
            (points.dropped, "dropped"),
            (points.damaged, "damaged"),
        )
        if count
    ]
    table.add_row(
        "points in", f"{points.accepted:,}" + (f"  ({', '.join(details)})" if details else "")
    )
    version, promoted = status.model_version, status.promoted
    model = f"version {version}"
    if promoted != version or status.pinned:
        model += f", version {promoted} {'pinned' if status.pinned else 'promoted'}"
    table.add_row("model", model if version else "none yet")
    page = status.coordinator.http_url
    table.add_row(
        "running", f"{elapsed_s:.0f} s, view {status.view}" + (f", {page}" if page else "")
    )
    return table


def _shares(status: ClusterStatus) -> dict[str, float]:
    """Return each live worker's part of the feed."""
    weights = {w.name: w.weight for w in status.workers if w.state == "alive"}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total else {}


def _workers(status: ClusterStatus, glyphs: Glyphs) -> RenderableType:
    table = _columns(
        *("worker", "state", "points", "share", "rate", "busy", "epoch", "hops", "holds"),
        right="points share rate epoch hops",
    )
    shares = _shares(status)
    for worker in _shown(status.workers):
        name, busy = worker.name, worker.busy_share
        table.add_row(
            name,
            Text(worker.state, style=STATES.get(worker.state, "")),
            f"{worker.points:,}",
            f"{shares[name]:.0%}" if name in shares else "-",
            f"{worker.rate:,.0f}/s" if worker.is_here else "-",
            f"{glyphs.bar(busy, BUSY_WIDTH)} {busy:4.0%}" if worker.is_here else "",
            str(worker.epoch),
            f"{worker.hops:,}",
            " ".join(map(_short_block, worker.holding)),
        )
    hidden = len(status.workers) - MOST_WORKERS
    return Group(table, Text(f"and {hidden} more workers")) if hidden > 0 else table


def _shown(workers: tuple[WorkerStatus, ...]) -> Iterable[WorkerStatus]:
    """Return all workers; of very many those that failed and those that compute longest."""
    if len(workers) <= MOST_WORKERS:
        return workers
    return sorted(workers, key=lambda w: (w.is_lost, w.effort_s), reverse=True)[:MOST_WORKERS]


def _short_block(block: str) -> str:
    """Return a block's name in a few characters: encoder/8-15 is e8."""
    kind, _, rows = block.partition("/")
    return f"{kind[:1]}{rows.partition('-')[0]}"


def _ingest(status: ClusterStatus) -> Table:
    table = _columns(
        "ingest", "state", "rate", "under way", "held up", "takes points at", right="rate"
    )
    for node in status.ingest[:MOST_WORKERS]:
        state = "feed ended" if node.finished else node.state
        state = "feed failed" if node.failed else state
        table.add_row(
            node.name,
            Text(state, style=STATES.get(node.state, "")),
            f"{node.rate:,.0f}/s",
            f"{node.unacknowledged:,}",
            f"{node.blocked_s:.1f} s",
            node.http_url or "",
        )
    return table


def _learning(status: ClusterStatus, trend: Trend | None, glyphs: Glyphs) -> RenderableType:
    table = _grid()
    trend = trend or Trend()
    violated = "" if status.violated is None else f", violated {status.violated:.1%}"
    rests = f", resting: {status.resting}" if status.resting else ""
    table.add_row("epoch", f"{status.epoch}, mu {number(status.mu)}{violated}{rests}")
    if status.freshness_s is not None:
        promise = f", promised {status.refresh_s:g} s" if status.refresh_s else ""
        table.add_row("freshness", f"points in a version after {status.freshness_s:.1f} s{promise}")
    table.add_row("objective", _course(number(status.objective), trend.objective, glyphs))
    if status.prequential is not None:
        means = ", ".join(f"{name} {number(m)}" for name, m in status.prequential.window.items())
        table.add_row("prequential", f"{means} of {status.prequential.window_points:,} new points")
    quality = status.quality
    if quality is None:
        table.add_row("quality", "measured with the first model")
        return table
    table.add_row("quality", _course(quality.metric, trend.quality, glyphs))
    known = quality.estimates()
    for name, value in quality.methods.items():
        margin = f" ± {known[name].margin:.3f}" if name in known else ""
        shown = f"{glyphs.bar(value, QUALITY_WIDTH)} {value:.3f}{margin}"
        table.add_row(
            "",
            Text(
                f"{shown}  {title_of(quality.titles, name)}",
                style="bold" if name == "model" else "",
            ),
        )
    others = {name: of["model"].value for name, of in quality.measures.items() if "model" in of}
    others.pop(quality.measure, None)
    if others:
        table.add_row("", ", ".join(f"{name} {value:.3f}" for name, value in others.items()))
    return table


def _course(text: str, values: Collection[float], glyphs: Glyphs) -> str:
    """Return a text, and how the value went."""
    return f"{text}  {glyphs.spark(list(values), SPARK_WIDTH)}" if len(values) > 1 else text


def _restarts(status: ClusterStatus) -> RenderableType | None:
    """Return what the supervisor has restarted or given up; None where all is well."""
    shown = [one for one in status.children if one.restarts or one.state in ("waiting", "down")]
    if not shown:
        return None
    table = _columns("restarted", "times", "left", "now", right="times left")
    for one in shown[:MOST_WORKERS]:
        now: str = one.state
        if one.next_attempt_s:
            wait_s = max(0.0, one.next_attempt_s - time.time())
            now = f"{one.reason}: next attempt in {wait_s:.1f} s"
        elif one.state == "down":
            now = f"{one.reason}: stays down, its budget is spent"
        style = {"down": "bold red", "waiting": "yellow"}.get(one.state, "")
        row = (one.name, str(one.restarts), str(one.budget_left))
        table.add_row(*row, Text(now, style=style))
    return table


def _events(events: Iterable[Event]) -> Table:
    table = _columns("time", "event", "who", "what", right="")
    table.expand, table.columns[-1].ratio = True, 1  # it is the text that is cut, not the rest
    for event in events:
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(event.time)),
            Text(event.kind, style=EVENT_COLOURS.get(event.kind, "")),
            event.name,
            # the first line tells what happened; a log's end may follow
            re.sub(r"\s+", " ", event.text.partition("\n")[0]),
        )
    return table
