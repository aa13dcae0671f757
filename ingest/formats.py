"""How single records become numbers: NDJSON lines and msgpack."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgpack
import msgspec

from ingest.records import BadRecord, Record


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    """A record as nearly all are: numbers where numbers belong."""

    x: list[float]
    y: list[float] | float | None = None
    key: str | int | None = None
    time: float | str | None = None


FIELDS = set(_Fields.__struct_fields__)
_USUAL = msgspec.json.Decoder(list[float] | _Fields)


def decode_json(line: bytes) -> Record:
    """Decode one NDJSON line: ``{"x": [...], "y": ..., "key": ..., "time": ...}`` or a bare list.

    Raises
    ------
    BadRecord
        Saying what is wrong with it.
    """
    try:
        value = _USUAL.decode(line)
    except (ValueError, RecursionError):
        return decode_json_slowly(line)
    if isinstance(value, list):
        return Record(value)
    if value.y is None and value.key is None and value.time is None:
        return Record(value.x)
    y = value.y if value.y is None or isinstance(value.y, list) else [value.y]
    return Record(value.x, y, _key(value.key), _time(value.time))


def decode_json_slowly(line: bytes) -> Record:
    """Decode what is no usual record: most often there is something wrong with it, and this says what."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON: {error}") from None
    return record_of(value)


def decode_packed(packed: bytes) -> Record:
    """Decode one msgpack record of the same form, see `decode_json`."""
    try:
        value = msgpack.unpackb(packed)
    except Exception as error:  # msgpack raises many kinds
        raise BadRecord(f"not msgpack: {type(error).__name__}") from None
    return record_of(value)


def record_of(value: Any) -> Record:
    """Return the record that a decoded value describes, see `decode_json`; without x it is a target for a key."""
    if isinstance(value, list):
        return Record(_numbers("x", value))
    if not isinstance(value, dict):
        raise BadRecord(f"expected an object or a list, got {type(value).__name__}")
    if "x" not in value and not ("y" in value and "key" in value):
        raise BadRecord('x: missing - a record looks like {"x": [1.0, 2.0]}')
    unknown = value.keys() - FIELDS
    if unknown:
        first = sorted(map(str, unknown))[0][:40]
        raise BadRecord(f"{first!r}: unknown field, there are x, y, key, time")
    y = value.get("y")
    if y is not None:
        y = _numbers("y", y) if isinstance(y, list) else [_number("y", y)]
    return Record(
        _numbers("x", value.get("x", [])), y, _key(value.get("key")), _time(value.get("time"))
    )


def _numbers(field: str, value: Any) -> list[float]:
    if not isinstance(value, list):
        raise BadRecord(f"{field}: expected a list of numbers, got {type(value).__name__}")
    return [_number(f"{field}[{i}]", number) for i, number in enumerate(value)]


def _number(field: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        scalar = isinstance(value, bool | str | bytes | None)  # others may be nested deeply
        got = repr(str(value)[:40]) if scalar else type(value).__name__
        raise BadRecord(f"{field}: expected a number, got {got}")
    return value


def _key(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str | int):
        try:
            return str(value).encode()
        except UnicodeEncodeError:  # JSON can name half of a surrogate pair
            raise BadRecord(f"key: not text: {str(value)[:40]!r}") from None
    raise BadRecord(f"key: expected text or an integer, got {type(value).__name__}")


def _time(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            raise BadRecord(f"time: expected seconds or ISO 8601, got {value[:40]!r}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord(f"time: expected seconds or ISO 8601, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise BadRecord("time: beyond the range of float64") from None
