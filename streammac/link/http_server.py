"""An ASGI application served by a thread of a process that has other things to do."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from streammac.threads import VitalThread

END_PATIENCE_S = 2.0
MAX_CONNECTIONS = 256
"""Open connections; a request beyond them is answered with 503."""


def serve(app: ASGIApp, host: str, port: int) -> tuple[str, Callable[[], None]]:
    """Serve an application in a thread.

    Parameters
    ----------
    app : ASGI application
        What answers.
    host : str
        Interface to listen on.
    port : int
        Port; 0 takes any free one.

    Returns
    -------
    url : str
        Where it listens.
    close : callable
        Ends it.
    """
    listener = socket.create_server((host, port))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # Prometheus and pages ask every few seconds
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
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
