"""What is stored: the schema of a stream's points, and a batch of them.

`Schema.check` is the border: behind it arrays have the right shape and type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store.errors import StoreError

X_DTYPES = ("float32", "uint8")
MAX_KEYS_BYTES = 64 << 20
"""All keys of a batch together may be so long: they live in the journal, which is read whole at opening."""
NO_TIMES = np.full(4096, np.nan)
NO_TIMES.setflags(write=False)
"""Event times of points that have none."""
MAX_SOURCE_BYTES = (1 << 16) - 1


def check_batch_id(batch_id: BatchId) -> None:
    """Raise StoreError if the journal could not hold the name of a batch."""
    try:
        length = len(batch_id.source.encode())
    except UnicodeEncodeError as error:
        raise StoreError(f"source: expected a name in UTF-8, got {batch_id.source!r}") from error
    if length > MAX_SOURCE_BYTES:
        raise StoreError(
            f"source: expected at most {MAX_SOURCE_BYTES} bytes, got {length} - use a shorter name"
        )
    for name, number in (("incarnation", batch_id.incarnation), ("sequence", batch_id.sequence)):
        if not -(1 << 63) <= number < 1 << 63:
            raise StoreError(f"{name}: expected a signed 64-bit number, got {number}")


class Arrival(NamedTuple):
    """A batch on its way into a shard.

    ``sender`` is who brings it, where that is not its source; see `Shard.withdraw`. ``moved``: it comes from another
    shard, and lives nowhere else: a copy that somebody else brought here before was left behind, and gives way; that
    one has expired here does not matter.
    """

    points: PointBlock
    batch_id: BatchId
    sender: str = ""
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a segment: a file of rows of fixed size."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Schema:
    """What every point of a shard looks like.

    Parameters
    ----------
    dim : int
        Length of x.
    dtype : str
        ``float32`` or ``uint8``.
    y_shape, y_dtype : optional
        Shape of one target (``()`` for a scalar) and its type, if points have targets.
    """

    dim: int
    dtype: str = "float32"
    y_shape: tuple[int, ...] | None = None
    y_dtype: str = "float32"
    columns: tuple[Column, ...] = field(init=False, repr=False, compare=False)
    """The columns on disk; event times that were not given are NaN."""

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise StoreError(f"dim: expected at least 1, got {self.dim}")
        if self.dtype not in X_DTYPES:
            raise StoreError(f"dtype: expected one of {', '.join(X_DTYPES)}, got {self.dtype!r}")
        if self.y_shape is not None and any(length < 1 for length in self.y_shape):
            raise StoreError(f"y_shape: expected lengths of at least 1, got {self.y_shape}")
        if np.dtype(self.y_dtype).kind not in "biuf":
            raise StoreError(f"y_dtype: expected a type of numbers, got {self.y_dtype!r}")
        columns = [
            Column("x", np.dtype(self.dtype), (self.dim,)),
            Column("time", np.dtype(np.float64), ()),
        ]
        if self.y_shape is not None:
            columns.append(Column("y", np.dtype(self.y_dtype), self.y_shape))
        object.__setattr__(self, "columns", tuple(columns))

    @classmethod
    def of_stream(cls, dim: int, dtype: str, targets: int = 0) -> Schema:
        """Return the schema of a stream whose points have so many targets."""
        if targets:
            return cls(dim, dtype, y_shape=(targets,), y_dtype="float32")
        return cls(dim, dtype)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the shard's description on disk."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Schema:
        """Rebuild what `to_json` returned."""
        shape = value["y_shape"]
        return cls(**value | {"y_shape": None if shape is None else tuple(shape)})

    def check(self, points: PointBlock) -> dict[str, NDArray[Any]]:
        """Return a batch's columns, contiguous and of the right type.

        Raises
        ------
        StoreError
            Naming the field that does not fit, and what was expected.
        """
        x = points.x
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise StoreError(f"x: expected shape (n, {self.dim}), got {x.shape}")
        if x.dtype != self.columns[0].dtype:
            raise StoreError(
                f"x: expected {self.dtype}, got {x.dtype} - convert it before appending"
            )
        columns = {"x": np.ascontiguousarray(x)}
        time = points.time
        columns["time"] = (
            _no_times(len(x))
            if time is None
            else _as("time", np.asarray(time), (len(x),), np.dtype(np.float64))
        )
        if self.y_shape is not None:
            if points.y is None:
                raise StoreError(f"y: expected shape {(len(x), *self.y_shape)}, got None")
            columns["y"] = _as("y", points.y, (len(x), *self.y_shape), np.dtype(self.y_dtype))
        elif points.y is not None:
            raise StoreError("y: this stream has no targets; leave y out")
        if points.keys:
            _check_keys(points.keys, len(x))
        return columns


def _no_times(count: int) -> NDArray[np.float64]:
    return NO_TIMES[:count] if count <= len(NO_TIMES) else np.full(count, np.nan)


def _as(
    name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return an array as a contiguous one of this type, where its shape and kind are right."""
    if array.shape != shape:
        raise StoreError(f"{name}: expected shape {shape}, got {array.shape}")
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise StoreError(
            f"{name}: expected {dtype}, got {array.dtype} - convert it before appending"
        )
    return np.ascontiguousarray(array, dtype)


def _check_keys(keys: Sequence[bytes], count: int) -> None:
    if len(keys) != count:
        raise StoreError(f"keys: expected {count}, got {len(keys)}")
    other = next((key for key in keys if not isinstance(key, bytes)), None)
    if other is not None:
        raise StoreError(f"keys: expected bytes, got {type(other).__name__} - encode it first")
    size = sum(map(len, keys))
    if size > MAX_KEYS_BYTES:
        raise StoreError(
            f"keys: expected at most {MAX_KEYS_BYTES} bytes in a batch, got {size} - make batches smaller"
        )
