"""The history of a run: one JSON object per line, in a file that never grows beyond a limit.

The coordinator hands its status to a `Recorder` about twice a second; what is new in it becomes lines of
``DIR/history.ndjson``. The live page and ``streammac report`` draw their charts from these lines (docs/page.md).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streammac.files.replace import replace
from streammac.wire.status import (
    ClusterStatus,
    Event,
    Quality,
    WorkerStatus,
    to_json,
)

log = logging.getLogger(__name__)

Line = dict[str, Any]

HISTORY_BYTES = 2 << 20
"""A history that is larger is thinned to half of it."""
SAMPLE_S = 2.0
"""Time between two samples of the throughput."""
STATUS_S = 5.0
"""Longest time for which the status on disk lags behind."""
KEPT_MARKS = 2000
"""Newest starts and events that survive thinning, besides those about versions."""
TEXT_CHARACTERS = 300
"""So much of an event's text is kept."""
THINNED = frozenset({"epoch", "sample", "quality", "version", "promoted", "kept_back"})
"""Kinds of lines and of events of which some may go: their neighbours tell nearly the same."""


class Chronicle:
    """Tells what is new in a status: pure, the clock is an argument.

    >>> chronicle = Chronicle()
    >>> status = ClusterStatus(epoch=3, objective=0.5)
    >>> [line["k"] for line in chronicle.lines(status, 100.0)]
    ['sample', 'epoch']
    >>> chronicle.lines(status, 100.5)
    []
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._quality: Quality | None = None
        self._measured = -math.inf
        self._sampled = -math.inf
        self._events: frozenset[Event] = frozenset()

    def lines(self, status: ClusterStatus, now: float) -> list[Line]:
        """Return the lines for what has happened since the last status; ``now`` is Unix time, s."""
        found = self._new_events(status)
        if _due(self._sampled, now, SAMPLE_S):
            self._sampled = now
            found.append(_sample(status, now))
        if status.epoch > self._epoch and status.objective is not None:
            self._epoch = status.epoch
            found.append(_epoch(status, now))
        quality = status.quality
        if quality and quality != self._quality and _due(self._measured, now, SAMPLE_S):
            self._quality, self._measured = quality, now
            line = {"k": "quality", "t": _time(now), "version": quality.version}
            found.append(line | quality.methods)
        return found

    def _new_events(self, status: ClusterStatus) -> list[Line]:
        known, self._events = self._events, frozenset(status.events)
        return [_event(event) for event in status.events if event not in known]


def _due(last: float, now: float, every_s: float) -> bool:
    """Return whether it is time again, by a clock that may have been set back since the last time."""
    return not 0 <= now - last < every_s


def _time(seconds: float) -> float:
    return round(float(seconds), 3)


def _event(event: Event) -> Line:
    return {
        "k": "event",
        "t": _time(event.time),
        "number": event.number,
        "kind": event.kind,
        "name": event.name,
        "seconds": event.seconds,
        "text": event.text[:TEXT_CHARACTERS],
    }


def _sample(status: ClusterStatus, now: float) -> Line:
    sample = {
        "k": "sample",
        "t": _time(now),
        "accepted": status.points.accepted,
        "dead": status.points.dead_lettered,
        "stored": status.points.stored,
        "blocked": round(sum(node.blocked_s for node in status.ingest), 2),
        "alive": sum(worker.state == "alive" for worker in status.workers),
    }
    told = status.prequential
    return sample | {"prequential": told.window} if told is not None else sample


def _epoch(status: ClusterStatus, now: float) -> Line:
    return {
        "k": "epoch",
        "t": _time(now),
        "epoch": status.epoch - 1,
        "view": status.view,
        "seconds": {name: round(value, 5) for name, value in status.epoch_seconds.items()},
        "objective": status.objective,
        "mu": status.mu,
        "violated": status.violated,
        "named": status.named,
        "points": status.points.stored,
    }


class Recorder:
    """Keeps the history of a run on disk; a disk that is full costs lines, never the run.

    Parameters
    ----------
    history : Path
        The file of lines; what is there is gone on with.
    status : Path
        The newest status, for a report on a run that has ended.
    limit_bytes : int
        A larger history is thinned.
    """

    def __init__(self, history: Path, status: Path, limit_bytes: int = HISTORY_BYTES) -> None:
        self._path = history
        self._status = status
        self._limit = limit_bytes
        self._chronicle = Chronicle()
        self._started = False
        self._saved = -math.inf
        self._at_work: dict[str, WorkerStatus] = {}
        self.lost_lines = 0
        """Lines that could not be written."""

    def observe(self, status: ClusterStatus, now: float) -> list[Line]:
        """Take a status; return the lines that it added."""
        lines = self._chronicle.lines(status, now)
        if not self._started:
            self._started = True
            lines.insert(0, {"k": "start", "t": _time(now)})
        self._write(lines)
        self._at_work |= {w.name: w for w in status.workers if w.state == "alive"}
        if _due(self._saved, now, STATUS_S):
            self._save(status, now)
        return lines

    def close(self, status: ClusterStatus, now: float) -> None:
        """Keep the last status on disk; of workers that have left, how they were when they were at work."""
        workers = tuple(
            msgspec.structs.replace(
                self._at_work.get(worker.name, worker),
                state=worker.state,
                points=worker.points,
                holding=worker.holding,
            )
            for worker in status.workers
        )
        self._save(msgspec.structs.replace(status, workers=workers), now)

    def _save(self, status: ClusterStatus, now: float) -> None:
        self._saved = now
        try:
            replace(self._status, to_json({"t": _time(now), "status": status}).encode())
        except OSError as error:
            log.warning("could not keep the status: %s", error)

    def _write(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        try:
            with self._path.open("a+b") as file:
                end = file.tell()
                torn = b""
                if end:
                    file.seek(end - 1)
                    torn = b"\n" if file.read(1) != b"\n" else b""
                file.write(torn + _encoded(lines))
                size = file.tell()
            if size > self._limit:
                replace(self._path, _encoded(thinned(read(self._path), self._limit // 2)))
        except OSError as error:
            if not self.lost_lines:
                log.warning("the history has gaps: %s", error)
            self.lost_lines += len(lines)


def read(path: Path) -> list[Line]:
    """Return the lines of a history; torn or foreign ones are left out, a missing file has none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = []
    for text in raw.splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and "k" in line and isinstance(line.get("t"), int | float):
            lines.append(line)
    return lines


