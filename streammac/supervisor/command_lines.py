"""How the single processes of a cluster are called: the arguments of ``streammac coordinator | worker | ingest``.

`LocalCluster` starts its processes with them, for the first time and again; `streammac.cli.processes` takes them.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from streammac.run_directory import RunDirectory
from streammac.settings.schema import Network, Settings
from streammac.wire.status import Role

STDIN = "stdin:"
"""Sources that begin so read standard input."""


def arguments(
    role: Role, name: str, directory: RunDirectory, settings: Settings, lifeline: int
) -> list[str]:
    """Return what follows the program's name.

    Parameters
    ----------
    role : {"coordinator", "worker", "ingest"}
        What is to be started.
    name : str
        Its name in the cluster; a coordinator has none.
    directory : RunDirectory
        The cluster's.
    settings : Settings
        The cluster's; processes read most of them from the run directory, or get them from the coordinator.
    lifeline : int
        File descriptor that closes when the supervisor is gone.
    """
    command = [role, "--dir", str(directory.root), "--lifeline", str(lifeline)]
    command += ["--log-format", settings.logs.format]
    command += ["--quiet"] if settings.logs.quiet else []
    if role == "coordinator":
        control, http = former_ports(directory, settings.network)
        return [*command, "--control-port", str(control), "--http-port", str(http)]
    network = settings.network
    command += ["--name", name, "--host", network.host, "--http-host", network.http_host]
    command += [word for one in network.http_names for word in ("--http-name", one)]
    if role == "worker" and network.transport == "mpi":
        command += ["--transport", "mpi"]
    return command + (["--insecure"] if network.insecure else [])


def former_ports(directory: RunDirectory, network: Network) -> tuple[int, int]:
    """Return where the coordinator that died here listened, 0 for any port: if it comes back, it does so there.

    Members find it at its control port alone. Where somebody else took its port for HTTP meanwhile, any other will do.
    """
    announced = directory.last_announced("coordinator") or {}
    if announced.get("host", socket.gethostname()) != socket.gethostname():
        announced = {}  # its ports were those of another host
    addresses = (announced.get("control", ""), announced.get("http_url", ""))
    control, http = (urlsplit(address).port or 0 for address in addresses)
    return control, http if http and _is_free(network.http_host, http) else network.http_port


def _is_free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def reads_stdin(role: Role, settings: Settings) -> bool:
    """Return whether a process reads our standard input: an ingest node does, if a source is there."""
    return role == "ingest" and any(uri.startswith(STDIN) for uri in settings.ingest.sources)
