"""The command ``streammac``: the root of the command line; it ends with an exit code (docs/cli.md).

Each command has a module of its own beside this one; here they are only hung together.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from streammac import __version__
from streammac.cli.chaos import chaos
from streammac.cli.cluster import demo, up
from streammac.cli.configuration import configuration
from streammac.cli.dead_letters import dead_letters
from streammac.cli.keys import keys
from streammac.cli.models import encode, models
from streammac.cli.processes import coordinator, ingest, worker
from streammac.cli.report import report
from streammac.cli.status import status
from streammac.cli.top import top
from streammac.cli.workers import workers
from streammac.errors import Failure

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""A process of the cluster computes in one thread; there is one process per core."""
COMMANDS = (encode, report, chaos, top, up, demo, coordinator, worker, ingest, status)
GROUPS = {
    "workers": workers,
    "model": models,
    "keys": keys,
    "dead-letters": dead_letters,
    "config": configuration,
}

app = typer.Typer(
    help="Nested models, trained continuously on live data by a ring of workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line."""
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    try:
        app()
    except Failure as failure:
        typer.echo(f"streammac: {failure}", err=True)
        sys.exit(failure.code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
