"""Messages to frames and back: one msgpack header, then one raw frame per array.

Senders call `encode`, receivers `decode`; what does not decode is a `WireError`, which a shell
counts and survives. No pickle, no lists of numbers, a limit on everything.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgpack
import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from streammac.errors import StreammacError

PROTOCOL = 1
"""Version of the protocol, the first field of every header."""
MAX_HEADER_BYTES = 1 << 20
MAX_FRAMES = 4096
MAX_FRAME_BYTES = 256 << 20
MAX_DIMENSIONS = 4
DTYPES = frozenset({"|u1", "<f4", "<f8", "<i4", "<i8", "|b1"})
"""Array types that may cross the wire; anything else (objects above all) is refused."""


class WireError(StreammacError, ValueError):
    """A peer sent frames that are not a message of this protocol."""


class Message:
    """Base of all messages: a frozen dataclass whose arrays, if any, are its field ``tensors``."""

    __slots__ = ()
    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True, extra="forbid")


M = TypeVar("M", bound=type[Message])

_kinds: dict[str, type[Message]] = {}
_adapters: dict[type[Message], TypeAdapter[Any]] = {}


def message(cls: M) -> M:
    """Register a message class under its name (a class decorator)."""
    _kinds[cls.__name__] = cls
    return cls


def _adapter(cls: type[Message]) -> TypeAdapter[Any]:
    """Return the validator of a message class, made at its first use (it costs milliseconds)."""
    if cls not in _adapters:
        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]


def _fields(cls: type[Message]) -> tuple[str, ...]:
    return tuple(name for name in cls.__dataclass_fields__ if name != "tensors")  # type: ignore[attr-defined]


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def encode(msg: Message) -> list[bytes | memoryview]:
    """Return the frames of a message. Arrays are not copied: do not modify them afterwards."""
    cls = type(msg)
    tensors: dict[str, np.ndarray] = getattr(msg, "tensors", {})
    arrays = [(name, np.asarray(a, order="C")) for name, a in tensors.items()]
    head = {
        "v": PROTOCOL,
        "kind": cls.__name__,
        "body": {name: _plain(getattr(msg, name)) for name in _fields(cls)},
        "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in arrays],
    }
    frames: list[bytes | memoryview] = [msgpack.packb(head)]
    # reshape(-1): a memoryview of an array without elements or dimensions cannot be cast
    frames += [a.reshape(-1).view(np.uint8).data if a.size else b"" for _, a in arrays]
    return frames


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """Return the message that the frames hold.

    Arrays are read-only views of the frames.

    Raises
    ------
    WireError
        If anything about the frames is wrong: nothing of them is to be believed then.
    """
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise WireError(f"expected 1 to {MAX_FRAMES} frames, got {len(frames)}")
    if len(frames[0]) > MAX_HEADER_BYTES:
        raise WireError(f"header of {len(frames[0])} bytes, limit {MAX_HEADER_BYTES}")
    try:
        head = msgpack.unpackb(frames[0], use_list=True, strict_map_key=True)
    except (
        Exception
    ) as error:  # msgpack raises many kinds, among them plain ValueError and TypeError
        raise WireError(f"header is not msgpack: {type(error).__name__}") from error
    if not isinstance(head, dict) or head.keys() != {"v", "kind", "body", "arrays"}:
        raise WireError("header is not a message header")
    if head["v"] != PROTOCOL:
        raise WireError(f"protocol {head['v']!r}, this process speaks {PROTOCOL}")
    kind, body = head["kind"], head["body"]
    cls = _kinds.get(kind) if isinstance(kind, str) else None
    if cls is None or not isinstance(body, dict):
        raise WireError(f"unknown message kind {str(kind)[:40]!r}")
    if any(not isinstance(k, str) for k in body) or "tensors" in body:
        raise WireError(f"{kind}: fields are not what they should be")
    tensors = _arrays(kind, head["arrays"], frames[1:])
    if "tensors" in cls.__dataclass_fields__:  # type: ignore[attr-defined]
        body["tensors"] = tensors
    elif tensors:
        raise WireError(f"{kind}: carries arrays it should not")
    try:
        result: Message = _adapter(cls).validate_python(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(p) for p in first["loc"])
        raise WireError(f"{kind}.{path}: {first['msg']}") from None
    return result


def _arrays(
    kind: str, described: object, frames: Sequence[bytes | memoryview]
) -> dict[str, np.ndarray]:
    if not isinstance(described, list) or len(described) != len(frames):
        raise WireError(f"{kind}: the number of arrays and of frames differ")
    tensors: dict[str, np.ndarray] = {}
    for item, frame in zip(described, frames, strict=True):
        match item:
            case [str(name), str(dtype), list(shape)] if dtype in DTYPES:
                pass
            case _:
                raise WireError(f"{kind}: an array is described wrongly")
        whole = all(type(n) is int and 0 <= n <= MAX_FRAME_BYTES for n in shape)
        if not whole or len(shape) > MAX_DIMENSIONS or len(frame) > MAX_FRAME_BYTES:
            raise WireError(f"{kind}.{name[:40]}: shape or size beyond the limits")
        if math.prod(shape) * np.dtype(dtype).itemsize != len(frame) or name in tensors:
            raise WireError(f"{kind}.{name[:40]}: {len(frame)} bytes do not make {dtype}{shape}")
        tensors[name] = np.frombuffer(frame, dtype=dtype).reshape(shape)
    return tensors
