"""The settings of a command: ``streammac config show | check``, and what other commands start with.

`streammac.cli.app` hangs them into the command line. Flags come before the environment, the file and the run directory
(docs/configuration.md).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from streammac.cli.options import (
    DEFAULT_DIRECTORY,
    ConfigOption,
    DirectoryOption,
    LogFormat,
    TransportName,
)

if TYPE_CHECKING:
    from streammac.settings.sources import Loaded

configuration = typer.Typer(help="Settings and where they come from.", no_args_is_help=True)


def load_settings(
    config: Path | None,
    directory: Path,
    *,
    workers: int | None = None,
    bits: int | None = None,
    sources: list[str] | None = None,
    transport: TransportName | None = None,
    insecure: bool = False,
    log_format: LogFormat | None = None,
    quiet: bool = False,
) -> Loaded:
    """Return the settings of a command in a run directory; a flag that was not given has no say."""
    from streammac.run_directory import RunDirectory
    from streammac.settings.sources import Flag, load

    flags = {
        "cluster.workers": Flag("--workers", workers),
        "model.bits": Flag("--bits", bits),
        "ingest.sources": Flag("--source", sources or None),
        "network.transport": Flag("--transport", transport.value if transport else None),
        "network.insecure": Flag("--insecure", insecure or None),
        "logs.format": Flag("--log-format", log_format.value if log_format else None),
        "logs.quiet": Flag("--quiet", quiet or None),
    }
    given = {key: flag for key, flag in flags.items() if flag.value is not None}
    loaded = load(config, os.environ, given, RunDirectory.open(directory).settings)
    if loaded.damage:
        typer.echo(f"streammac: {loaded.damage}", err=True)
    return loaded


@configuration.command("show")
def show(config: ConfigOption = None, directory: DirectoryOption = DEFAULT_DIRECTORY) -> None:
    """Print all settings as TOML, with the origin of each that is not a default."""
    from streammac.settings.toml import settings_toml

    loaded = load_settings(config, directory)
    typer.echo(settings_toml(loaded.settings, loaded.origins))


@configuration.command("check")
def check(config: ConfigOption = None, directory: DirectoryOption = DEFAULT_DIRECTORY) -> None:
    """Check all that ``up`` checks before it starts; one line per problem."""
    from streammac.cli.checks import check_start
    from streammac.run_directory import RunDirectory

    loaded = load_settings(config, directory)
    check_start(loaded, RunDirectory.open(directory.absolute()))
    typer.echo(f"ok: {len(loaded.origins)} settings differ from their defaults or repeat them")
