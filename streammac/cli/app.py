"""The command ``streammac``: reads the command line, composes the parts, ends with an exit code.

The composition root: only here the packages `workers` and `ingest` are imported, and only in the
commands that need them, so that ``streammac --help`` stays quick.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streammac import __version__
from streammac.cli.chaos import chaos
from streammac.cli.keys import keys
from streammac.cli.models import encode, models
from streammac.cli.options import (
    DEFAULT_DIRECTORY,
    BitsOption,
    ConfigOption,
    ControlPortOption,
    DirectoryOption,
    ForOption,
    HostOption,
    HttpHostOption,
    HttpPortOption,
    InsecureOption,
    JoinOption,
    JsonOption,
    LifelineOption,
    LogFormat,
    LogFormatOption,
    NameOption,
    NoUiOption,
    QuietOption,
    SummaryOption,
    WorkersOption,
)
from streammac.cli.report import report
from streammac.cli.top import top
from streammac.cli.workers import workers as workers_commands
from streammac.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from rich.table import Table

    from streammac.config import Settings
    from streammac.run_directory import RunDirectory
    from streammac.settings_sources import Flag, Loaded

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""A process of the cluster computes in one thread; there is one process per core."""
LETTER_CHARACTERS = 60
"""So much of a dead letter's text is listed."""
FIRST_WORKER = "w1"
JOIN_S = 60.0
"""Longest wait of a process for its coordinator's announcement."""
DEMO_S = 60.0
DEMO_SOURCE = "patches:?rate=2000"
DEMO_BITS = 16

app = typer.Typer(
    help="Nested models, trained continuously on live data by a ring of workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
letters = typer.Typer(help="Records that could not be used.", no_args_is_help=True)
configuration = typer.Typer(help="Settings and where they come from.", no_args_is_help=True)
app.command()(encode)
app.command()(report)
app.command()(chaos)
app.command()(top)
app.add_typer(workers_commands, name="workers")
app.add_typer(models, name="model")
app.add_typer(keys, name="keys")
app.add_typer(letters, name="dead-letters")
app.add_typer(configuration, name="config")


def main() -> None:
    """Run the command line; the exit code says how it went (docs/cli.md)."""
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


# -- a whole cluster -------------------------------------------------------------------------------


@app.command()
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
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
) -> None:
    """Start a cluster on this machine; in a directory where one ran before, go on."""
    began = time.time()
    flags = _flags(
        workers=workers,
        bits=bits,
        sources=source,
        insecure=insecure,
        log_format=log_format,
        quiet=quiet,
    )
    settings = _settings(config, flags, directory).settings
    _up(settings, directory, duration, summary, ui=not no_ui, began=began)


@app.command()
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
    """Train on patches of real photographs for a minute, and compare with the usual baselines."""
    import tempfile

    began = time.time()
    flags = _flags(workers=workers, bits=bits or DEMO_BITS, sources=[DEMO_SOURCE])
    with tempfile.TemporaryDirectory(prefix="streammac-demo-") as scratch:
        where = directory or Path(scratch)
        settings = _settings(None, flags, where).settings
        _up(settings, where, duration, summary, ui=not no_ui, began=began)


def _up(
    settings: Settings,
    directory: Path,
    duration: float | None,
    summary: Path | None,
    *,
    ui: bool,
    began: float,
) -> None:
    from rich.console import Console

    from streammac import logs, open_files
    from streammac.run_directory import RunDirectory, write_json
    from streammac.supervisor.local_cluster import LocalCluster
    from streammac.supervisor.one_run import supervise
    from streammac.terminal.live_view import view_for
    from streammac.terminal.summary import final_table, summarise

    _check_files(settings.ingest.sources)
    open_files.allow_many()
    run_directory = RunDirectory(directory.absolute())
    log_file = run_directory.logs / "supervisor.log"
    wanted = settings.logs
    logs.configure("supervisor", wanted.format, quiet=wanted.quiet, file=log_file)
    console = Console()
    with view_for(console, ui=ui) as view:
        cluster = LocalCluster(run_directory, settings)
        run = supervise(cluster, view.show, duration, began)
    result = summarise(run)
    if summary is not None:
        write_json(summary, result)
    console.print(final_table(result, run.running))
    if run.failure is not None:
        raise run.failure


