"""The coordinator's HTTP endpoint, on loopback: the page for people, status for programs, targets for Prometheus.

Answers come from the snapshots in `workers.coordinator.live`; no request ever looks into the coordinator itself.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from streammac.page import document
from workers.coordinator.live import Live

MAX_CLIENTS = 32
"""Event streams at a time; more are refused."""
LOOK_S = 0.2
"""How often a stream looks for a new frame."""
STALL_S = 5.0
"""A client that takes nothing for so long is dropped; it may come back and read the history."""
RETRY_MS = 2000
"""When a page tries again after a stream has ended."""

FRESH = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class EventStreams:
    """Server-sent events (an ASGI application): every client gets every frame from now on."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._clients = 0  # only the server's one thread counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until the client is gone or too slow, or the coordinator ends."""
        if self._clients >= MAX_CLIENTS:
            await PlainTextResponse("too many pages are open", 503)(scope, receive, send)
            return
        self._clients += 1
        gone = asyncio.ensure_future(_disconnection(receive))
        try:
            await self._follow(send, gone)
        except TimeoutError:
            pass  # too slow: uvicorn closes the connection
        finally:
            gone.cancel()
            self._clients -= 1

    async def _follow(self, send: Send, gone: asyncio.Future[None]) -> None:
        async def put(data: bytes, *, more: bool = True) -> None:
            body = {"type": "http.response.body", "body": data, "more_body": more}
            await asyncio.wait_for(send(body), STALL_S)

        headers = {**FRESH, "Content-Type": "text/event-stream; charset=utf-8"}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await put(b"retry: %d\n\n" % RETRY_MS)
        seen = -1
        while not gone.done():
            closed = self._live.closed  # before the frames: the last one is sent, too
            frames = self._live.frames
            if frames and seen < 0:
                seen = frames[-1].number - 1  # what was before is in the history
            if frames and frames[0].number > seen + 1:
                break  # it has missed some: it is to come back and read the history
            for frame in frames:
                if frame.number > seen:
                    await put(b"data: %s\n\n" % frame.data)
                    seen = frame.number
            if closed:
                await put(b"event: end\ndata: {}\n\n")
                break
            await asyncio.wait([gone], timeout=LOOK_S)
        await put(b"", more=False)


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def routes(live: Live) -> list[Route]:
    """Return what answers, besides what every process does (`streammac.link.http_server.serve_process`).

    ==============  ====================================================================
    ``/``           the page
    ``/events``     server-sent events: a JSON object per snapshot (docs/page.md)
    ``/history``    the history's lines, newest last
    ``/status``     the status (docs/status.md)
    ``/sd``         Prometheus HTTP service discovery
    ==============  ====================================================================
    """

    async def get_page(_: Request) -> Response:
        return HTMLResponse(document(), headers=FRESH)

    async def get_status(_: Request) -> Response:
        if live.status is None:
            return PlainTextResponse("starting", 503, headers=FRESH)
        return Response(live.status, media_type="application/json", headers=FRESH)

    async def get_targets(_: Request) -> Response:
        return Response(live.targets, media_type="application/json", headers=FRESH)

    async def get_history(_: Request) -> Response:
        def content() -> bytes:
            return live.history.read_bytes() if live.history.exists() else b""

        lines = await asyncio.to_thread(content)
        return Response(lines, media_type="application/x-ndjson", headers=FRESH)

    return [
        Route("/", get_page),
        Route("/events", EventStreams(live)),
        Route("/history", get_history),
        Route("/status", get_status),
        Route("/sd", get_targets),
    ]
