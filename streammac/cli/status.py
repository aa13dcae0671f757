"""The command ``streammac status``: how a cluster is, now. `streammac.cli.app` hangs it into the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from streammac.cli.options import DEFAULT_DIRECTORY, DirectoryOption, JoinOption, JsonOption

if TYPE_CHECKING:
    from rich.table import Table


def status(
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    join: JoinOption = None,
    as_json: JsonOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what the words mean, and nothing else.")
    ] = False,
) -> None:
    """Show how the cluster in a directory is."""
    from rich.console import Console

    console = Console()
    if explain:
        console.print(_glossary())
        return
    from streammac.link.attached import Attached
    from streammac.run_directory import RunDirectory
    from streammac.wire.status import to_json

    answer = Attached(RunDirectory.open(directory), join).demand_status()
    if as_json:
        typer.echo(to_json(answer, indent=1))
        return
    from streammac.terminal.render import glyphs_for, render

    elapsed_s = time.time() - answer.running_since
    console.print(render(answer, elapsed_s, None, glyphs_for(console)))


def _glossary() -> Table:
    from rich.table import Table

    from streammac.terminal.glossary import TERMS

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    for term, meaning in TERMS:
        table.add_row(term, meaning)
    return table
