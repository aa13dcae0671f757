"""The coordinator's HTTP endpoint, on loopback: status for people, targets for Prometheus."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

END_PATIENCE_S = 2.0


def serve_http(
    host: str,
    port: int,
    status: Callable[[], dict[str, Any]],
    targets: Callable[[], list[dict[str, Any]]],
) -> tuple[str, Callable[[], None]]:
    """Serve ``/status``, ``/sd`` (Prometheus HTTP service discovery) and ``/health`` in a thread.

    Returns
    -------
    url : str
        Where it listens (``port`` 0 takes any free port).
    close : callable
        Ends it.
    """

    async def get_status(_: Request) -> Response:
        return JSONResponse(status())

    async def get_targets(_: Request) -> Response:
        return JSONResponse(targets())

    async def get_health(_: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [
        Route("/status", get_status),
        Route("/sd", get_targets),
        Route("/health", get_health),
    ]
    listener = socket.create_server((host, port))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None))
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
    )
    thread.start()

    def close() -> None:
        server.should_exit = True
        thread.join(END_PATIENCE_S)
        listener.close()

    return f"http://{host}:{listener.getsockname()[1]}", close
