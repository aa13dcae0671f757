"""An ASGI application served by a thread of a process that has other things to do.

There are no passwords here: only requests that are meant for the server are answered (`http_meant`), and no client can
keep others out by being slow (`http_connection`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streammac.errors import ExitCode, Failure
from streammac.link.http_connection import LimitedConnection
from streammac.link.http_meant import OnlyMeant
from streammac.link.pulse import Pulse
from streammac.settings.schema import Network
from streammac.telemetry.exporter import ProcessMetrics
from streammac.threads import VitalThread

END_PATIENCE_S = 2.0


def serve(
    app: ASGIApp, host: str, port: int = 0, names: Collection[str] = ()
) -> tuple[str, Callable[[], None]]:
    """Serve an application in a thread.

    Parameters
    ----------
    app : ASGI application
        What answers.
    host : str
        Interface to listen on.
    port : int
        Port; 0 takes any free one.
    names : collection of str
        Further names that the server is called by, see `OnlyMeant`.

    Returns
    -------
    url : str
        Where it listens.
    close : callable
        Ends it.

    Raises
    ------
    Failure
        If it cannot listen there.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        why = f"cannot listen at {host}:{port}: {error.strerror}"
        raise Failure(ExitCode.NOT_RUNNING, why) from None
    server = uvicorn.Server(
        uvicorn.Config(
            OnlyMeant(app, host, names),
            http=LimitedConnection,
            ws="none",
            log_config=None,
            log_level="error",  # what strangers send is no news
            access_log=False,  # Prometheus and pages ask every few seconds
            lifespan="off",
            server_header=False,
        )
    )

    def work() -> None:
        server.run(sockets=[listener])
        if not server.should_exit:
            raise RuntimeError("the server has ended by itself")

    thread = VitalThread("http", work)
    thread.start()

    def close() -> None:
        server.should_exit = True
        thread.join(END_PATIENCE_S)
        listener.close()

    return f"http://{host}:{listener.getsockname()[1]}", close


def serve_process(
    metrics: ProcessMetrics, pulse: Pulse, network: Network, *more: BaseRoute
) -> tuple[str, Callable[[], None]]:
    """Answer what every process is asked: ``/metrics``, ``/health`` and ``/ready``.

    Parameters
    ----------
    metrics : ProcessMetrics
        Its series.
    pulse : Pulse
        What its loop tells of itself.
    network : Network
        Where to listen, see `serve`.
    *more : BaseRoute
        What else this one is asked.

    Returns
    -------
    url : str
        Where it listens.
    close : callable
        Ends it.
    """
    routes = [Route("/metrics", _Scrapes(metrics.application())), *pulse.routes(), *more]
    return serve(Starlette(routes=routes), network.http_host, network.http_port, network.http_names)


class _Scrapes:
    """An ASGI application that is no function: starlette takes those for functions of a request."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a scrape."""
        await self._application(scope, receive, send)
