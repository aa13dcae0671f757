"""What sources yield and what validation returns: arrays of points, raw records, and what was refused.

Typed formats come as `Arrays`; text comes as `Raw` records, which are decoded one by one so that one bad line
costs that line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray


class BadRecord(ValueError):
    """A record cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded record: numbers not yet checked against the stream's schema."""

    x: Sequence[float]
    y: Sequence[float] | None = None
    key: bytes = b""
    time: float = float("nan")


Decode: TypeAlias = Callable[[bytes], Record]
"""Turns the bytes of a record into numbers, or raises `BadRecord`."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Records as they were read, and how to decode them."""

    records: Sequence[bytes]
    decode: Decode

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True, slots=True)
class Arrays:
    """Points as arrays: ``x`` (n, D), ``y`` (n, K) or None, ``time`` (n,) or None, keys (n) or empty."""

    x: NDArray[Any]
    y: NDArray[Any] | None = None
    time: NDArray[np.float64] | None = None
    keys: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def nbytes(self) -> int:
        """Bytes on the wire, about."""
        return self.x.nbytes + (self.y.nbytes if self.y is not None else 0)

    def take(self, rows: slice | NDArray[Any]) -> Arrays:
        """Return some of the points: views for a slice, copies for positions or a mask."""
        keys: tuple[bytes, ...] = ()
        if self.keys:
            positions = np.arange(len(self))[rows]
            keys = tuple(self.keys[i] for i in positions)
        return Arrays(
            self.x[rows],
            None if self.y is None else self.y[rows],
            None if self.time is None else self.time[rows],
            keys,
        )


Chunk: TypeAlias = Arrays | Raw


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that goes to the dead letters, as it was, and why."""

    raw: bytes
    reason: str
