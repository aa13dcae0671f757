"""What a worker listens on. The addresses are told at its registration, so this is there before anything else."""

from __future__ import annotations

import logging

from streammac.errors import ExitCode, Failure
from streammac.link.http_server import serve_process
from streammac.link.pulse import Pulse
from streammac.security import SecureContext
from streammac.settings.schema import Network
from streammac.telemetry.exporter import WorkerMetrics
from streammac.wire.fields import Addresses
from workers.point_endpoint import PointSocket
from workers.transports.base import Transport
from workers.transports.zeromq import ZeroMQTransport

log = logging.getLogger(__name__)


class Listeners:
    """The sockets of one worker that others connect to.

    Parameters
    ----------
    context : SecureContext
        The process's context.
    name : str
        The worker's name.
    line : str
        What the other members of the ring know it by.
    network : Network
        Interfaces to listen on.
    pulse : Pulse
        What the worker's loop tells of itself.

    Attributes
    ----------
    points : PointSocket
        Takes points from ingest nodes and other workers.
    transport : Transport
        Takes tokens from the other members of the ring.
    metrics : WorkerMetrics
        What Prometheus is told.
    addresses : dict
        Where they are.
    """

    def __init__(
        self, context: SecureContext, name: str, line: str, network: Network, pulse: Pulse
    ) -> None:
        self.context = context
        self.points = PointSocket(context, network.host)
        self.transport = _transport(context, line, network)
        self.metrics = WorkerMetrics(name)
        url, self._close_http = serve_process(self.metrics, pulse, network)
        self.addresses: Addresses = {
            "data": self.points.address,
            "ring": self.transport.address,
            "metrics": f"{url}/metrics",
        }

    def close(self) -> None:
        """Listen no more."""
        self._close_http()
        self.transport.close()
        self.points.socket.close()


def _transport(context: SecureContext, line: str, network: Network) -> Transport:
    """Return what tokens travel by.

    Raises
    ------
    Failure
        If that is MPI, and there is none.
    """
    zeromq = ZeroMQTransport(context, network.host, line)
    if network.transport == "zeromq":
        return zeromq
    try:
        from workers.transports.mpi import MpiTransport  # this starts MPI
    except (ImportError, RuntimeError) as error:
        raise Failure(
            ExitCode.CONFIGURATION,
            f"network.transport: expected zeromq, for MPI is not usable here, got mpi: {error} - "
            "pip install 'streammac[mpi]'",
        ) from None
    if context.keys is not None:
        log.warning("tokens travel over MPI, which does not encrypt them: see docs/security.md")
    transport = MpiTransport(zeromq, network.host, line)
    transport.begin()
    return transport
