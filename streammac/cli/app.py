"""The command ``streammac``: the root of the command line; it ends with an exit code (docs/cli.md).

Each command has a module of its own beside this one; here they are only hung together.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import traceback
from typing import Annotated

import typer

from streammac import __version__
from streammac.cli.chaos import chaos
from streammac.cli.check import check
from streammac.cli.cluster import demo, up
from streammac.cli.configuration import configuration
from streammac.cli.dead_letters import dead_letters
from streammac.cli.keys import keys
from streammac.cli.models import encode, models, predict
from streammac.cli.plan import plan
from streammac.cli.processes import coordinator, ingest, mpi_host, worker
from streammac.cli.report import report
from streammac.cli.status import status
from streammac.cli.top import top
from streammac.cli.workers import workers
from streammac.errors import ExitCode, Failure, StreammacError

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""A process of the cluster computes in one thread; there is one process per core."""
COMMANDS = (
    encode,
    predict,
    plan,
    report,
    check,
    chaos,
    top,
    up,
    demo,
    coordinator,
    worker,
    ingest,
    status,
)
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
    rich_markup_mode=None,  # it takes longer to import than all else
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
for command in COMMANDS:
    app.command()(command)
app.command(hidden=True)(mpi_host)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line."""
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text
    try:
        app()
    except Exception as error:
        code, text = _told(error)
        with contextlib.suppress(OSError):  # a terminal that is gone, a disk that is full
            typer.echo(f"streammac: {text}", err=True)
        sys.exit(code)


def _told(error: Exception) -> tuple[ExitCode, str]:
    """Return with what code and words a command ends of an error; a traceback is for a file."""
    match error:
        case Failure():
            return error.code, str(error)
        case StreammacError():
            return ExitCode.BAD_INPUT, str(error)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return ExitCode.BAD_INPUT, f"{where}{error.strerror or error}"
    kind = type(error).__name__
    told = f"an error in streammac itself: {kind}: {error} - please report it"
    return ExitCode.UNEXPECTED, f"{told}; {_keep_traceback(error)}"


def _keep_traceback(error: Exception) -> str:
    """Write where an error came from to a file; return words that name it."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="streammac-error-", suffix=".txt", delete=False
        ) as file:
            file.writelines(traceback.format_exception(error))
    except OSError as why:
        return f"its traceback could not be kept: {why.strerror}"
    return f"its traceback is in {file.name}"


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