def _check_files(sources: Sequence[str]) -> None:
    """Look whether files that are to be read exist, before anything is started."""
    from ingest.sources.base import SourceError, parse

    try:
        for uri in sources:
            address = parse(uri)
            if address.scheme == "file":
                _ = address.path  # raises where there is none
    except SourceError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None


def _flags(
    *,
    workers: int | None = None,
    bits: int | None = None,
    sources: list[str] | None = None,
    insecure: bool = False,
    log_format: LogFormat | None = None,
    quiet: bool = False,
) -> dict[str, Flag]:
    from streammac.settings_sources import Flag

    given = {
        "cluster.workers": Flag("--workers", workers),
        "model.bits": Flag("--bits", bits),
        "ingest.sources": Flag("--source", sources or None),
        "network.insecure": Flag("--insecure", insecure or None),
        "logs.format": Flag("--log-format", log_format.value if log_format else None),
        "logs.quiet": Flag("--quiet", quiet or None),
    }
    return {key: flag for key, flag in given.items() if flag.value is not None}


def _settings(config: Path | None, flags: Mapping[str, Flag], directory: Path) -> Loaded:
    from streammac.run_directory import RunDirectory
    from streammac.settings_sources import load

    return load(config, os.environ, flags, RunDirectory(directory).settings)


# -- single processes ------------------------------------------------------------------------------


@app.command()
def coordinator(
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
    control_port: ControlPortOption = 0,
    http_port: HttpPortOption = 0,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
    lifeline: LifelineOption = None,
) -> None:
    """Run a coordinator alone; workers and ingest nodes of other machines may join it."""
    run_directory = _begin_process("coordinator", directory, lifeline, log_format, quiet=quiet)
    from streammac.config import Settings
    from workers.coordinator import run

    if lifeline is not None:  # the supervisor has merged all sources already
        settings = Settings.model_validate_json(run_directory.settings.read_text())
    else:
        from streammac.run_directory import write_json

        settings = _settings(config, _flags(insecure=insecure), directory).settings
        write_json(run_directory.settings, settings.model_dump(mode="json"))
    raise typer.Exit(run(run_directory, _on_ports(settings, control_port, http_port)))


def _on_ports(settings: Settings, control: int, http: int) -> Settings:
    """Return settings for a coordinator that has to come back where it was before; 0: as they are."""
    ports = {"coordinator_port": control, "http_port": http}
    known = {name: port for name, port in ports.items() if port}
    return settings.model_copy(update={"network": settings.network.model_copy(update=known)})


@app.command()
def worker(
    name: Annotated[
        str | None,
        typer.Option("--name", help="Stable name; else one is made, and kept in the directory."),
    ] = None,
    join: JoinOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = "127.0.0.1",
    http_host: HttpHostOption = "127.0.0.1",
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
    lifeline: LifelineOption = None,
) -> None:
    """Run a worker alone; it joins the cluster of --join, or the one in its directory."""
    name = name or _name_of_its_own(directory, joins=join is not None)
    run_directory = _begin_process(name, directory, lifeline, log_format, quiet=quiet)
    from workers.worker import run

    address = _address(run_directory, join)
    raise typer.Exit(run(name, run_directory, address, host, http_host, insecure=insecure))


def _name_of_its_own(directory: Path, *, joins: bool) -> str:
    """Return the name of a worker that was given none."""
    from streammac.names import host_name

    return host_name(directory) if joins else FIRST_WORKER


@app.command()
def ingest(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="URI", help="A feed; else those of the settings."),
    ] = None,
    name: NameOption = "i1",
    join: JoinOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = "127.0.0.1",
    http_host: HttpHostOption = "127.0.0.1",
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
    lifeline: LifelineOption = None,
) -> None:
    """Run an ingest node alone."""
    run_directory = _begin_process(name, directory, lifeline, log_format, quiet=quiet)
    from ingest.node import run

    address = _address(run_directory, join)
    raise typer.Exit(run(name, run_directory, address, host, source, http_host, insecure=insecure))


