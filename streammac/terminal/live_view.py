"""Shows a running cluster for as long as it runs: drawn again and again in one place, or a line now and then.

``up``, ``demo`` and ``top`` hand their statuses over; `streammac.terminal.render` says what is to be seen of them.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live

from streammac.terminal.render import glyphs_for, number, render
from streammac.terminal.summary import title_of
from streammac.terminal.trend import Trend
from streammac.wire.status import ClusterStatus, Quality

LINE_S = 5.0
"""Time between two lines of `LineView`."""
NEW_EVENTS = 20
"""At most so many new events get a line each."""
ROUTINE = frozenset({"promoted", "kept_back", "view", "turns"})
"""Kinds of events that get no line: they come all the time, or tell what others did."""


def line(status: ClusterStatus | None, elapsed_s: float) -> str:
    """Return the state of a cluster in one line."""
    if status is None or not status.begun:
        return f"{elapsed_s:5.0f} s  starting"
    quality, points = status.quality, status.points
    measured = f", quality {quality.model:.3f}{_best(quality)}" if quality else ""
    return (
        f"{elapsed_s:5.0f} s  {points.accepted:,} points ({status.point_rate:,.0f}/s"
        f"{f', {points.away:,} away' if points.away else ''}), "
        f"{len(status.members)} workers, epoch {status.epoch}, model {status.model_version}, "
        f"objective {number(status.objective)}{measured}"
        f"{f', {status.waiting}' if status.waiting else ''}"
        f"{f', resting: {status.resting}' if status.resting else ''}"
        f"{', the coordinator is away' if status.stale else ''}"
    )


def _best(quality: Quality) -> str:
    """Return the best baseline with its value, in brackets."""
    known = {n: v for n, v in quality.methods.items() if n not in ("model", "initial")}
    if not known:
        return ""
    best = max(known, key=known.__getitem__)
    return f" ({title_of(quality.titles, best)} {known[best]:.3f})"


class View(ABC):
    """Shows statuses as they come; a view that takes nothing has nothing to give back at its end."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027
        """End."""

    @abstractmethod
    def show(self, status: ClusterStatus | None, elapsed_s: float) -> None:
        """Show this status; None, or one without a coordinator, before the first one."""


class TerminalView(View):
    """Redraws the cluster in place.

    Parameters
    ----------
    console : Console
        Where.
    screen : bool
        Take the whole screen, and give it back at the end as it was.
    """

    def __init__(self, console: Console, *, screen: bool = False) -> None:
        self._glyphs = glyphs_for(console)
        self._trend = Trend()
        self._live = Live(console=console, auto_refresh=False, transient=True, screen=screen)

    def __enter__(self) -> Self:
        """Take over the terminal's lower part."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back as it was, if it is still there."""
        with contextlib.suppress(OSError):
            self._live.stop()

    def show(self, status: ClusterStatus | None, elapsed_s: float) -> None:
        """Draw this status; one that is missing leaves the last one standing."""
        if status is None and elapsed_s >= LINE_S:
            return
        if status is not None and status.begun:
            self._trend.add(status)
        self._live.update(render(status, elapsed_s, self._trend, self._glyphs), refresh=True)


class LineView(View):
    """Writes a line every few seconds, and one for each event that matters."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next = 0.0
        self._page = ""
        self._newest = 0.0
        """Time of the newest event that was written."""

    def show(self, status: ClusterStatus | None, elapsed_s: float) -> None:
        """Write what is new, this status if it is time for a line, and once where the page is."""
        if status is not None:
            self._show_page(status)
            self._show_events(status, elapsed_s)
        if elapsed_s >= self._next:
            self._next = elapsed_s + LINE_S
            self._write(line(status, elapsed_s))

    def _show_page(self, status: ClusterStatus) -> None:
        page = status.coordinator.http_url
        if page and page != self._page:
            self._page = page
            self._write(f"         page: {page}")

    def _show_events(self, status: ClusterStatus, elapsed_s: float) -> None:
        new = [event for event in status.newest_events(NEW_EVENTS) if event.time > self._newest]
        for event in new:
            self._newest = event.time
            if event.kind not in ROUTINE:
                title = " ".join(filter(None, (event.kind, event.name)))
                self._write(f"{elapsed_s:5.0f} s    {title}: {event.text}")


def view_for(console: Console, *, ui: bool) -> View:
    """Return the view that suits a console."""
    if ui and console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(console)
    return LineView(lambda text: console.print(text, highlight=False, soft_wrap=True, markup=False))
