"""The commands that run a single process: ``streammac coordinator | worker | ingest``.

`streammac.cli.app` hangs them into the command line. People start processes of other machines with them, and the
supervisor all of its own: then hidden options say what only it knows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

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
    JoinOrDirectoryOption,
    LifelineOption,
    LogFormat,
    LogFormatOption,
    NameOption,
    QuietOption,
    TimeoutOption,
    TransportName,
    TransportOption,
)
from streammac.errors import ExitCode, Failure
from streammac.files.document import Damaged

if TYPE_CHECKING:
    from streammac.link.whereabouts import Whereabouts
    from streammac.run_directory import RunDirectory
    from streammac.settings.schema import Network, Settings

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
        from streammac.supervisor.command_lines import former_ports

        loaded = load_settings(config, directory, insecure=insecure)
        check_settings(loaded, run_directory)
        settings = loaded.settings
        network = settings.network
        former = former_ports(run_directory, network)
        control_port = network.coordinator_port or former[0]
        http_port = http_port or network.http_port or former[1]
        document.save(run_directory.settings, settings.model_dump(mode="json"), keep_former=True)
    settings = _on_ports(settings, control_port, http_port)
    _end(lifeline, lambda: run(run_directory, settings))


def _on_ports(settings: Settings, control: int, http: int) -> Settings:
    """Return settings for a coordinator that has to come back where it was before; 0: as they are."""
    ports = {"coordinator_port": control, "http_port": http}
    known = {name: port for name, port in ports.items() if port}
    return settings.model_copy(update={"network": settings.network.model_copy(update=known)})


def worker(
    name: NameOption = None,
    join: JoinOrDirectoryOption = None,
    timeout: TimeoutOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = "127.0.0.1",
    http_host: HttpHostOption = "127.0.0.1",
    http_port: HttpPortOption = 0,
    http_name: HttpNameOption = None,
    transport: TransportOption = None,
    insecure: InsecureOption = False,
    log_format: LogFormatOption = None,
    quiet: QuietOption = False,
    lifeline: LifelineOption = None,
) -> None:
    """Run a worker alone; it joins the cluster of --join, or the one in its directory."""
    if transport is TransportName.MPI and name is None:
        directory = _directory_of_rank(directory)
    name = name or _name_of_its_own("worker", directory, joins=join is not None)
    run_directory = _begin_process(name, directory, lifeline, log_format, quiet=quiet)
    from workers.worker import run

    network = _network(
        host, http_host, http_port, http_name, transport=transport, insecure=insecure
    )
    coordinator = _coordinator(run_directory, join, timeout)
    _end(lifeline, lambda: run(name, run_directory, coordinator, network, timeout))


def _directory_of_rank(directory: Path) -> Path:
    """Return the directory of a process that MPI started, one of many with the same command line."""
    for variable in ("PMIX_RANK", "PMI_RANK"):
        if rank := os.environ.get(variable):
            return directory / f"rank-{rank}"
    return directory


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
    join: JoinOrDirectoryOption = None,
    timeout: TimeoutOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = "127.0.0.1",
    http_host: HttpHostOption = "127.0.0.1",
    http_port: HttpPortOption = 0,
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

    network = _network(host, http_host, http_port, http_name, insecure=insecure)
    coordinator = _coordinator(run_directory, join, timeout)
    _end(lifeline, lambda: run(name, run_directory, coordinator, network, source, timeout))


def mpi_host(lifeline: Annotated[str, typer.Argument()]) -> None:
    """Start workers inside an MPI job, as standard input says."""
    from streammac.telemetry import logs
    from workers.mpi_host import run

    logs.configure("mpi", LogFormat.TEXT.value, quiet=False)
    run(lifeline)


def _network(
    host: str,
    http_host: str,
    http_port: int,
    names: list[str] | None,
    *,
    transport: TransportName | None = None,
    insecure: bool,
) -> Network:
    """Return where a process that was started by itself is to listen."""
    from pydantic import ValidationError

    from streammac.cli.checks import check_hosts
    from streammac.settings.schema import Network

    try:
        network = Network(
            host=host,
            http_host=http_host,
            http_port=http_port,
            http_names=tuple(names or ()),
            transport=(transport or TransportName.ZEROMQ).value,
            insecure=insecure,
        )
    except ValidationError as error:
        option = "--" + str(error.errors()[0]["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"{option}: {error.errors()[0]['msg']}") from None
    check_hosts(network, {"network.host": "--host", "network.http_host": "--http-host"})
    return network


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


def _end(lifeline: int | None, run: Callable[[], int]) -> NoReturn:
    """Run a process to its end; if it is supervised, an error that the next one need not meet has it started again."""
    if lifeline is None:
        raise typer.Exit(run())
    try:
        code = run()
    except (Failure, Damaged):
        raise  # it would meet them again
    except Exception as error:  # whatever it is: the log has all of it, and who supervises decides
        logging.getLogger(__name__).critical(
            "the process ends: %s: %s", type(error).__name__, error, exc_info=True
        )
        code = ExitCode.UNEXPECTED
    raise typer.Exit(code)


def _coordinator(own: RunDirectory, join: str | None, timeout: float | None) -> Whereabouts:
    """Return where the coordinator is; the keys of the directory that says so serve a process without its own."""
    from streammac.link.whereabouts import Whereabouts
    from streammac.run_directory import RunDirectory

    if join is not None and join.startswith("tcp://"):
        return Whereabouts(join)
    shared = own if join is None else RunDirectory.open(Path(join))
    if shared.keys.exists() and not own.keys.exists():
        own.keys.symlink_to(shared.keys.absolute())
    return Whereabouts.announced_in(shared, JOIN_S if timeout is None else timeout)