def _begin_process(
    name: str,
    directory: Path,
    lifeline: int | None,
    log_format: LogFormat | None,
    *,
    quiet: bool,
) -> RunDirectory:
    from streammac import logs, open_files
    from streammac.run_directory import RunDirectory

    open_files.allow_many()
    if lifeline is not None:
        from streammac.supervisor.processes import end_with

        end_with(lifeline)
    logs.configure(name, (log_format or LogFormat.TEXT).value, quiet=quiet)
    return RunDirectory(directory)


def _address(directory: RunDirectory, join: str | None) -> str:
    if join is not None:
        return join
    announced = directory.wait_for("coordinator", JOIN_S)
    if announced is None:
        raise Failure(
            ExitCode.NOT_RUNNING,
            f"no coordinator announced itself in {directory.root} within {JOIN_S:.0f} s - "
            "start one there, or name one with --join tcp://HOST:PORT",
        )
    return str(announced["control"])


# -- questions -------------------------------------------------------------------------------------


@app.command()
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
    from streammac.attached import Attached
    from streammac.run_directory import RunDirectory

    answer = Attached(RunDirectory(directory), join).demand_status()
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
        return
    from streammac.terminal.condition import started
    from streammac.terminal.picture import glyphs_for, picture

    elapsed_s = time.time() - started(answer)
    console.print(picture(answer, elapsed_s, None, glyphs_for(console)))


def _glossary() -> Table:
    from rich.table import Table

    from streammac.terminal.glossary import TERMS

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    for term, meaning in TERMS:
        table.add_row(term, meaning)
    return table


# -- dead letters ----------------------------------------------------------------------------------


@letters.command("list")
def letters_list(
    directory: DirectoryOption = DEFAULT_DIRECTORY, as_json: JsonOption = False
) -> None:
    """List the records that could not be used, and why; --json prints one object per line."""
    from ingest.dead_letters import read
    from streammac.run_directory import RunDirectory

    count = 0
    for letter in read(RunDirectory(directory).dead_letters):
        count += 1
        raw = letter.raw.decode(errors="replace")
        if as_json:
            fields = ("file", "number", "source", "format", "reason", "time")
            record = {field: getattr(letter, field) for field in fields}
            typer.echo(json.dumps(record | {"bytes": len(letter.raw), "text": raw}))
        else:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.time))
            start = raw[:LETTER_CHARACTERS] if letter.format in ("json", "csv") else ""
            typer.echo(f"{when}  {letter.source}: {letter.reason}  {start!r}")
    if not as_json:
        typer.echo(f"{count:,} dead letters in {directory}")


@letters.command("replay")
def letters_replay(directory: DirectoryOption = DEFAULT_DIRECTORY) -> None:
    """Send the records again to the running cluster; those that go through are taken out."""
    from ingest.dead_letters import replay
    from streammac.client import Client, ClientError
    from streammac.run_directory import RunDirectory

    try:
        with Client(directory) as client:
            result = replay(RunDirectory(directory).dead_letters, client)
    except ClientError as error:
        raise Failure(ExitCode.NOT_RUNNING, str(error)) from None
    typer.echo(f"{result.accepted:,} went through, {result.refused:,} were refused again")


# -- configuration ---------------------------------------------------------------------------------


@configuration.command("show")
def config_show(
    config: ConfigOption = None, directory: DirectoryOption = DEFAULT_DIRECTORY
) -> None:
    """Print all settings as TOML, with the origin of each that is not a default."""
    from streammac.reference import settings_toml

    loaded = _settings(config, {}, directory)
    typer.echo(settings_toml(loaded.settings, loaded.origins))


@configuration.command("check")
def config_check(
    config: ConfigOption = None, directory: DirectoryOption = DEFAULT_DIRECTORY
) -> None:
    """Check file, environment and run directory; exit code 3 and one line per problem."""
    loaded = _settings(config, {}, directory)
    typer.echo(f"ok: {len(loaded.origins)} settings differ from their defaults or repeat them")
