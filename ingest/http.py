"""The HTTP endpoint for points: ``POST /points`` with NDJSON, JSON or msgpack; 2xx only after the ack.

===============================  =================================================================
``200``                          every point is settled: ``{"accepted": n, "dead_lettered": n, ...}``
``400``                          the body is not what its content type says
``413``                          larger than ``ingest.request_bytes``
``415``                          another content type
``429`` with ``Retry-After``     back-pressure: nothing of it was taken
``503``                          the node ends, or the acknowledgement did not come in time
===============================  =================================================================
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import msgpack
import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ingest.formats import decode_json, decode_packed
from ingest.ingest_queue import Delivery, IngestQueue, Stopping
from ingest.records import Chunk, Raw, Refused
from ingest.sources import SourceError
from ingest.sources.http_place import place_to_listen
from streammac.delivery.batch import Ticket
from streammac.link.http_server import serve
from streammac.points.block import PointBlock

ACK_PATIENCE_S = 60.0
BODIES = 4
"""Requests of the largest size that may be in hand at once; beyond, 429: memory stays bounded."""
REASONS = 5
"""Reasons of refused points that an answer names."""
WIRE_DTYPES = ("<f4", "<f8", "|u1", "<i4", "<i8")


def listen(uri: str, public_host: str, app: Starlette) -> tuple[str, Callable[[], None]]:
    """Serve the application where a feed's URI says; return its address, and what ends it.

    Parameters
    ----------
    uri : str
        ``http://HOST:PORT``.
    public_host : str
        The only interface beyond loopback on which points may be taken.
    app : Starlette
        See `HttpEndpoint`.

    Raises
    ------
    SourceError
        If that is no place to listen.
    """
    host, port = place_to_listen(uri, public_host)
    try:
        return serve(app, host, port)
    except OSError as error:
        raise SourceError(f"{uri}: cannot listen there: {error}") from None


def chunk_of(kind: str, body: bytes) -> tuple[Chunk, str]:
    """Return the records of a request's body, and their format for the dead letters.

    Raises
    ------
    LookupError
        If the content type is not one of ours.
    ValueError
        If the body is not of its content type.
    """
    if kind in ("application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain"):
        return Raw(tuple(line for line in body.splitlines() if line.strip()), decode_json), "json"
    if kind == "application/json":
        try:
            value = json.loads(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if isinstance(value, list) and value and isinstance(value[0], int | float):
            value = [value]  # one bare vector
        records = value if isinstance(value, list) else [value]
        return Raw(tuple(json.dumps(r).encode() for r in records), decode_json), "json"
    if kind in ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"):
        return _unpack(body)
    raise LookupError(kind)


def _unpack(body: bytes) -> tuple[Chunk, str]:
    try:
        value = msgpack.unpackb(body)
    except Exception as error:  # msgpack raises many kinds
        raise ValueError(f"not msgpack: {type(error).__name__}") from None
    if isinstance(value, dict) and value.keys() >= {"x", "shape", "dtype"}:
        dtype, shape, data = value["dtype"], value["shape"], value["x"]
        whole = isinstance(shape, list) and len(shape) == 2
        if dtype not in WIRE_DTYPES or not isinstance(data, bytes) or not whole:
            raise ValueError(
                f'expected {{"x": bytes, "shape": [n, D], "dtype": one of {WIRE_DTYPES}}}'
            )
        try:
            return PointBlock(np.frombuffer(data, dtype).reshape(shape)), str(dtype)
        except (TypeError, OverflowError):
            raise ValueError(f"shape: expected [n, D], got {shape}") from None
    records = value if isinstance(value, list) else [value]
    return Raw(tuple(msgpack.packb(r) for r in records), decode_packed), "msgpack"


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
    """

    def __init__(
        self, ingest_queue: IngestQueue, has_room: Callable[[], bool], request_bytes: int
    ) -> None:
        self._ingest_queue = ingest_queue
        self._has_room = has_room
        self._request_bytes = request_bytes
        self._in_hand = 0  # bytes of bodies that have come and are not answered

    def application(self) -> Starlette:
        """Return what is to be served."""
        return Starlette(
            routes=[
                Route("/points", self.post_points, methods=["POST"]),
                Route("/health", get_health),
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
            return await self._take(request, bytes(body))
        except ClientDisconnect:
            return _refuse(400, "the client went away")
        finally:
            self._in_hand -= len(body)

    async def _take(self, request: Request, body: bytes) -> Response:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        try:
            chunk, form = chunk_of(kind, body)
        except LookupError:
            return _refuse(
                415, f"content type {kind!r}: expected application/x-ndjson, json or msgpack"
            )
        except ValueError as error:
            return _refuse(400, str(error))
        try:
            points, refused = await asyncio.to_thread(self._ingest_queue.prepare, chunk)
        except Stopping:
            return _refuse(503, "the ingest node ends")
        try:
            ticket = await asyncio.wait_for(self._settled(form, points, refused), ACK_PATIENCE_S)
        except TimeoutError:
            return _refuse(
                503, f"no acknowledgement within {ACK_PATIENCE_S:.0f} s; it may still come"
            )
        return _answer(ticket, refused)

    def _settled(
        self, form: str, points: PointBlock, refused: list[Refused]
    ) -> asyncio.Future[Ticket]:
        """Hand over points; return what becomes of them, some time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Ticket] = loop.create_future()

        def resolve(ticket: Ticket) -> None:
            if not answer.done():  # it is when the wait for it has timed out
                answer.set_result(ticket)

        def settled(ticket: Ticket) -> None:
            loop.call_soon_threadsafe(resolve, ticket)

        self._ingest_queue.put_request(Delivery("http", form, points, refused, settled))
        return answer


async def get_health(_: Request) -> Response:
    """Say that the endpoint is there."""
    return PlainTextResponse("ok")


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
            "reasons": reasons,
        }
    )
