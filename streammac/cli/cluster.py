"""The commands that run a whole cluster on this machine: ``streammac up | demo``.

`streammac.cli.app` hangs them into the command line. `streammac.supervisor` runs the cluster, `streammac.terminal`
shows it and sums it up.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streammac.cli.configuration import load_settings
from streammac.cli.options import (
    DEFAULT_DIRECTORY,
    BitsOption,
    ConfigOption,
    DirectoryOption,
    ForOption,
    InsecureOption,
    LogFormatOption,
    NoUiOption,
    QuietOption,
    SummaryOption,
    TransportOption,
    WorkersOption,
)
from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from streammac.settings.sources import Loaded

DEMO_S = 60.0
DEMO = Path(__file__).with_name("demo.toml")


def up(
    config: ConfigOption = None,
    workers: WorkersOption = None,
    bits: BitsOption = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="URI", help="A feed; may be given more than once."),
    ] = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    duration: ForOption = None,
    summary: SummaryOption = None,
    no_ui: NoUiOption = False,
    transport: TransportOption = None,
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
) -> None:
    """Start a cluster on this machine; in a directory where one ran before, go on."""
    began = time.time()
    loaded = load_settings(
        config,
        directory,
        workers=workers,
        bits=bits,
        sources=source,
        transport=transport,
        insecure=insecure,
        log_format=log_format,
        quiet=quiet,
    )
    _run(loaded, directory, duration, summary, ui=not no_ui, began=began)


def demo(
    workers: WorkersOption = None,
    bits: BitsOption = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Keep everything here.")
    ] = None,
    duration: ForOption = DEMO_S,
    summary: SummaryOption = None,
    no_ui: NoUiOption = False,
) -> None:
    """Train on real handwriting for a minute, turn the paper, and compare with the usual baselines."""
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="streammac-demo-") as scratch:
        where = directory or Path(scratch)
        loaded = load_settings(DEMO, where, workers=workers, bits=bits)
        _run(loaded, where, duration, summary, ui=not no_ui, began=began)


def _run(
    loaded: Loaded,
    directory: Path,
    duration: float | None,
    summary: Path | None,
    *,
    ui: bool,
    began: float,
) -> None:
    from rich.console import Console

    from streammac.cli import open_files
    from streammac.cli.checks import check_start
    from streammac.run_directory import RunDirectory, write_json
    from streammac.supervisor.local_cluster import LocalCluster
    from streammac.supervisor.run import supervise
    from streammac.telemetry import logs
    from streammac.terminal.live_view import view_for
    from streammac.terminal.summary import final_table, summarise

    run_directory = RunDirectory.open(directory.absolute())
    check_start(loaded, run_directory)
    open_files.allow_many()
    log_file = run_directory.logs / "supervisor.log"
    settings = loaded.settings
    wanted = settings.logs
    logs.configure("supervisor", wanted.format, quiet=wanted.quiet, file=log_file)
    console = Console()
    with view_for(console, ui=ui) as view:
        cluster = LocalCluster(run_directory, settings)
        run = supervise(cluster, view.show, duration, began)
    result = summarise(run)
    failure = run.failure
    try:
        if summary is not None:
            write_json(summary, result)
    except (OSError, ValueError) as error:  # a ValueError: it has no name
        why = error.strerror if isinstance(error, OSError) else error
        failure = failure or Failure(ExitCode.BAD_INPUT, f"--summary: {summary}: {why}")
    with contextlib.suppress(OSError):  # the terminal is gone
        console.print(final_table(result, run.running))
    if failure is not None:
        raise failure
