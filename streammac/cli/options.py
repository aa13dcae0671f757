"""Options that several commands share: one spelling and one help text each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streammac.names import BadName, check_name


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


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
ForOption = Annotated[
    float | None,
    typer.Option("--for", metavar="SECONDS", min=0, help="Stop after so long; else at Ctrl-C."),
]
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
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Listen beyond loopback without keys.")
]
JoinOption = Annotated[
    str | None,
    typer.Option(
        "--join", metavar="ADDRESS", help="tcp://host:port of the coordinator; else from --dir."
    ),
]
LifelineOption = Annotated[int | None, typer.Option("--lifeline", hidden=True)]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option("--log-format", help="Log lines for people or programs.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Log warnings and errors only.")]
ControlPortOption = Annotated[int, typer.Option("--control-port", hidden=True, min=0, max=65535)]
HttpPortOption = Annotated[int, typer.Option("--http-port", hidden=True, min=0, max=65535)]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
VersionOption = Annotated[
    int | None, typer.Option("--version", metavar="N", help="Version; else the current one.")
]
