"""The command ``streammac check``: whether the files of a run directory are as they were written.

`streammac.cli.app` hangs it into the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streammac.cli.options import DEFAULT_DIRECTORY, JsonOption
from streammac.errors import ExitCode


def check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Run directory of a cluster that does not run.")
    ] = DEFAULT_DIRECTORY,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; what is replaced is kept.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read every file of a run directory again, and say what is damaged or missing; code 6 if anything is."""
    from streammac.integrity.directory import check as findings_in
    from streammac.run_directory import RunDirectory
    from streammac.wire.status import to_json

    damaged = 0
    for finding in findings_in(RunDirectory(directory), repair=repair):
        damaged += not finding.repaired and not finding.harmless
        if as_json:
            typer.echo(to_json(finding))
            continue
        state = "repaired: " if finding.repaired else ""
        typer.echo(f"{state}{finding.path}: {finding.text}")
        if finding.remedy and not finding.repaired:
            typer.echo(f"    {finding.remedy}")
    if damaged:
        typer.echo(
            f"{damaged} damaged; --repair mends what it says it does"
            if not repair
            else f"{damaged} left"
        )
        raise typer.Exit(ExitCode.BAD_INPUT)
    if not as_json:
        typer.echo(f"{directory}: nothing is damaged")
