"""The coordinator's HTTP endpoint, on loopback: status for people, targets for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


def application(
    status: Callable[[], dict[str, Any]], targets: Callable[[], list[dict[str, Any]]]
) -> Starlette:
    """Return what answers ``/status``, ``/sd`` (Prometheus HTTP service discovery) and ``/health``."""

    async def get_status(_: Request) -> Response:
        return JSONResponse(status())

    async def get_targets(_: Request) -> Response:
        return JSONResponse(targets())

    async def get_health(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            Route("/status", get_status),
            Route("/sd", get_targets),
            Route("/health", get_health),
        ]
    )
