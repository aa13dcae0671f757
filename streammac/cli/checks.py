"""What can be known before anything is started: the same for ``streammac config check``, ``up`` and ``coordinator``.

`streammac.settings` checks each value for itself; here is what takes a model, a file, a key or a name server.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from streammac.models.base import NestedModel
    from streammac.run_directory import RunDirectory
    from streammac.settings.schema import Network, Settings
    from streammac.settings.sources import Loaded


def check_start(loaded: Loaded, directory: RunDirectory) -> None:
    """Check whether a cluster can be started with these settings, and its feeds be read; see `check_settings`."""
    from streammac.settings.sources import ConfigurationError
    from streammac.supervisor import mpi_starter
    from streammac.supervisor.local_cluster import MOST_WORKERS

    check_settings(loaded, directory)
    workers = loaded.settings.cluster.workers
    if workers > MOST_WORKERS:
        origin = loaded.origins.get("cluster.workers", "settings")
        raise ConfigurationError(
            f"{origin}: cluster.workers: expected {MOST_WORKERS} or less on one machine, got {workers}"
        )
    if loaded.settings.network.transport == "mpi" and not mpi_starter.is_usable():
        origin = loaded.origins.get("network.transport", "settings")
        raise ConfigurationError(f"{origin}: {mpi_starter.MISSING}")
    _sources(loaded.settings.ingest.sources, loaded.settings.network.http_host)


def check_settings(loaded: Loaded, directory: RunDirectory) -> None:
    """Check whether a coordinator can be started with these settings; feeds may be those of another machine.

    Parameters
    ----------
    loaded : Loaded
        The settings, and where they come from.
    directory : RunDirectory
        With keys and versions, if there are any.

    Raises
    ------
    Failure
        With a line for each setting that is wrong (code 3); of `check_start` also for a source (code 6).
    """
    from streammac.security import KeyFolder, refuse_open_host

    settings, origins = loaded.settings, loaded.origins
    keyed = KeyFolder(directory.keys).load() is not None
    model = _model(settings, directory, keyed=keyed)
    _demand([*model, *_hosts(settings.network)], origins)
    network = settings.network
    refuse_open_host(network.host, directory.keys, keyed=keyed, insecure=network.insecure)


def check_hosts(network: Network, origins: Mapping[str, str]) -> None:
    """Check whether this machine can listen where it is asked to.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    _demand([*_hosts(network)], origins)


def _demand(wrong: Sequence[str], origins: Mapping[str, str]) -> None:
    from streammac.settings.sources import ConfigurationError

    if wrong:
        lines = (f"{origins.get(text.partition(': ')[0], 'settings')}: {text}" for text in wrong)
        raise ConfigurationError(*lines)


def _model(settings: Settings, directory: RunDirectory, *, keyed: bool) -> Iterator[str]:
    from streammac.models.capabilities import Incapable
    from streammac.models.registry import ModelError, configured
    from streammac.models.strategies import trained_by

    wanted, measure = settings.model, settings.held_out.measure
    try:
        model = configured(wanted.family, wanted.options, wanted.bits, settings.stream.classes)
        trained_by(settings.training.strategy, model)
    except (ModelError, Incapable) as error:
        yield str(error)
        return
    if model.needs_keys and not keyed:
        yield (
            f"model.options.serialiser: expected none without keys in {directory.keys}: its bytes may hold code - make "
            "some with `streammac keys new`"
        )
        return
    known = model.measures().names
    if measure is not None and measure not in known:
        yield f"held_out.measure: expected one of {', '.join(known)}, got {measure!r}"
        return
    yield from _as_published(model, directory.models)


def _as_published(model: NestedModel, models: Path) -> Iterator[str]:
    """Compare with the newest version: where the settings are gone, nothing else knows what the model is."""
    from streammac.models.registry import key_of
    from streammac.publishing.versions import VersionError, VersionStore, rebuild

    versions = VersionStore(models, keep=1)
    try:
        known = rebuild(versions.load(versions.newest).metadata)
    except VersionError:
        return
    told = {"model.family": (known.family, model.family)}
    if known.family == model.family:
        of = known.hyper_parameters(), model.hyper_parameters()
        told |= {key_of(name): (of[0][name], of[1][name]) for name in model.lasting}
    for key, (then, now) in told.items():
        if then != now:
            yield (
                f"{key}: expected {then}, as in version {versions.newest} of {models}, got {now} - "
                "name it, or use another directory"
            )


def _hosts(network: Network) -> Iterator[str]:
    """Listen for a moment where it is asked for: names and interfaces are what this machine says they are."""
    import zmq

    from streammac.security import open_context

    # only to see whether the name is of this machine: nobody is answered, so it is not protected either
    with open_context(None, insecure=True) as context, context.socket(zmq.ROUTER) as probe:
        try:
            zmq.Socket.bind(probe, f"tcp://{network.host}:*")
        except (zmq.ZMQError, TypeError, ValueError) as error:
            yield _not_here("network.host", network.host, error)
    try:
        socket.create_server((network.http_host, 0)).close()
    except (OSError, ValueError) as error:
        yield _not_here("network.http_host", network.http_host, error)


def _not_here(key: str, host: str, error: Exception) -> str:
    why = getattr(error, "strerror", None) or error
    return f"{key}: expected an interface of this machine, got {host!r}: {why} - e.g. 127.0.0.1"


def _sources(uris: Sequence[str], public_host: str) -> None:
    from ingest.sources.base import SourceError
    from ingest.sources.registry import check_source

    try:
        for uri in uris:
            check_source(uri, public_host)
    except SourceError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None
