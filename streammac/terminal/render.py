"""The picture of a cluster in a terminal: a pure function of its status and of the trend of those before.

``up``, ``demo``, ``top`` and ``status`` show it; `live_view` redraws it. It tells the same as the live
page, fits into 80 columns, and leaves out what the status does not have.
"""

from __future__ import annotations

import re
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from streammac.terminal.glyphs import FINE, PLAIN, Glyphs
from streammac.terminal.health import (
    LOST,
    Answer,
    Status,
    Trend,
    answers,
    effort,
    point_rate,
    recent_events,
)
from streammac.terminal.summary import METHODS, TITLES

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
    "quarantined": "yellow",
    "drift": "yellow",
    "recovered": "green",
    "process_restarted": "green",
    "promoted": "dim",
    "kept_back": "dim",
}


def glyphs_for(console: Console) -> Glyphs:
    """Return the characters that a console can show."""
    return PLAIN if console.options.ascii_only else FINE


def render(
    status: Status | None, elapsed_s: float, trend: Trend | None = None, glyphs: Glyphs = FINE
) -> RenderableType:
    """Return what is shown of a status; None before there is one.

    Parameters
    ----------
    status : dict or None
        See docs/status.md; with ``stale`` it is the last one before the coordinator went away.
    elapsed_s : float
        Seconds since the start.
    trend : Trend, optional
        Where it comes from; without it there are no sparklines and no rates of epochs.
    glyphs : Glyphs
        What the terminal can show.
    """
    if status is None:
        return Text(f"starting ... {elapsed_s:.0f} s")
    parts: list[RenderableType] = [
        _headline(status, trend, glyphs),
        _facts(status, elapsed_s),
        Text(""),
        _workers(status, glyphs),
    ]
    if status["ingest"]:
        parts += [Text(""), _ingest(status)]
    parts += [Text(""), _learning(status, trend, glyphs)]
    restarts, events = _restarts(status), recent_events(status, MOST_EVENTS)
    if restarts is not None:
        parts += [Text(""), restarts]
    if events:
        parts += [Text(""), _events(events)]
    return Group(*parts)


def _headline(status: Status, trend: Trend | None, glyphs: Glyphs) -> Text:
    """Return the four answers in one line, or two in a narrow terminal."""
    line = Text()
    answer: Answer
    for answer in answers(status, trend):
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


def _facts(status: Status, elapsed_s: float) -> Table:
    table = _grid()
    points = status["points"]
    told = [f"{point_rate(status):,.0f}/s"] if point_rate(status) else []
    told += [
        f"{points[name]:,} {title}"
        for name, title in (
            ("dead_lettered", "dead-lettered"),
            ("duplicate", "duplicate"),
            ("expired", "expired"),
            ("away", "away"),
            ("dropped", "dropped"),
        )
        if points.get(name)
    ]
    table.add_row(
        "points in", f"{points['accepted']:,}" + (f"  ({', '.join(told)})" if told else "")
    )
    version, promoted = status["model_version"], status["promoted"]
    model = f"version {version}" + (f", version {promoted} promoted" if promoted != version else "")
    table.add_row("model", model if version else "none yet")
    page = (status.get("coordinator") or {}).get("http_url")
    table.add_row(
        "running", f"{elapsed_s:.0f} s, view {status['view']}" + (f", {page}" if page else "")
    )
    return table


def _shares(status: Status) -> dict[str, float]:
    """Return each live worker's part of the feed."""
    weights = {w["name"]: w.get("weight", 1.0) for w in status["workers"] if w["state"] == "alive"}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total else {}


def _workers(status: Status, glyphs: Glyphs) -> RenderableType:
    table = _columns(
        *("worker", "state", "points", "share", "rate", "busy", "epoch", "hops", "holds"),
        right="points share rate epoch hops",
    )
    shares = _shares(status)
    for worker in _shown(status["workers"]):
        name, state = worker["name"], worker["state"]
        here = state not in (*LOST, "left")
        table.add_row(
            name,
            Text(state, style=STATES.get(state, "")),
            f"{worker['points']:,}",
            f"{shares[name]:.0%}" if name in shares else "-",
            f"{worker.get('rate', 0.0):,.0f}/s" if here else "-",
            f"{glyphs.bar(worker['busy_share'], BUSY_WIDTH)} {worker['busy_share']:4.0%}"
            if here
            else "",
            str(worker["epoch"]),
            f"{worker.get('hops', 0):,}",
            " ".join(map(_short_block, worker["holding"])),
        )
    hidden = len(status["workers"]) - MOST_WORKERS
    return Group(table, Text(f"and {hidden} more workers")) if hidden > 0 else table


