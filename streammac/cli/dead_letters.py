"""The commands on records that could not be used: ``streammac dead-letters list | replay``.

`streammac.cli.app` hangs them into the command line. ``list`` only reads files, ``replay`` needs a running cluster.
"""

from __future__ import annotations

import json
import time

import typer

from streammac.cli.options import DEFAULT_DIRECTORY, DirectoryOption, JsonOption
from streammac.errors import ExitCode, Failure

dead_letters = typer.Typer(help="Records that could not be used.", no_args_is_help=True)

LETTER_CHARACTERS = 60
"""So much of a dead letter's text is listed."""


@dead_letters.command("list")
def list_letters(
    directory: DirectoryOption = DEFAULT_DIRECTORY, as_json: JsonOption = False
) -> None:
    """List the records that could not be used, and why; --json prints one object per line."""
    from ingest.dead_letters import damaged, read
    from streammac.run_directory import RunDirectory

    count = 0
    folder = RunDirectory.open(directory).dead_letters
    for letter in read(folder):
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
    unreadable = damaged(folder)
    if unreadable:
        typer.echo(f"{unreadable:,} lines in {folder} cannot be read: they are damaged", err=True)


@dead_letters.command("replay")
def replay(directory: DirectoryOption = DEFAULT_DIRECTORY) -> None:
    """Send the records again to the running cluster; those that go through are taken out."""
    from ingest.dead_letters import replay as send_again
    from streammac.client import Client, ClientError
    from streammac.run_directory import RunDirectory

    folder = RunDirectory.open(directory).dead_letters
    try:
        with Client(directory) as client:
            result = send_again(folder, client)
    except ClientError as error:
        raise Failure(ExitCode.NOT_RUNNING, str(error)) from None
    typer.echo(f"{result.accepted:,} went through, {result.refused:,} were refused again")
