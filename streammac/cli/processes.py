"""The commands that run a single process: ``streammac coordinator | worker | ingest``.

`streammac.cli.app` hangs them into the command line. People start processes of other machines with them, and the
supervisor all of its own: then hidden options say what only it knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streammac.cli.configuration import load_settings
from streammac.cli.options import (
    DEFAULT_DIRECTORY,
    ConfigOption,
    ControlPortOption,
    DirectoryOption,
    HostOption,
    HttpHostOption,
    HttpNameOption,
    HttpPortOption,
    InsecureOption,
    JoinOption,
    LifelineOption,
    LogFormat,
    LogFormatOption,
    NameOption,
    QuietOption,
)
from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from streammac.run_directory import RunDirectory
    from streammac.settings.schema import Settings

FIRST = {"worker": "w1", "ingest": "i1"}
"""Names in the directory of the cluster itself, as `streammac up` gives them."""
JOIN_S = 60.0
"""Longest wait of a process for its coordinator's announcement."""


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
    from streammac.files import document
    from streammac.settings.schema import Settings
    from workers.coordinator.process import run

    if lifeline is not None:  # the supervisor has merged all sources already
        settings = Settings.model_validate(document.decode(run_directory.settings.read_bytes()))
    else:
        from streammac.cli.checks import check_settings

        loaded = load_settings(config, directory, insecure=insecure)
        check_settings(loaded, run_directory.keys)
        settings = loaded.settings
        document.save(run_directory.settings, settings.model_dump(mode="json"))
    raise typer.Exit(run(run_directory, _on_ports(settings, control_port, http_port)))


def _on_ports(settings: Settings, control: int, http: int) -> Settings:
    """Return settings for a coordinator that has to come back where it was before; 0: as they are."""
    ports = {"coordinator_port": control, "http_port": http}
    known = {name: port for name, port in ports.items() if port}
    return settings.model_copy(update={"network": settings.network.model_copy(update=known)})


def worker(
    name: NameOption = None,
    join: JoinOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = "127.0.0.1",
    http_host: HttpHostOption = "127.0.0.1",
    http_name: HttpNameOption = None,
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
    lifeline: LifelineOption = None,
) -> None:
    """Run a worker alone; it joins the cluster of --join, or the one in its directory."""
    name = name or _name_of_its_own("worker", directory, joins=join is not None)
    run_directory = _begin_process(name, directory, lifeline, log_format, quiet=quiet)
    from streammac.settings.schema import Network
    from workers.worker import run

    names = tuple(http_name or ())
    network = Network(host=host, http_host=http_host, http_names=names, insecure=insecure)
    raise typer.Exit(run(name, run_directory, _address(run_directory, join), network))


def _name_of_its_own(role: Literal["worker", "ingest"], directory: Path, *, joins: bool) -> str:
    """Return the name of a process that was given none."""
    from streammac.cli.own_name import own_name

    return own_name(role, directory) if joins else FIRST[role]


def ingest(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="URI", help="A feed; else those of the settings."),
    ] = None,
    name: NameOption = None,
    join: JoinOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = "127.0.0.1",
    http_host: HttpHostOption = "127.0.0.1",
    http_name: HttpNameOption = None,
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
    lifeline: LifelineOption = None,
) -> None:
    """Run an ingest node alone; it joins the cluster of --join, or the one in its directory."""
    name = name or _name_of_its_own("ingest", directory, joins=join is not None)
    run_directory = _begin_process(name, directory, lifeline, log_format, quiet=quiet)
    from ingest.node import run
    from streammac.settings.schema import Network

    names = tuple(http_name or ())
    network = Network(host=host, http_host=http_host, http_names=names, insecure=insecure)
    raise typer.Exit(run(name, run_directory, _address(run_directory, join), network, source))


def _begin_process(
    name: str,
    directory: Path,
    lifeline: int | None,
    log_format: LogFormat | None,
    *,
    quiet: bool,
) -> RunDirectory:
    from streammac.cli import open_files
    from streammac.run_directory import RunDirectory
    from streammac.telemetry import logs

    open_files.allow_many()
    if lifeline is not None:
        from streammac.supervisor.processes import end_with

        end_with(lifeline)
    logs.configure(name, (log_format or LogFormat.TEXT).value, quiet=quiet)
    return RunDirectory.create(directory)


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
