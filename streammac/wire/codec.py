"""Messages to frames and back: one msgpack header, then one raw frame per array; small ones travel in bundles.

Senders call `encode`, receivers `decode`; what does not decode is a `WireError`, which a shell
counts and survives. No pickle, no lists of numbers, a limit on everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from streammac.errors import StreammacError
from streammac.points.range import not_finite
from streammac.wire.fields import Value

PROTOCOL = 4
"""Version of the protocol, the first field of every header."""
MAX_HEADER_BYTES = 1 << 20
MAX_FRAMES = 4096
MAX_FRAME_BYTES = 256 << 20
MAX_DIMENSIONS = 4
BUNDLE = "Bundle"
"""What stands in the place of a kind where there are several messages."""
BUNDLE_BYTES = 256 << 10
"""A bundle is not made longer than this,"""
SMALL_BYTES = 64 << 10
"""of messages up to this size: to copy them costs less than to send each by itself."""
ALIGNED = 8
"""In a bundle the bytes of each array begin at a multiple of this."""
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


class _Item(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One message of a bundle; so many bytes of the second frame are its arrays."""

    kind: str
    body: msgspec.Raw
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_FRAME_BYTES)]


class _RawHeader(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    kind: str
    body: msgspec.Raw
    """Known to be whole: no list or map in it claims more items than there are bytes."""


class _Encoded(NamedTuple):
    """A message in its parts."""

    kind: str
    body: bytes
    arrays: list[memoryview | bytes]

    @property
    def size(self) -> int:
        return len(self.body) + sum(map(_aligned, map(len, self.arrays)))

    def frames(self) -> list[bytes | memoryview]:
        header = _Header(PROTOCOL, self.kind, msgspec.Raw(self.body))
        return [msgspec.msgpack.encode(header), *self.arrays]


def encode(msg: Message) -> list[bytes | memoryview]:
    """Return the frames of a message. Arrays are not copied: do not modify them afterwards."""
    return _encoded(msg).frames()


def _encoded(msg: Message) -> _Encoded:
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

    return _Encoded(type(msg).__name__, msgspec.msgpack.encode(msg, enc_hook=describe), arrays)


def encode_all(messages: Iterable[Message]) -> Iterator[list[bytes | memoryview]]:
    """Yield frames to be sent one after the other: small messages in bundles, large ones by themselves."""
    bundle: list[_Encoded] = []
    left = BUNDLE_BYTES
    for encoded in map(_encoded, messages):
        size = encoded.size
        if bundle and size > min(left, SMALL_BYTES):
            yield _bundled(bundle)
            bundle, left = [], BUNDLE_BYTES
        if size > SMALL_BYTES:
            yield encoded.frames()
        else:
            bundle.append(encoded)
            left -= size
    if bundle:
        yield _bundled(bundle)


def _bundled(bundle: Sequence[_Encoded]) -> list[bytes | memoryview]:
    if len(bundle) == 1:
        return bundle[0].frames()
    items, parts = [], []
    for kind, body, arrays in bundle:
        size = 0
        for array in arrays:
            parts += [array, bytes(_aligned(len(array)) - len(array))]
            size += _aligned(len(array))
        items.append(_Item(kind, msgspec.Raw(body), size))
    return [msgspec.msgpack.encode(_Header(PROTOCOL, BUNDLE, items)), b"".join(parts)]


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """Return the message that the frames hold.

    Arrays are read-only views of the frames.

    Raises
    ------
    WireError
        If anything about the frames is wrong: nothing of them is to be believed then.
    """
    header = _header(frames)
    return _message(header.kind, header.body, _Frames(frames[1:]))


def decode_all(frames: Sequence[bytes | memoryview]) -> Iterator[Message | WireError]:
    """Yield the message, or the messages of a bundle, that the frames hold; in the place of each wrong one, why."""
    try:
        header = _header(frames)
        if header.kind != BUNDLE:
            yield _message(header.kind, header.body, _Frames(frames[1:]))
            return
        items = _items(header.body)
        if len(frames) != 2 or sum(item.size for item in items) != len(frames[1]):
            raise WireError(f"{BUNDLE}: its second frame is not as long as its arrays")
    except WireError as error:
        yield error
        return
    arrays, offset = memoryview(frames[1]), 0
    for item in items:
        try:
            part = arrays[offset : offset + item.size]
            yield _message(item.kind, item.body, _Parts(part))
        except WireError as error:
            yield error
        offset += item.size


def _header(frames: Sequence[bytes | memoryview]) -> _RawHeader:
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
    return header


def _items(body: msgspec.Raw) -> list[_Item]:
    try:
        return msgspec.msgpack.decode(body, type=list[_Item])
    except (ValueError, RecursionError) as error:
        raise WireError(f"{BUNDLE}: {error}"[:MAX_ERROR]) from None


class _Frames:
    """Arrays that have a frame each."""

    def __init__(self, frames: Sequence[bytes | memoryview]) -> None:
        self._left = list(reversed(frames))

    def take(self, size: int) -> bytes | memoryview:
        """Return the bytes of the next array, so many."""
        if not self._left:
            raise ValueError("more arrays than frames")
        frame = self._left.pop()
        if len(frame) != size:
            raise ValueError(f"{len(frame)} bytes do not make an array of {size}")
        return frame

    def __len__(self) -> int:
        return len(self._left)


class _Parts:
    """Arrays that lie in one frame, one behind the other."""

    def __init__(self, frame: memoryview) -> None:
        self._left = frame

    def take(self, size: int) -> bytes | memoryview:
        """Return the bytes of the next array, so many."""
        if _aligned(size) > len(self._left):
            raise ValueError(f"{len(self._left)} bytes do not make an array of {size}")
        part, self._left = self._left[:size], self._left[_aligned(size) :]
        return part

    def __len__(self) -> int:
        return len(self._left)


def _message(kind: str, body: msgspec.Raw, arrays: _Frames | _Parts) -> Message:
    cls = Message.kinds.get(kind)
    if cls is None:
        raise WireError(f"unknown message kind {kind[:40]!r}")
    found = 0

    def array(_: type, described: object) -> np.ndarray:
        nonlocal found
        found += 1
        return _array(described, arrays)

    try:
        message = msgspec.msgpack.decode(body, type=cls, dec_hook=array)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{kind}: {error}"[:MAX_ERROR]) from None
    tensors = getattr(message, "tensors", {})
    if len(arrays) or found != len(tensors):
        raise WireError(f"{kind}: the number of arrays and of frames differ")
    wild = [] if cls.any_numbers else not_finite(tensors)
    if wild:
        raise WireError(f"{kind}: NaN or infinite - at `$.tensors.{wild[0]}`")
    return message


def _array(described: object, arrays: _Frames | _Parts) -> np.ndarray:
    match described:
        case [str(dtype), list(shape)] if dtype in DTYPES:
            pass
        case _:
            raise ValueError("an array is described wrongly")
    whole = all(type(n) is int and 0 <= n <= MAX_FRAME_BYTES for n in shape)
    size = math.prod(shape) * DTYPES[dtype].itemsize if whole else 0
    if not whole or len(shape) > MAX_DIMENSIONS or size > MAX_FRAME_BYTES:
        raise ValueError("shape or size beyond the limits")
    return np.ndarray(shape, DTYPES[dtype], arrays.take(size))
