"""``streammac top``: watch a running cluster from any terminal. `streammac.cli.app` hangs it into the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from streammac.cli.options import DEFAULT_DIRECTORY, DirectoryOption, JoinOption

if TYPE_CHECKING:
    from rich.console import Console

    from streammac.link.attached import Attached

REFRESH_S = 0.5


def top(
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    join: JoinOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once and leave.")] = False,
) -> None:
    """Watch a running cluster; q or Ctrl-C leaves, and the cluster goes on."""
    from rich.console import Console

    from streammac.link.attached import Attached
    from streammac.run_directory import RunDirectory
    from streammac.terminal.render import glyphs_for, render

    cluster = Attached(RunDirectory.open(directory), join)
    status = cluster.demand_status()
    console = Console()
    if once:
        console.print(render(status, time.time() - status.running_since, None, glyphs_for(console)))
        return
    _watch(console, cluster, status.running_since)


def _watch(console: Console, cluster: Attached, started_s: float) -> None:
    """Draw until somebody presses q or Ctrl-C."""
    from msgspec.structs import replace

    from streammac.terminal.keyboard import keyboard
    from streammac.terminal.live_view import TerminalView

    last = None
    try:
        with keyboard() as keys, TerminalView(console, screen=True) as view:
            while True:
                status = cluster.status()
                if status is None and last is not None:  # it is away: show what was, and who acts
                    status = replace(last, stale=True).supervised(cluster.supervisor_status())
                else:
                    last = status or last
                view.show(status, time.time() - started_s)
                if keys.wait(REFRESH_S).lower().startswith("q"):
                    return
    except KeyboardInterrupt:
        return
