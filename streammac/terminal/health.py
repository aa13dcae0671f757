"""How a cluster is, in four answers: whether it trains, whether it keeps up, who is slow, what failed.

Pure functions of a status (docs/status.md) and of the `Trend` of those before it; `render` draws them.
A status may be of an older coordinator: what is absent is taken for nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

Status = dict[str, Any]
Tone = Literal["good", "warn", "bad", "none"]

RECENT_S = 12.0
"""What "now" means for rates."""
SLOW = 1.15
"""So much longer than the mean counts as slow."""
HELD_UP = 0.05
"""Share of time in which a feed may wait unnoticed."""
STALLED_S = 10.0
"""Shortest time without an epoch that is worth a word."""
KEPT = 600
"""Samples that a trend remembers."""
MEMBERS = ("joining", "alive", "draining")
LOST = ("lost", "silent")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in a few words, and how good it is."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What changes all the time, at one moment."""

    time: float
    epoch: int
    accepted: int
    blocked_s: float
    objective: float | None
    quality: float | None


@dataclass(slots=True)
class Trend:
    """The last minutes of a cluster; ``now`` is any clock that only goes forward, s."""

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT))
    epoch_at: float | None = None
    """When the newest epoch was seen to be done."""

    def add(self, status: Status, now: float) -> None:
        """Take a status."""
        quality = status.get("quality") or {}
        if self.samples and status["epoch"] != self.samples[-1].epoch:
            self.epoch_at = now
        self.samples.append(
            Sample(
                now,
                status["epoch"],
                status["points"]["accepted"],
                sum(node.get("blocked_s", 0.0) for node in _feeding(status)),
                status.get("objective"),
                quality.get("model"),
            )
        )

    def rate(self, name: Literal["epoch", "accepted", "blocked_s"]) -> float | None:
        """Return how fast a count grows now, per second; None while there is too little to tell."""
        if not self.samples:
            return None
        last = self.samples[-1]
        first = next(s for s in self.samples if s.time >= last.time - RECENT_S)
        seconds = last.time - first.time
        return (getattr(last, name) - getattr(first, name)) / seconds if seconds > 0 else None

    def values(self, name: Literal["objective", "quality"]) -> list[float]:
        """Return the values of one kind, oldest first, without repetitions in a row."""
        found: list[float] = []
        for sample in self.samples:
            value = getattr(sample, name)
            if value is not None and (not found or value != found[-1]):
                found.append(value)
        return found


def answers(status: Status, trend: Trend | None = None) -> tuple[Answer, Answer, Answer, Answer]:
    """Return the answers to the four questions, in their order."""
    trend = trend or Trend()
    return training(status, trend), feed(status, trend), balance(status), failures(status)


def started(status: Status) -> float:
    """Return the Unix time of the start; a coordinator that was restarted knows its own only."""
    return float((status.get("supervisor") or status)["started_s"])


def members(status: Status) -> list[dict[str, Any]]:
    """Return the workers that take part."""
    return [worker for worker in status["workers"] if worker["state"] in MEMBERS]


def _feeding(status: Status) -> list[dict[str, Any]]:
    return [node for node in status["ingest"] if node["state"] == "alive"]


def point_rate(status: Status) -> float:
    """Return the points that come in per second, as the ingest nodes tell it."""
    return float(sum(node.get("rate", 0.0) for node in _feeding(status)))


def training(status: Status, trend: Trend) -> Answer:
    """Whether it trains, or what it waits for."""
    if status.get("stale"):
        return Answer("bad", "coordinator away")
    waiting = status.get("waiting")
    if not members(status):
        return Answer("bad", waiting or "no workers")
    if waiting:
        return Answer("warn", waiting)
    if not status["epoch"]:
        return Answer("warn", "not training yet")
    last = trend.samples[-1].time if trend.samples else 0.0
    silence = last - (trend.epoch_at or (trend.samples[0].time if trend.samples else 0.0))
    pace = trend.rate("epoch")
    if silence > STALLED_S:
        return Answer("warn", f"no epoch for {silence:.0f} s")
    if not pace:
        return Answer("good", "training")
    each = f"{pace:.1f} epochs/s" if pace >= 1 else f"an epoch in {1 / pace:.1f} s"
    return Answer("good", f"training, {each}")


def feed(status: Status, trend: Trend) -> Answer:
    """Whether it keeps up with what comes in."""
    nodes = _feeding(status)
    if not nodes:
        return Answer("warn", "no ingest node")
    if all(node.get("finished") for node in nodes):
        return Answer("good", "feed has ended")
    rate = f"{point_rate(status):,.0f} points/s"
    waited = (trend.rate("blocked_s") or 0.0) / len(nodes)
    if waited > HELD_UP:
        return Answer("warn", f"held up {min(1.0, waited):.0%}, {rate}")
    return Answer("good", f"keeps up, {rate}")


def effort(worker: dict[str, Any]) -> float:
    """Return the seconds a worker computed in its epoch; its busy share where that is not told."""
    seconds = worker.get("train_s", 0.0) + worker.get("z_step_s", 0.0)
    return float(seconds or worker.get("busy_share", 0.0))


def balance(status: Status) -> Answer:
    """Who is slow, if anybody is."""
    here = members(status)
    mean = sum(map(effort, here)) / len(here) if here else 0.0
    if len(here) < 2 or not mean:
        return Answer("none", "nothing to compare")
    slowest = max(here, key=effort)
    ratio = effort(slowest) / mean
    if ratio < SLOW:
        return Answer("good", "balanced")
    return Answer("warn", f"{slowest['name']} slow, {ratio:.1f} x mean")


def failures(status: Status) -> Answer:
    """What failed, and whether that is over."""
    processes = (status.get("supervisor") or {}).get("processes", [])
    down = [one["name"] for one in processes if one["state"] == "down"]
    lost = [one["name"] for one in status["workers"] + status["ingest"] if one["state"] in LOST]
    if down:
        return Answer("bad", f"down: {_named(down)}")
    if lost:
        return Answer("bad", f"lost: {_named(lost)}")
    counts = status.get("failures") or {}
    deaths = max(
        counts.get("crash", 0) + counts.get("hang", 0),
        (status.get("supervisor") or {}).get("restarts", 0),
    )
    if deaths:
        seconds = (status.get("recovery") or {}).get("last_s")
        after = f", recovered in {seconds:.1f} s" if seconds else ", all back"
        return Answer("warn", f"{deaths} died{after}")
    return Answer("good", "no failures")


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def recent_events(status: Status, count: int) -> list[dict[str, Any]]:
    """Return the newest events of coordinator and supervisor, oldest first."""
    own = (status.get("supervisor") or {}).get("events", [])
    events = [*(status.get("events") or []), *own]
    return sorted(events, key=lambda event: event["time"])[-count:]
