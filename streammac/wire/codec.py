"""Messages to frames and back: one msgpack header, then one raw frame per array.

Senders call `encode`, receivers `decode`; what does not decode is a `WireError`, which a shell
counts and survives. No pickle, no lists of numbers, a limit on everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from streammac.errors import StreammacError
from streammac.points.range import not_finite
from streammac.wire.fields import Value

PROTOCOL = 2
"""Version of the protocol, the first field of every header."""
MAX_HEADER_BYTES = 1 << 20
MAX_FRAMES = 4096
MAX_FRAME_BYTES = 256 << 20
MAX_DIMENSIONS = 4
MAX_ERROR = 300
"""Characters of an error that are kept: a peer's field names may be in it."""
DTYPES = {name: np.dtype(name) for name in ("|u1", "<f4", "<f8", "<i4", "<i8", "|b1")}
"""Array types that may cross the wire; anything else (objects above all) is refused."""


class WireError(StreammacError, ValueError):
    """A peer sent frames that are not a message of this protocol."""


class Message(Value):
    """Base of all messages: frozen values whose arrays, if any, are their field ``tensors``."""

    kinds: ClassVar[dict[str, type[Message]]] = {}
    any_numbers: ClassVar[bool] = False
    """Whether NaN and infinity may be in its arrays: they are looked at where they are used."""

    def __init_subclass__(cls) -> None:
        Message.kinds[cls.__name__] = cls


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    kind: str
    body: Any


class _RawHeader(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    kind: str
    body: msgspec.Raw
    """Known to be whole: no list or map in it claims more items than there are bytes."""


def encode(msg: Message) -> list[bytes | memoryview]:
    """Return the frames of a message. Arrays are not copied: do not modify them afterwards."""
    arrays: list[memoryview | bytes] = []

    def describe(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{type(value).__name__} cannot be sent")
        a = np.asarray(value, order="C")
        # reshape(-1): a memoryview of an array without elements or dimensions cannot be cast
        arrays.append(a.reshape(-1).view(np.uint8).data if a.size else b"")
        return a.dtype.str, a.shape

    header = _Header(PROTOCOL, type(msg).__name__, msg)
    return [msgspec.msgpack.encode(header, enc_hook=describe), *arrays]


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
        header = msgspec.msgpack.decode(frames[0], type=_RawHeader)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a header of protocol {PROTOCOL}: {error}"[:MAX_ERROR]) from None
    if header.v != PROTOCOL:
        raise WireError(f"protocol {header.v}, this process speaks {PROTOCOL}")
    cls = Message.kinds.get(header.kind)
    if cls is None:
        raise WireError(f"unknown message kind {header.kind[:40]!r}")
    following = iter(frames[1:])
    try:
        message = msgspec.msgpack.decode(
            header.body, type=cls, dec_hook=lambda _, described: _array(described, next(following))
        )
    except StopIteration:
        raise WireError(f"{header.kind}: more arrays than frames") from None
    except (ValueError, RecursionError) as error:
        raise WireError(f"{header.kind}: {error}"[:MAX_ERROR]) from None
    tensors = getattr(message, "tensors", {})
    if len(tensors) != len(frames) - 1:
        raise WireError(f"{header.kind}: the number of arrays and of frames differ")
    wild = [] if cls.any_numbers else not_finite(tensors)
    if wild:
        raise WireError(f"{header.kind}: NaN or infinite - at `$.tensors.{wild[0]}`")
    return message


def _array(described: object, frame: bytes | memoryview) -> np.ndarray:
    match described:
        case [str(dtype), list(shape)] if dtype in DTYPES:
            pass
        case _:
            raise ValueError("an array is described wrongly")
    whole = all(type(n) is int and 0 <= n <= MAX_FRAME_BYTES for n in shape)
    if not whole or len(shape) > MAX_DIMENSIONS or len(frame) > MAX_FRAME_BYTES:
        raise ValueError("shape or size beyond the limits")
    if math.prod(shape) * DTYPES[dtype].itemsize != len(frame):
        raise ValueError(f"{len(frame)} bytes do not make {dtype}{shape}")
    return np.ndarray(shape, DTYPES[dtype], frame)
