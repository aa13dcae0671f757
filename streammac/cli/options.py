"""Options that several commands share: one spelling and one help text each."""

from __future__ import annotations

import math
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from streammac.names import BadName, check_name


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class TransportName(StrEnum):
    """What tokens travel by."""

    ZEROMQ = "zeromq"
    MPI = "mpi"


DEFAULT_DIRECTORY = Path("streammac-run")

DirectoryOption = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Run directory of the cluster.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file; without it ./streammac.toml, if there is one."
    ),
]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Number of workers.")]
BitsOption = Annotated[int | None, typer.Option("--bits", help="Length of the codes.")]


def number(value: float | None) -> float | None:
    """Refuse what is no number, though every range has room for it (the callback of options with a range)."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("expected a number, got nan")
    return value


MOST_S = 1e9
"""Of any time that is given on the command line: thirty years."""


def seconds(name: str, text: str, most: float = MOST_S) -> Any:
    """Return an option that takes a time."""
    return typer.Option(name, metavar="SECONDS", min=0, max=most, callback=number, help=text)


ForOption = Annotated[float | None, seconds("--for", "Stop after so long; else at Ctrl-C.")]
SummaryOption = Annotated[
    Path | None, typer.Option("--summary", metavar="FILE", help="Write a JSON summary at the end.")
]
NoUiOption = Annotated[
    bool, typer.Option("--no-ui", help="A line now and then instead of a live picture.")
]


def _name(text: str | None) -> str | None:
    try:
        return None if text is None else check_name(text)
    except BadName as error:
        raise typer.BadParameter(str(error)) from None


NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", callback=_name, help="Stable name; else one is made, and kept in the directory."
    ),
]
HostOption = Annotated[str, typer.Option("--host", help="Interface to listen on.")]
HttpHostOption = Annotated[
    str, typer.Option("--http-host", help="Interface of metrics and HTTP: plain, open to anybody.")
]
HttpNameOption = Annotated[
    list[str] | None,
    typer.Option("--http-name", help="A name by which HTTP is asked, besides addresses."),
]
TransportOption = Annotated[
    TransportName | None,
    typer.Option("--transport", help="How tokens travel between workers; else by ZeroMQ."),
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Listen beyond loopback without keys.")
]


def _address(text: str | None) -> str | None:
    if text is None:
        return None
    import msgspec

    from streammac.wire.fields import Address

    try:
        return msgspec.convert(text, Address)
    except msgspec.ValidationError:
        raise typer.BadParameter(
            f"expected tcp://HOST:PORT, got {text[:80]!r} - e.g. tcp://10.0.0.1:7000"
        ) from None


def _address_or_directory(text: str | None) -> str | None:
    if text is None or not Path(text).is_dir():
        return _address(text)
    return text


def _open_file(number: int | None) -> int | None:
    try:
        return None if number is None or os.fstat(number) is None else number
    except (OSError, OverflowError):
        raise typer.BadParameter(f"expected an open file, got {number}") from None


JoinOption = Annotated[
    str | None,
    typer.Option(
        "--join",
        metavar="ADDRESS",
        callback=_address,
        help="tcp://host:port of the coordinator; else from --dir.",
    ),
]
JoinOrDirectoryOption = Annotated[
    str | None,
    typer.Option(
        "--join",
        metavar="ADDRESS",
        callback=_address_or_directory,
        help="tcp://host:port of the coordinator, or its run directory on a shared disk; else --dir.",
    ),
]
TimeoutOption = Annotated[
    float | None,
    seconds("--timeout", "Give up if no coordinator answers within so long; else never."),
]
LifelineOption = Annotated[int | None, typer.Option("--lifeline", hidden=True, callback=_open_file)]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option("--log-format", help="Log lines for people or programs.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Log warnings and errors only.")]
ControlPortOption = Annotated[int, typer.Option("--control-port", hidden=True, min=0, max=65535)]
HttpPortOption = Annotated[
    int,
    typer.Option(
        "--http-port", min=0, max=65535, help="Port of metrics and health, 0: any free one."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
VersionOption = Annotated[
    int | None, typer.Option("--version", metavar="N", help="Version; else the current one.")
]
