"""A message's frames as MPI messages: one buffer that holds what is small, then each large frame as it is.

A buffer begins with a table: how many frames there are, and how many bytes each has. Small frames follow in it, each at
a multiple of `ALIGNMENT`, so that arrays can be used where they lie. Large ones are not copied: they follow as messages
of their own, in their order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.wire.codec import MAX_FRAME_BYTES, MAX_FRAMES, WireError

Frame: TypeAlias = bytes | memoryview
Buffer: TypeAlias = NDArray[np.uint8]
ALIGNMENT = 16
OWN_MESSAGE = 1 << 15
"""Frames of so many bytes travel by themselves: to copy them would take longer than a second message."""
_WORD = 8


def _padding(length: int) -> int:
    return -length % ALIGNMENT


def pack(frames: Sequence[Frame]) -> tuple[bytes, list[Frame]]:
    """Return the buffer, and the frames that travel by themselves."""
    table = struct.pack(f"<{len(frames) + 1}Q", len(frames), *map(len, frames))
    parts: list[Frame] = [table, bytes(_padding(len(table)))]
    large: list[Frame] = []
    for frame in frames:
        if len(frame) >= OWN_MESSAGE:
            large.append(frame)
        else:
            parts += (frame, bytes(_padding(len(frame))))
    return b"".join(parts), large


def _lengths(buffer: Buffer) -> tuple[int, ...]:
    count = struct.unpack_from("<Q", buffer.data)[0] if buffer.size >= _WORD else 0
    if not 1 <= count <= MAX_FRAMES or buffer.size < (count + 1) * _WORD:
        raise WireError(f"a table of {count} frames in {buffer.size} bytes")
    lengths = struct.unpack_from(f"<{count}Q", buffer.data, _WORD)
    if max(lengths) > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {max(lengths)} bytes, limit {MAX_FRAME_BYTES}")
    return lengths


def following(buffer: Buffer) -> int:
    """Return how many large frames follow a buffer.

    Raises
    ------
    WireError
        If it does not begin with a table.
    """
    return sum(length >= OWN_MESSAGE for length in _lengths(buffer))


def unpack(buffer: Buffer, large: Iterable[Buffer]) -> list[memoryview]:
    """Return the frames of a message, views of what has arrived.

    Raises
    ------
    WireError
        If the buffers are not what its table says.
    """
    lengths = _lengths(buffer)
    at = (len(lengths) + 1) * _WORD
    at += _padding(at)
    held = buffer.data.toreadonly()
    arrived = iter(large)
    frames: list[memoryview] = []
    for length in lengths:
        if length >= OWN_MESSAGE:
            own = next(arrived)
            frame = own.data.toreadonly()
        else:
            frame = held[at : at + length]
            at += length + _padding(length)
        if len(frame) != length:
            raise WireError(f"a frame of {len(frame)} bytes, {length} were announced")
        frames.append(frame)
    return frames
