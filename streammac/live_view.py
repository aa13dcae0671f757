"""The picture of a running cluster in the terminal: a pure function of its status, and a thin loop.

``up``, ``demo`` and ``status`` draw with `picture`; `TerminalView` redraws it in place, `LineView`
writes a line every few seconds where there is no terminal or none is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streammac.summary import METHODS, TITLES

Status = dict[str, Any]
BAR = 24
"""Width of a full bar, characters."""
LINE_S = 5.0
"""Time between two lines of `LineView`."""
MOST_WORKERS = 16
"""Workers that get a row of their own."""


def bar(share: float, width: int = BAR) -> str:
    """Return a bar of ``#`` and ``.`` that shows a share between 0 and 1, on any terminal.

    >>> bar(0.5, 8)
    '####....'
    """
    full = round(min(1.0, max(0.0, share)) * width)
    return "#" * full + "." * (width - full)


def picture(status: Status | None, elapsed_s: float) -> RenderableType:
    """Return what is shown of a status; None before there is one."""
    if status is None:
        return Text(f"starting ... {elapsed_s:.0f} s")
    return Group(_facts(status, elapsed_s), Text(""), _workers(status), Text(""), _quality(status))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _grid() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    return table


def _facts(status: Status, elapsed_s: float) -> Table:
    table = _grid()
    points = status["points"]
    rate = sum(node["rate"] for node in status["ingest"] if node["state"] == "alive")
    table.add_row(
        "points in",
        f"{points['accepted']:,}  ({rate:,.0f}/s, {points['dead_lettered']:,} dead-lettered)",
    )
    table.add_row(
        "training",
        f"epoch {status['epoch']}, objective {_number(status['objective'])}, "
        f"mu {_number(status['mu'])}, view {status['view']}",
    )
    version, promoted = status["model_version"], status["promoted"]
    model = f"version {version}" + (f", version {promoted} promoted" if promoted != version else "")
    table.add_row("model", model if version else "none yet")
    table.add_row("running", f"{elapsed_s:.0f} s")
    if page := status.get("coordinator", {}).get("http_url"):
        table.add_row("page", page)
    return table


def _workers(status: Status) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("worker", "load", "points", "epoch", "submodels here"):
        table.add_column(title, justify="right" if title in ("points", "epoch") else "left")
    for worker in status["workers"][:MOST_WORKERS]:
        alive = worker["state"] == "alive"
        table.add_row(
            worker["name"],
            f"{bar(worker['busy_share'])} {worker['busy_share']:4.0%}"
            if alive
            else worker["state"],
            f"{worker['points']:,}",
            str(worker["epoch"]),
            " ".join(worker["holding"]),
        )
    hidden = len(status["workers"]) - MOST_WORKERS
    return Group(table, Text(f"and {hidden} more workers")) if hidden > 0 else table


def _quality(status: Status) -> RenderableType:
    quality = status["quality"]
    if quality is None:
        return Text("quality: measured with the first model")
    table = _grid()
    for name in METHODS:
        table.add_row(TITLES[name], f"{bar(quality[name])} {quality[name]:.3f}")
    return Group(Text(quality["metric"], style="italic"), table)


def line(status: Status | None, elapsed_s: float) -> str:
    """Return the state of a cluster in one line."""
    if status is None:
        return f"{elapsed_s:5.0f} s  starting"
    rate = sum(node["rate"] for node in status["ingest"])
    alive = sum(worker["state"] == "alive" for worker in status["workers"])
    quality = status["quality"]
    measured = f", quality {quality['model']:.3f} (ITQ {quality['itq']:.3f})" if quality else ""
    return (
        f"{elapsed_s:5.0f} s  {status['points']['accepted']:,} points ({rate:,.0f}/s), "
        f"{alive} workers, epoch {status['epoch']}, model {status['model_version']}, "
        f"objective {_number(status['objective'])}{measured}"
    )


class View(Protocol):
    """Shows statuses as they come."""

    def __enter__(self) -> View:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        ...

    def show(self, status: Status | None, elapsed_s: float) -> None:
        """Show this status."""
        ...


class TerminalView:
    """Redraws the picture in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> TerminalView:
        """Take over the terminal's lower part."""
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back, without the picture."""
        self._live.__exit__(kind, error, trace)

    def show(self, status: Status | None, elapsed_s: float) -> None:
        """Draw this status; one that is missing leaves the last one standing."""
        if status is not None or elapsed_s < LINE_S:
            self._live.update(picture(status, elapsed_s), refresh=True)


class LineView:
    """Writes a line every few seconds."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next = 0.0
        self._page = ""

    def __enter__(self) -> LineView:
        """Nothing to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to do."""

    def show(self, status: Status | None, elapsed_s: float) -> None:
        """Write this status, if it is time for a line; and once where the page is."""
        page = (status or {}).get("coordinator", {}).get("http_url", "")
        if page and page != self._page:
            self._page = page
            self._write(f"         page: {page}")
        if elapsed_s >= self._next:
            self._next = elapsed_s + LINE_S
            self._write(line(status, elapsed_s))


def view_for(console: Console, *, ui: bool) -> View:
    """Return the view that suits a console."""
    if ui and console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(console)
    return LineView(lambda text: console.print(text, highlight=False, soft_wrap=True))
