"""The command ``streammac report``: a run, finished or not, as one HTML file.

`streammac.cli.app` hangs it into the command line.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from streammac.cli.options import DEFAULT_DIRECTORY
from streammac.errors import ExitCode, Failure


def report(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Run directory; the cluster may be running.")
    ] = DEFAULT_DIRECTORY,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="By default DIR/report.html."),
    ] = None,
) -> None:
    """Write a run's history to one HTML file that opens anywhere, without a network."""
    from streammac.link.request import ask_status
    from streammac.page.report import NothingToReport, render
    from streammac.run_directory import RunDirectory

    run = RunDirectory.open(directory)
    announced = run.announced("coordinator")
    status = ask_status(announced["control"], keys=run.keys) if announced else None
    try:
        html = render(run, status, time.time())
    except NothingToReport as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None
    target = output or run.root / "report.html"
    try:
        target.write_text(html, encoding="utf-8")
    except OSError as error:
        raise Failure(ExitCode.BAD_INPUT, f"{target}: {error.strerror}") from None
    typer.echo(str(target))