def _shown(workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all workers; of very many those that failed and those that compute longest."""
    if len(workers) <= MOST_WORKERS:
        return workers
    weight = {w["name"]: float("inf") if w["state"] in LOST else effort(w) for w in workers}
    return sorted(workers, key=lambda w: -weight[w["name"]])[:MOST_WORKERS]


def _short_block(block: str) -> str:
    """Return a block's name in two characters or so: encoder/0 is e0."""
    kind, _, index = block.partition("/")
    return f"{kind[:1]}{index}"


def _ingest(status: Status) -> Table:
    table = _columns(
        "ingest", "state", "rate", "under way", "held up", "takes points at", right="rate"
    )
    for node in status["ingest"][:MOST_WORKERS]:
        state = "feed ended" if node.get("finished") else node["state"]
        table.add_row(
            node["name"],
            Text(state, style=STATES.get(node["state"], "")),
            f"{node.get('rate', 0.0):,.0f}/s",
            f"{node.get('unacknowledged', 0):,}",
            f"{node.get('blocked_s', 0.0):.1f} s",
            node.get("http_url") or "",
        )
    return table


def _learning(status: Status, trend: Trend | None, glyphs: Glyphs) -> RenderableType:
    table = _grid()
    violated = status.get("violated")
    table.add_row(
        "epoch",
        f"{status['epoch']}, mu {number(status.get('mu'))}"
        + ("" if violated is None else f", violated {violated:.1%}"),
    )
    table.add_row("objective", _course(number(status.get("objective")), "objective", trend, glyphs))
    quality = status.get("quality")
    if quality is None:
        table.add_row("quality", "measured with the first model")
        return table
    table.add_row("quality", _course(quality["metric"], "quality", trend, glyphs))
    for name in METHODS:
        shown = f"{glyphs.bar(quality[name], QUALITY_WIDTH)} {quality[name]:.3f}"
        table.add_row("", Text(f"{shown}  {TITLES[name]}", style="bold" if name == "model" else ""))
    return table


def _course(text: str, name: Any, trend: Trend | None, glyphs: Glyphs) -> str:
    """Return a text, and how the value of that name went."""
    values = trend.values(name) if trend is not None else []
    return f"{text}  {glyphs.spark(values, SPARK_WIDTH)}" if len(values) > 1 else text


def _restarts(status: Status) -> RenderableType | None:
    """Return what the supervisor has restarted or given up; None where all is well."""
    processes = (status.get("supervisor") or {}).get("processes", [])
    told = [one for one in processes if one["restarts"] or one["state"] in ("waiting", "down")]
    if not told:
        return None
    table = _columns("restarted", "times", "left", "now", right="times left")
    for one in told[:MOST_WORKERS]:
        now = one["state"]
        if one["next_attempt_s"]:
            now = f"{one['reason']}: next attempt in {max(0.0, one['next_attempt_s'] - time.time()):.1f} s"
        elif now == "down":
            now = f"{one['reason']}: stays down, its budget is spent"
        style = {"down": "bold red", "waiting": "yellow"}.get(one["state"], "")
        row = (one["name"], str(one["restarts"]), str(one["budget_left"]))
        table.add_row(*row, Text(now, style=style))
    return table


def _events(events: list[dict[str, Any]]) -> Table:
    table = _columns("time", "event", "who", "what", right="")
    table.expand, table.columns[-1].ratio = True, 1  # it is the text that is cut, not the rest
    for event in events:
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(event["time"])),
            Text(event["kind"], style=EVENT_COLOURS.get(event["kind"], "")),
            event["name"],
            # the first line tells what happened; a log's end may follow
            re.sub(r"\s+", " ", event["text"].partition("\n")[0]),
        )
    return table