def thinned(lines: Sequence[Line], limit_bytes: int) -> list[Line]:
    """Return fewer lines, in their order, that take at most ``limit_bytes``.

    The newest `KEPT_MARKS` starts and events stay. Of the other lines the newest quarter stays, too; before it
    they are kept at a distance in time, which is doubled until it is enough. So however long a run was, its
    whole length is told at one resolution, and the end of it in detail.
    """
    sizes = [len(_encoded([line])) for line in lines]
    marks = [n for n, line in enumerate(lines) if _kind(line) not in THINNED][-KEPT_MARKS:]
    rest = [n for n, line in enumerate(lines) if _kind(line) in THINNED]

    def too_large() -> bool:
        return sum(sizes[n] for n in (*marks, *rest)) > limit_bytes

    old, new = rest[: len(rest) * 3 // 4], rest[len(rest) * 3 // 4 :]
    distance_s, span_s = SAMPLE_S, lines[-1]["t"] - lines[0]["t"] if lines else 0.0
    while too_large() and distance_s < 2 * span_s:
        distance_s *= 2
        rest = _apart(lines, old, distance_s) + new
    while too_large() and rest:
        rest = rest[len(rest) // 2 + 1 :]
    while too_large() and marks:
        marks = marks[len(marks) // 2 + 1 :]
    return [lines[n] for n in sorted(marks + rest)]


def _kind(line: Line) -> str:
    return str(line.get("kind") if line["k"] == "event" else line["k"])


def _apart(lines: Sequence[Line], numbers: Iterable[int], distance_s: float) -> list[int]:
    """Return those numbers whose lines are so far from the one of their kind that was kept before."""
    last: dict[str, float] = {}
    kept = []
    for number in numbers:
        kind, t = _kind(lines[number]), lines[number]["t"]
        if _due(last.get(kind, -math.inf), t, distance_s):
            last[kind] = t
            kept.append(number)
    return kept


def _encoded(lines: Iterable[Line]) -> bytes:
    return b"".join(to_json(line).encode() + b"\n" for line in lines)
