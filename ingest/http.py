"""The HTTP endpoint for points: ``POST /points`` with NDJSON, JSON or msgpack; 2xx only after the ack.

===============================  =================================================================
``200``                          every point is settled: ``{"accepted": n, "dead_lettered": n, ...}``
``400``                          the body is not what its content type says
``403``                          another site's page asks, or for another server (`streammac.link.http_meant`)
``413``                          larger than ``ingest.request_bytes``, or too many records
``415``                          another content type
``429`` with ``Retry-After``     back-pressure: nothing of it was taken
``503``                          the node ends, or the acknowledgement did not come in time
===============================  =================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.bodies import BadBody, TooMany, UnknownType, chunk_of
from ingest.ingest_queue import Delivery, IngestQueue, Stopping
from ingest.parts import Parts
from ingest.records import Chunk, Refused
from ingest.sources import SourceError
from ingest.sources.http_place import place_to_listen
from streammac.delivery.batch import Ticket
from streammac.link.http_server import serve
from streammac.link.pulse import Pulse
from streammac.settings.schema import Network

ACK_PATIENCE_S = 60.0
AGREE_S = 0.05
"""How often it is looked whether a schema is agreed."""
SMALL_BYTES = 256 << 10
"""Bodies up to here are read in the server's own thread, in about a millisecond."""
BODIES = 4
"""Requests of the largest size that may be in hand at once; beyond, 429: memory stays bounded."""
STATUS = {UnknownType: 415, TooMany: 413}
"""Of what is wrong with a body; else 400."""
REASONS = 5
"""Reasons of refused points that an answer names."""


def listen(uri: str, network: Network, app: Starlette) -> tuple[str, Callable[[], None]]:
    """Serve the application where a feed's URI says; return its address, and what ends it.

    Parameters
    ----------
    uri : str
        ``http://HOST:PORT``.
    network : Network
        Its ``http_host`` is the only interface beyond loopback on which points may be taken.
    app : Starlette
        See `HttpEndpoint`.

    Raises
    ------
    SourceError
        If that is no place to listen.
    """
    host, port = place_to_listen(uri, network.http_host)
    try:
        return serve(app, host, port, network.http_names)
    except OSError as error:
        raise SourceError(f"{uri}: cannot listen there: {error}") from None


class HttpEndpoint:
    """What answers requests; in the thread of its server.

    Parameters
    ----------
    ingest_queue : IngestQueue
        Takes the points.
    has_room : callable
        Tells whether the node takes more.
    request_bytes : int
        Largest body.
    pulse : Pulse
        What the node's loop tells of itself.
    """

    def __init__(
        self,
        ingest_queue: IngestQueue,
        has_room: Callable[[], bool],
        request_bytes: int,
        pulse: Pulse,
    ) -> None:
        self._ingest_queue = ingest_queue
        self._has_room = has_room
        self._request_bytes = request_bytes
        self._pulse = pulse
        self._in_hand = 0  # bytes of bodies that have come and are not answered

    def application(self) -> Starlette:
        """Return what is to be served."""
        return Starlette(
            routes=[
                Route("/points", self.post_points, methods=["POST"]),
                *self._pulse.routes(),
            ]
        )

    async def post_points(self, request: Request) -> Response:
        """Answer once the points are settled, or at once why they are not taken."""
        body = bytearray()
        try:
            if self._ingest_queue.stopping:
                return _refuse(503, "the ingest node ends")
            if not self._has_room():
                return _try_later("the workers do not keep up")
            async for part in request.stream():
                body += part
                self._in_hand += len(part)
                if len(body) > self._request_bytes:
                    return _refuse(413, f"larger than ingest.request_bytes = {self._request_bytes}")
                if self._in_hand > BODIES * self._request_bytes:
                    return _try_later("too many requests at once")
            return await self._take(request, body)
        except ClientDisconnect:
            return _refuse(400, "the client went away")
        finally:
            self._in_hand -= len(body)

    async def _take(self, request: Request, body: bytearray) -> Response:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()

        def read() -> tuple[Chunk, str, Parts | None]:
            chunk, form = chunk_of(kind, bytes(body))
            return chunk, form, self._ingest_queue.try_prepare(chunk)

        try:
            chunk, form, prepared = (
                read() if len(body) <= SMALL_BYTES else await asyncio.to_thread(read)
            )
        except BadBody as error:
            return _refuse(STATUS.get(type(error), 400), str(error))
        try:
            async with asyncio.timeout(ACK_PATIENCE_S):
                parts = prepared or await self._prepared(chunk)
                ticket = await self._settled(form, parts)
        except Stopping:
            return _refuse(503, "the ingest node ends")
        except TimeoutError:
            return _refuse(
                503, f"no acknowledgement within {ACK_PATIENCE_S:.0f} s; it may still come"
            )
        return _answer(ticket, parts.refused)

    async def _prepared(self, chunk: Chunk) -> Parts:
        """Validate records once it is agreed what a point looks like; without a thread that waits for it."""
        queue = self._ingest_queue
        while True:
            while queue.schema is None:
                if queue.stopping:
                    raise Stopping
                await asyncio.sleep(AGREE_S)
            prepared = await asyncio.to_thread(queue.try_prepare, chunk)
            if prepared is not None:
                return prepared

    def _settled(self, form: str, parts: Parts) -> asyncio.Future[Ticket]:
        """Hand over points; return what becomes of them, some time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Ticket] = loop.create_future()

        def resolve(ticket: Ticket) -> None:
            if not answer.done():  # it is when the wait for it has timed out
                answer.set_result(ticket)

        def settled(ticket: Ticket) -> None:
            loop.call_soon_threadsafe(resolve, ticket)

        self._ingest_queue.put_request(Delivery("http", form, parts, settled))
        return answer


def _refuse(status: int, why: str, **headers: str) -> Response:
    return JSONResponse({"error": why}, status, headers)


def _try_later(why: str) -> Response:
    return _refuse(429, f"back-pressure: {why}", **{"Retry-After": "1"})


def _answer(ticket: Ticket, refused: list[Refused]) -> Response:
    reasons = [point.reason for point in refused[:REASONS]]
    if ticket.reason:
        reasons.append(ticket.reason)
    return JSONResponse(
        {
            "accepted": ticket.stored + ticket.duplicate,
            "duplicate": ticket.duplicate,
            "dead_lettered": len(refused) + ticket.given_up,
            "waiting": ticket.waiting,
            "reasons": reasons,
        }
    )
