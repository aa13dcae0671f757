"""The commands on models and vectors in files: ``encode``, ``predict`` and ``model list | export | rollback | unpin``.

`streammac.cli.app` hangs them into the command line. None of them needs a running cluster; what changes something asks
the coordinator where there is one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streammac.cli.options import (
    DEFAULT_DIRECTORY,
    DirectoryOption,
    JoinOption,
    JsonOption,
    VersionOption,
)
from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from streammac.publishing.versions import ModelVersion, VersionStore

models = typer.Typer(help="Model versions of a run directory.", no_args_is_help=True)


InArgument = Annotated[
    Path, typer.Argument(metavar="IN", help="Vectors: .npy, .npz, .fvecs, .bvecs, idx.")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="FILE", help="Model file; else the current one of --dir."),
]


def encode(
    source: InArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Packed codes, .npy (n, L/8).")],
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    model: ModelOption = None,
) -> None:
    """Encode a file of vectors; memory stays bounded however long it is."""
    from streammac.publishing.encoding import encode_file

    _apply(encode_file, "codes", source, target, _model(directory, model))


def predict(
    source: InArgument,
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="Classes (n,) or numbers (n, K), .npy.")
    ],
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    model: ModelOption = None,
) -> None:
    """Predict the targets of a file of vectors; memory stays bounded however long it is."""
    from streammac.publishing.encoding import predict_file

    _apply(predict_file, "predictions", source, target, _model(directory, model))


def _apply(
    to_file: Callable[..., int], what: str, source: Path, target: Path, found: ModelVersion
) -> None:
    """Apply a model to a file of vectors, and show how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ingest.sources.array_files import read_arrays
    from ingest.sources.base import SourceError

    try:
        vectors = read_arrays(source).x
    except SourceError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None
    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    begin = time.monotonic()
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=0, rate=0.0)

        def advance(done: int, total: int) -> None:
            rate = done / max(1e-9, time.monotonic() - begin)
            progress.update(task, completed=done, total=total, rate=rate)

        n = to_file(source, vectors, target, found, advance)
    seconds, version = time.monotonic() - begin, found.metadata.get("version")
    typer.echo(f"{n:,} {what} of model version {version} in {target}, {seconds:.1f} s")


def _model(directory: Path, model: Path | None) -> ModelVersion:
    from streammac.publishing.versions import VersionError, usable_model
    from streammac.run_directory import RunDirectory
    from streammac.security import KeyFolder, share_seal

    share_seal(KeyFolder(RunDirectory(directory).keys).load())
    try:
        if model is not None:
            return usable_model(model)
        versions = _versions(directory)
        if versions.current == 0:
            raise Failure(
                ExitCode.BAD_INPUT,
                f"{versions.path}: no model yet - let the cluster train, or name one with --model",
            )
        return versions.load(versions.current)
    except VersionError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None


def _versions(directory: Path) -> VersionStore:
    from streammac.publishing.versions import VersionStore
    from streammac.run_directory import RunDirectory

    return VersionStore(RunDirectory.open(directory).models, keep=1 << 30)  # commands prune nothing


@models.command("list")
def model_list(directory: DirectoryOption = DEFAULT_DIRECTORY, as_json: JsonOption = False) -> None:
    """List the model versions that are kept."""
    from streammac.publishing.versions import VersionError

    versions = _versions(directory)

    def described(number: int) -> dict[str, Any]:
        try:
            return versions.load(number).metadata
        except VersionError as error:
            return {"version": number, "promoted": False, "reason": f"not usable: {error}"}

    pinned = versions.pinned
    rows = [described(number) for number in versions.list()]
    rows = [row | {"pinned": pinned and row["promoted"]} for row in rows]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    from streammac.terminal.render import number

    columns = ("version", "epoch", "points", "objective", "quality", "changed", "", "why")
    table = Table(*columns, box=None)
    for row in rows:
        quality = row.get("quality") or {}
        table.add_row(
            str(row["version"]),
            str(row.get("epoch", "")),
            f"{row.get('points', 0):,}",
            number(row.get("objective")),
            f"{quality['model']:.3f}" if quality else "",
            f"{row['changed']['bits']:.1f}" if row.get("changed") else "",
            "pinned" if row["pinned"] else "current" if row["promoted"] else "",
            row["reason"],
        )
    Console().print(table)


@models.command("export")
def model_export(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help=".safetensors: for `encode --model`; .npz: plain arrays for numpy."
        ),
    ],
    version: VersionOption = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
) -> None:
    """Write a model version to a file of its own."""
    from streammac.publishing.encoding import export_model
    from streammac.publishing.versions import VersionError

    try:
        found = _versions(directory).load(version) if version else _model(directory, None)
    except VersionError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None
    export_model(found, target)
    typer.echo(f"model version {found.metadata['version']} in {target}")


@models.command("rollback")
def model_rollback(
    version: Annotated[int, typer.Argument(metavar="N", min=1, help="Version to go back to.")],
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    join: JoinOption = None,
) -> None:
    """Make a version the current one and pin it: no other is promoted before `model unpin`."""
    _pin(directory, join, version)
    typer.echo(f"version {version} is the current one, and stays it until `streammac model unpin`")


@models.command("unpin")
def model_unpin(directory: DirectoryOption = DEFAULT_DIRECTORY, join: JoinOption = None) -> None:
    """Let better versions become the current one again."""
    current = _pin(directory, join, 0)
    typer.echo(f"version {current} is the current one until a better one is published")


def _pin(directory: Path, join: str | None, version: int) -> int:
    """Ask the coordinator, or where none is running do it in the directory; return the current version."""
    from streammac.link.attached import Attached
    from streammac.publishing.versions import VersionError
    from streammac.run_directory import RunDirectory
    from streammac.wire.messages import PinReply, PinVersion

    cluster = Attached(RunDirectory.open(directory), join)
    if cluster.address is not None:
        answer = cluster.ask(PinVersion(version), PinReply)
        if answer.reason:
            raise Failure(ExitCode.BAD_INPUT, answer.reason)
        return answer.version
    versions = _versions(directory)
    try:
        versions.pin(version) if version else versions.unpin()
    except VersionError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None
    return versions.current
