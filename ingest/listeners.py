"""What an ingest node listens on. The addresses are told at its registration, so this is there before anything else."""

from __future__ import annotations

from contextlib import ExitStack

from starlette.applications import Starlette

from ingest import http
from ingest.clients import Clients
from streammac.link.http_server import serve_process
from streammac.link.pulse import Pulse
from streammac.security import SecureContext
from streammac.settings.schema import Network
from streammac.telemetry.exporter import IngestMetrics
from streammac.wire.fields import Addresses


class Listeners:
    """The sockets of one ingest node that others connect to.

    Parameters
    ----------
    context : SecureContext
        The process's context.
    name : str
        The node's name.
    network : Network
        Interfaces to listen on; beyond loopback, that of the metrics is the only one for feeds over HTTP.
    pulse : Pulse
        What the node's loop tells of itself.

    Attributes
    ----------
    clients : Clients
        Takes the pushes of clients.
    metrics : IngestMetrics
        What Prometheus is told.
    addresses : dict
        Where they are.
    """

    def __init__(self, context: SecureContext, name: str, network: Network, pulse: Pulse) -> None:
        self.context = context
        self.clients = Clients(context, network.host)
        self.metrics = IngestMetrics(name)
        url, close_http = serve_process(self.metrics, pulse, network)
        self.addresses: Addresses = {"client": self.clients.address, "metrics": f"{url}/metrics"}
        self._network = network
        self._closing = ExitStack()
        self._closing.callback(close_http)

    def listen(self, uri: str, app: Starlette) -> str:
        """Serve an application where a feed's URI says; return its address.

        Raises
        ------
        SourceError
            If that is no place to listen.
        """
        url, close = http.listen(uri, self._network, app)
        self._closing.callback(close)
        return url

    def close(self) -> None:
        """Listen no more; the clients' socket closes with its context."""
        self._closing.close()
