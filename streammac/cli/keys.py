"""The commands on keys: ``streammac keys new | allow | revoke | list``.

`streammac.cli.app` hangs them into the command line. They only change files; running processes read the allow-list
at the next handshake.
"""

from __future__ import annotations

import json
import socket
from typing import Annotated

import typer

from streammac.cli.options import DEFAULT_DIRECTORY, DirectoryOption, JsonOption
from streammac.errors import ExitCode, Failure

keys = typer.Typer(help="Keys of this host, and who may connect to it.", no_args_is_help=True)
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Public key: 64 digits, or a file own.pub.")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the host or client.")]


@keys.command("new")
def new(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of this host; else its host name.")
    ] = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    cluster_key: Annotated[
        str | None,
        typer.Option(
            "--cluster-key", metavar="KEY", help="Public key of the cluster: for a client."
        ),
    ] = None,
) -> None:
    """Make this host's keys; on the first host of a cluster the cluster's, too."""
    from streammac.run_directory import RunDirectory
    from streammac.security.keys import KeyFolder, read_public

    folder = KeyFolder(RunDirectory.create(directory).keys)
    first = cluster_key is None and not (folder.root / "cluster.key").exists()
    made = folder.new(
        name or socket.gethostname(), read_public(cluster_key) if cluster_key else None
    )
    typer.echo(f"{made.own.name} {made.own.public.hex()}")
    if first:
        typer.echo(
            f"a new cluster: copy {folder.root}/cluster.key to the other members before "
            "`streammac keys new` there",
            err=True,
        )


@keys.command("allow")
def allow(
    name: NameArgument, key: KeyArgument, directory: DirectoryOption = DEFAULT_DIRECTORY
) -> None:
    """Let a host or client connect to the processes of this directory."""
    from streammac.run_directory import RunDirectory
    from streammac.security.keys import KeyFolder, read_public

    KeyFolder(RunDirectory.create(directory).keys).allow(name, read_public(key))


@keys.command("revoke")
def revoke(name: NameArgument, directory: DirectoryOption = DEFAULT_DIRECTORY) -> None:
    """Let it connect no more; connections that are open stay open until a process restarts."""
    from streammac.run_directory import RunDirectory
    from streammac.security.keys import KeyFolder

    KeyFolder(RunDirectory.open(directory).keys).revoke(name)


@keys.command("list")
def show(directory: DirectoryOption = DEFAULT_DIRECTORY, as_json: JsonOption = False) -> None:
    """Print the public keys: this host's, the cluster's, and those that may connect."""
    from streammac.run_directory import RunDirectory
    from streammac.security.keys import KeyFolder, read_allowed

    folder = KeyFolder(RunDirectory.open(directory).keys)
    found = folder.load()
    if found is None:
        raise Failure(
            ExitCode.CONFIGURATION, f"{folder.root}: no keys - `streammac keys new` makes them"
        )
    allowed = {name: key.hex() for key, name in read_allowed(folder.allow_list).items()}
    own, cluster = found.own.public.hex(), found.cluster.hex()
    if as_json:
        keyed = {"name": found.own.name, "own": own, "cluster": cluster, "allowed": allowed}
        typer.echo(json.dumps(keyed, indent=1))
        return
    typer.echo(f"own      {found.own.name} {own}")
    typer.echo(f"cluster  {cluster}")
    for name, key in allowed.items():
        typer.echo(f"allowed  {name} {key}")
