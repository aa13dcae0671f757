"""What the body of a request holds: its content type says how to read it."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import msgspec
import numpy as np

from ingest.formats import decode_json, decode_packed
from ingest.records import Chunk, Raw
from streammac.errors import StreammacError
from streammac.points.block import PointBlock

# no type that a page can send to another site without being asked first: text/plain is one, none at all another
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
JSON = ("application/json",)
MSGPACK = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
WIRE_DTYPES = ("<f4", "<f8", "|u1", "<i4", "<i8")
PARTED_BYTES = 4 << 20
"""A JSON list up to here is cut into its records, and not read whole: each item costs more than its text, at first."""
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
MOST_RECORDS = 1 << 20
"""Records that a request may hold: the smallest cost many times their bytes."""


class BadBody(StreammacError, ValueError):
    """A body is not what its content type says; nothing of it is taken."""


class UnknownType(BadBody):
    """The content type is none of ours."""


class TooMany(BadBody):
    """There are more than `MOST_RECORDS`."""


def chunk_of(kind: str, body: bytes) -> tuple[Chunk, str]:
    """Return the records of a body, and their format for the dead letters.

    Raises
    ------
    BadBody
        Saying what is wrong with it.
    """
    try:
        if kind in NDJSON:
            return _lines(body), "json"
        if kind in JSON:
            return _json(body), "json"
        if kind in MSGPACK:
            return _packed(body)
    except RecursionError:
        raise BadBody("nested too deeply") from None
    raise UnknownType(f"content type {kind!r}: expected application/x-ndjson, json or msgpack")


def _bounded(count: int) -> None:
    if count > MOST_RECORDS:
        raise TooMany(f"more than {MOST_RECORDS:,} records - send them in parts")


def _lines(body: bytes) -> Raw:
    if len(body) > MOST_RECORDS:
        _bounded(max(body.count(b"\n"), body.count(b"\r")))  # before there is an object for each
    return Raw(
        tuple(line for line in body.splitlines() if line and not line.isspace()), decode_json
    )


def _json(body: bytes) -> Raw:
    if len(body) > PARTED_BYTES:
        return _json_slowly(body)
    try:
        body.decode()
        parts = _PARTS.decode(body)
    except (ValueError, RecursionError):
        return _json_slowly(body)
    _bounded(len(parts))
    records = tuple(map(bytes, parts))
    if not all(record.startswith((b"{", b"[")) for record in records):
        return _json_slowly(body)
    return Raw(records, decode_json)


def _json_slowly(body: bytes) -> Raw:
    """Read what is no list of records: one bare vector, one record, or no JSON."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BadBody(f"not JSON: {error}") from None
    if isinstance(value, list) and value and isinstance(value[0], int | float):
        value = [value]  # one bare vector
    records = value if isinstance(value, list) else [value]
    _bounded(len(records))
    return Raw(tuple(json.dumps(record).encode() for record in records), decode_json)


def _packed(body: bytes) -> tuple[Chunk, str]:
    try:
        value = msgpack.unpackb(body)
    except Exception as error:  # msgpack raises many kinds
        raise BadBody(f"not msgpack: {type(error).__name__}") from None
    if isinstance(value, dict) and value.keys() >= {"x", "shape", "dtype"}:
        return _array(value["x"], value["shape"], value["dtype"])
    records = value if isinstance(value, list) else [value]
    _bounded(len(records))
    try:
        return Raw(tuple(msgpack.packb(r) for r in records), decode_packed), "msgpack"
    except ValueError as error:  # it packs less deep than it unpacks
        raise BadBody(str(error)) from None


def _array(data: Any, shape: Any, dtype: Any) -> tuple[Chunk, str]:
    if dtype not in WIRE_DTYPES or not isinstance(data, bytes):
        raise BadBody(f'expected {{"x": bytes, "shape": [n, D], "dtype": one of {WIRE_DTYPES}}}')
    match shape:
        case [int(count), int(width)] if count >= 0 and width >= 1:
            pass
        case _:
            raise BadBody(f"shape: expected [n, D] with D from 1, got {str(shape)[:40]}")
    _bounded(count)
    if count * width * np.dtype(dtype).itemsize != len(data):
        raise BadBody(f"x: expected {count} x {width} numbers {dtype}, got {len(data)} bytes")
    return PointBlock(np.frombuffer(data, dtype).reshape(count, width)), str(dtype)
