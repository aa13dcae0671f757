"""Which points go through and which become dead letters: the border of the system, pure functions.

One bad point never takes the good ones of its batch with it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.records import MAX_KEY_BYTES, BadRecord, Chunk, Raw, Record, Refused
from streammac.points.block import PointBlock
from streammac.points.range import FLOAT32_MAX, largest, within
from streammac.wire.messages import StreamSchema

MAX_DIM = 1 << 20
FIRST_S, LAST_S = -62_135_596_800.0, 253_402_300_800.0
"""The years 1 to 9999, in seconds since 1970. NaN stands for a time that was not given."""
BAD_TIME = "time: expected seconds since 1970, of the years 1 to 9999"
LONG_KEY = f"key: longer than {MAX_KEY_BYTES} bytes"
NOT_FINITE = "NaN or infinite"


def propose(chunk: Chunk) -> StreamSchema | None:
    """Return the schema that the first usable point of a chunk suggests, None if there is none."""
    if isinstance(chunk, Raw):
        for raw in chunk.records:
            try:
                record = chunk.decode(raw)
            except BadRecord:
                continue
            if 1 <= len(record.x) <= MAX_DIM:
                return StreamSchema(len(record.x), "float32", len(record.y or ()))
        return None
    x = chunk.x
    if x.ndim != 2 or not 1 <= x.shape[1] <= MAX_DIM or x.dtype.kind not in "fiub":
        return None
    targets = 0 if chunk.y is None else int(np.prod(chunk.y.shape[1:], dtype=int)) or 1
    return StreamSchema(x.shape[1], "uint8" if x.dtype == np.uint8 else "float32", targets)


def validate(
    chunk: Chunk, schema: StreamSchema, record_bytes: int
) -> tuple[PointBlock, list[Refused]]:
    """Split a chunk into the points that fit the stream and the records that do not.

    Parameters
    ----------
    chunk : PointBlock or Raw
        What a source yielded.
    schema : StreamSchema
        What a point looks like.
    record_bytes : int
        Largest record.

    Returns
    -------
    points : PointBlock
        ``x`` (n, D) of the stream's type, ``y`` (n, K) float32 if the stream has targets.
    refused : list of Refused
        The others, with reasons that name the field.
    """
    if isinstance(chunk, Raw):
        return _validate_records(chunk, schema, record_bytes)
    return _validate_arrays(chunk, schema, record_bytes)


# -- arrays ------------------------------------------------------------------------------------------


def _validate_arrays(
    chunk: PointBlock, schema: StreamSchema, record_bytes: int
) -> tuple[PointBlock, list[Refused]]:
    x = chunk.x
    reason = _whole_array(x, schema, record_bytes)
    y, y_reason = _targets(chunk, schema)
    reason = reason or y_reason
    if reason:
        return _nothing(schema), [Refused(_raw(row), reason) for row in x]
    good = np.ones(len(x), bool)
    refused: list[Refused] = []
    converted = x

    def refuse(bad: NDArray[np.bool_], why: str, got: NDArray[Any] | None = None) -> None:
        for i in np.flatnonzero(bad & good):
            told = why if got is None else f"{why}, got {got[i].item():g}"
            refused.append(Refused(_raw(x[i]), told))
        good[bad] = False

    if schema.dtype == "float32":
        with np.errstate(over="ignore", invalid="ignore"):
            converted = x.astype(np.float32, copy=False)
        inside = within(converted)
        if not inside.all():
            refuse(~inside & ~np.isfinite(x).all(axis=1), f"x: {NOT_FINITE}")
            refuse(~inside, f"x: {_too_large(schema.dim)}")
    elif x.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            refuse(~np.isfinite(x).all(axis=1), f"x: {NOT_FINITE}")
            refuse(((x < 0) | (x > 255) | (x != np.floor(x))).any(axis=1), "x: not in 0..255")
            converted = x.astype(np.uint8)
    if y is not None and not np.isfinite(y).all():
        refuse(np.asarray(~np.isfinite(y).all(axis=1)), f"y: {NOT_FINITE}")
    if y is not None and schema.classes:
        refuse(~_are_classes(y, schema), _no_class(schema), y)
    if chunk.time is not None:
        refuse(np.asarray((chunk.time < FIRST_S) | (chunk.time > LAST_S)), BAD_TIME)
    if chunk.keys:
        refuse(np.array([len(key) > MAX_KEY_BYTES for key in chunk.keys]), LONG_KEY)
    points = PointBlock(converted, y, chunk.time, chunk.keys)
    return (points if good.all() else points.take(good)), refused


def _whole_array(x: NDArray[Any], schema: StreamSchema, record_bytes: int) -> str:
    if x.ndim != 2 or x.shape[1] != schema.dim:
        return f"x: expected {schema.dim} numbers, got shape {tuple(x.shape[1:])}"
    if x.dtype.kind not in "fiub":
        return f"x: expected numbers, got {x.dtype}"
    if x.shape[1] * x.dtype.itemsize > record_bytes:
        return f"larger than ingest.record_bytes = {record_bytes}"
    return ""


def _targets(chunk: PointBlock, schema: StreamSchema) -> tuple[NDArray[np.float32] | None, str]:
    if schema.targets == 0:
        return None, ""  # targets that the stream does not have are left out
    if chunk.y is None:
        return None, f"y: missing, the stream has {schema.targets} targets"
    y = np.asarray(chunk.y)
    if y.size != len(chunk) * schema.targets or y.dtype.kind not in "fiub":
        return None, f"y: expected {schema.targets} numbers a point, got {y.dtype}{y.shape[1:]}"
    return y.reshape(len(chunk), schema.targets).astype(np.float32), ""


def _are_classes(y: NDArray[Any], schema: StreamSchema) -> NDArray[np.bool_]:
    """Say of each row of (n, 1) numbers whether it is one of the classes, (n,)."""
    return np.asarray(((y >= 0) & (y < schema.classes) & (y == np.floor(y))).all(axis=1))


def _no_class(schema: StreamSchema) -> str:
    return f"y: expected a class from 0 to {schema.classes - 1}"


def _raw(row: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(row).tobytes()


def _nothing(schema: StreamSchema) -> PointBlock:
    y = np.empty((0, schema.targets), np.float32) if schema.targets else None
    return PointBlock(np.empty((0, schema.dim), schema.dtype), y)


# -- records -----------------------------------------------------------------------------------------


def _validate_records(
    chunk: Raw, schema: StreamSchema, record_bytes: int
) -> tuple[PointBlock, list[Refused]]:
    def judged(raw: bytes) -> Record | Refused:
        try:
            if len(raw) > record_bytes:
                raise BadRecord(f"larger than ingest.record_bytes = {record_bytes}")
            record = chunk.decode(raw)
            _check_form(record, schema)
        except BadRecord as error:
            return Refused(raw, str(error))
        return record

    found = [judged(raw) for raw in chunk.records]
    good = [one for one in found if isinstance(one, Record)]
    x, y = _numbers_of(good, schema)
    if x is None:  # of one of them at least: which, and why
        found = [
            one if isinstance(one, Refused) else _with_numbers(one, raw, schema)
            for one, raw in zip(found, chunk.records, strict=True)
        ]
        good = [one for one in found if isinstance(one, Record)]
        x, y = _numbers_of(good, schema)
    refused = [one for one in found if isinstance(one, Refused)]
    if not good or x is None:
        return _nothing(schema), refused
    keys = tuple(r.key for r in good) if any(r.key for r in good) else ()
    times = np.array([r.time for r in good])
    time = None if np.isnan(times).all() else times
    return PointBlock(x.astype(schema.dtype), y, time, keys), refused


def judge_targets(
    raws: Sequence[bytes], records: Sequence[Record], schema: StreamSchema
) -> tuple[list[Record], list[Refused]]:
    """Split records that bring targets without x into those that fit the stream and those that do not."""
    good: list[Record] = []
    refused: list[Refused] = []
    for raw, record in zip(raws, records, strict=True):
        try:
            if len(record.key) > MAX_KEY_BYTES:
                raise BadRecord(LONG_KEY)
            _check_target(record, schema)
        except BadRecord as error:
            refused.append(Refused(raw, str(error)))
        else:
            good.append(record)
    return good, refused


def _check_form(record: Record, schema: StreamSchema) -> None:
    """Check everything but the numbers of x and y."""
    if len(record.key) > MAX_KEY_BYTES:
        raise BadRecord(LONG_KEY)
    if not record.x and record.y is not None and record.key:
        raise BadRecord(
            "x: missing - targets come after their points only with stream.late_targets"
        )
    if record.time < FIRST_S or record.time > LAST_S:
        raise BadRecord(BAD_TIME)
    if len(record.x) != schema.dim:
        raise BadRecord(f"x: expected {schema.dim} numbers, got {len(record.x)}")


def _numbers_of(
    records: Sequence[Record], schema: StreamSchema
) -> tuple[NDArray[np.float64] | None, NDArray[np.float32] | None]:
    """Return x (n, D) and y (n, K) of records together; no x if there is a number that cannot be."""
    try:
        for record in records:
            _check_count(record, schema)
        pack = struct.Struct(f"={schema.dim}d").pack  # more than twice as fast as an array of lists
        rows = b"".join([pack(*record.x) for record in records])
        x = np.frombuffer(rows, np.float64).reshape(len(records), schema.dim)
        y = None
        if schema.targets:
            y = np.array([r.y for r in records], np.float64).reshape(len(x), schema.targets)
    except (OverflowError, ValueError, struct.error):
        return None, None
    if _wrong_x(x, schema) or (y is not None and not (np.abs(y) <= FLOAT32_MAX).all()):
        return None, None
    if y is not None and schema.classes and not _are_classes(y, schema).all():
        return None, None
    return x, None if y is None else y.astype(np.float32)


def _with_numbers(record: Record, raw: bytes, schema: StreamSchema) -> Record | Refused:
    """Return a record whose numbers may be, or what is wrong with them."""
    try:
        wrong = _wrong_x(_numbers("x", record.x), schema)
        if wrong:
            raise BadRecord(wrong)
        _check_target(record, schema)
    except BadRecord as error:
        return Refused(raw, str(error))
    return record


def _check_target(record: Record, schema: StreamSchema) -> None:
    _check_count(record, schema)
    if schema.targets and (np.abs(_numbers("y", record.y)) > FLOAT32_MAX).any():
        raise BadRecord("y: beyond the range of float32")
    if schema.classes and not _are_classes(np.array([record.y], np.float64), schema).all():
        got = ", ".join(f"{one:g}" for one in record.y or ())
        raise BadRecord(f"{_no_class(schema)}, got {got}")


def _wrong_x(x: NDArray[np.float64], schema: StreamSchema) -> str:
    """Say what is wrong with numbers of x; empty if nothing is."""
    if schema.dtype == "uint8":
        fits = ((x >= 0) & (x <= 255) & (x == np.floor(x))).all()
        return "" if fits else "x: not in 0..255"
    most = largest(schema.dim)
    fits = x.size == 0 or (-most <= x.min() and x.max() <= most)  # not where there is a NaN
    return "" if fits else f"x: {_too_large(schema.dim)}"


def _check_count(record: Record, schema: StreamSchema) -> None:
    if schema.targets and (record.y is None or len(record.y) != schema.targets):
        got = "none" if record.y is None else len(record.y)
        raise BadRecord(f"y: expected {schema.targets} numbers, got {got}")


def _numbers(field: str, numbers: Any) -> NDArray[np.float64]:
    try:
        values = np.array(numbers, np.float64)
    except (OverflowError, ValueError):
        raise BadRecord(f"{field}: beyond the range of float32") from None
    if not np.isfinite(values).all():
        raise BadRecord(f"{field}: {NOT_FINITE}")
    return values


def _too_large(dim: int) -> str:
    return f"beyond {largest(dim):.1e}, the range of the arithmetic with {dim} inputs"
