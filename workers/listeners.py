"""What a worker listens on. The addresses are told at its registration, so this is there before anything else."""

from __future__ import annotations

from streammac.link.http_server import serve_metrics
from streammac.security import SecureContext
from streammac.settings.schema import Network
from streammac.telemetry.exporter import WorkerMetrics
from streammac.wire.fields import Addresses
from workers.point_endpoint import PointSocket
from workers.transports.zeromq import ZeroMQTransport


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

    Attributes
    ----------
    points : PointSocket
        Takes points from ingest nodes and other workers.
    transport : ZeroMQTransport
        Takes tokens from the other members of the ring.
    metrics : WorkerMetrics
        Answers Prometheus.
    addresses : dict
        Where they are.
    """

    def __init__(self, context: SecureContext, name: str, line: str, network: Network) -> None:
        self.context = context
        self.points = PointSocket(context, network.host)
        self.transport = ZeroMQTransport(context, network.host, line)
        self.metrics = WorkerMetrics(name)
        metrics_url, self._close_metrics = serve_metrics(self.metrics, network)
        self.addresses: Addresses = {
            "data": self.points.address,
            "ring": self.transport.address,
            "metrics": metrics_url,
        }

    def close(self) -> None:
        """Listen no more."""
        self._close_metrics()
        self.transport.close()
        self.points.socket.close()
