"""Files of arrays: .npy, .npz, idx and idx.gz, .fvecs and .bvecs. Mapped into memory where the format allows."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.records import Chunk
from ingest.sources.base import SourceError
from streammac.points.block import PointBlock

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
VECS = {".fvecs": "<f4", ".bvecs": "u1"}
SUFFIXES = (".npy", ".npz", ".idx", ".fvecs", ".bvecs")


class ArraySource:
    """Points that are an array already, each once, in order or shuffled.

    Parameters
    ----------
    name : str
        What people call it.
    points : PointBlock
        All of them; may be mapped from a file.
    shuffle : int, optional
        Seed of a random order.
    version : str
        Tells this content from another of the same name; empty: it cannot be told.
    """

    finite = True

    def __init__(
        self, name: str, points: PointBlock, shuffle: int | None = None, version: str = ""
    ) -> None:
        self.name = name
        self.seekable = bool(version)
        self._points = points
        self._shuffle = shuffle
        self._version = version

    @property
    def identity(self) -> str:
        """See `Seekable.identity`."""
        return f"{self._version} {self._shuffle}"

    def continues(self, identity: str, offset: int) -> bool:
        """See `Seekable.continues`."""
        return identity == self.identity and offset <= len(self._points)

    def chunk_points(self, points: int) -> int:
        """See `Seekable.chunk_points`."""
        return points

    @property
    def format(self) -> str:
        """Type of a row's numbers."""
        return self._points.x.dtype.str

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        for chunk, _ in self.places(points, 0, 0):
            yield chunk

    def places(self, points: int, offset: int, records: int) -> Iterator[tuple[Chunk, int]]:
        """See `Seekable.places`; offsets are numbers of points."""
        order: NDArray[np.int64] | None = None
        if self._shuffle is not None:
            order = np.random.default_rng(self._shuffle).permutation(len(self._points))
        for first in range(offset, len(self._points), points):
            rows = slice(first, min(first + points, len(self._points)))
            yield self._points.take(rows if order is None else order[rows]), rows.stop


def is_array_file(path: Path) -> bool:
    """Return whether a file's name says that it holds arrays."""
    name = path.name.removesuffix(".gz")
    return name.endswith(SUFFIXES) or "-idx" in name


def read_arrays(path: Path) -> PointBlock:
    """Read a file of arrays; images and the like are flattened to (n, D).

    Raises
    ------
    SourceError
        If it is not such a file.
    """
    try:
        arrays = _read(path)
    except SourceError:
        raise
    except Exception as error:  # damaged files make numpy, zip and gzip raise many kinds
        raise SourceError(f"{path}: cannot be read: {error}") from None
    x = arrays.x
    if x.ndim < 2 or x.dtype.kind not in "fiub":
        raise SourceError(f"{path}: expected (n, D) numbers, got {x.dtype}{x.shape}")
    width = math.prod(x.shape[1:])
    if len(x) and not width:
        raise SourceError(f"{path}: its points are of no numbers: {x.dtype}{x.shape}")
    if not x.dtype.isnative and x.dtype.itemsize > 1:
        x = x.astype(x.dtype.newbyteorder("="))
    for field, column in (("y", arrays.y), ("time", arrays.time)):
        if column is not None and column.shape[:1] != (len(x),):
            raise SourceError(f"{path}: {field}: expected {len(x)} entries, got {column.shape}")
    return PointBlock(x.reshape(len(x), width), arrays.y, arrays.time)


def _read(path: Path) -> PointBlock:
    name = path.name.removesuffix(".gz")
    if name.endswith(".npy"):
        return PointBlock(np.load(path, mmap_mode="r", allow_pickle=False))
    if name.endswith(".npz"):
        return _read_npz(path)
    if name.endswith(tuple(VECS)):
        return PointBlock(_read_vecs(path, VECS[path.suffix]))
    return PointBlock(_read_idx(path))


def _read_npz(path: Path) -> PointBlock:
    with np.load(path, allow_pickle=False) as file:
        names = [n for n in ("x", "X") if n in file]
        names = names or [n for n in file.files if file[n].ndim >= 2]
        if not names:
            raise SourceError(f"{path}: no array x, and none with two dimensions")
        y = next((file[n] for n in ("y", "Y") if n in file), None)
        time = file["time"].astype(np.float64) if "time" in file else None
        return PointBlock(file[names[0]], y, time)


def _read_vecs(path: Path, dtype: str) -> NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty((0, 1), dtype)
    with path.open("rb") as file:
        (dim,) = struct.unpack("<i", file.read(4))
    if dim < 1:
        raise SourceError(f"{path}: begins with a vector of length {dim}")
    row = np.dtype([("dim", "<i4"), ("x", dtype, (dim,))])
    rows: NDArray[Any] = np.memmap(path, row, "r")
    if (rows["dim"] != dim).any():
        raise SourceError(f"{path}: its vectors are not all of length {dim}, as the first one is")
    x: NDArray[Any] = rows["x"]
    return x


def _read_idx(path: Path) -> NDArray[Any]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
        if zero != 0 or kind not in IDX_TYPES:
            raise SourceError(f"{path}: not an idx file")
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        data = file.read()
    return np.frombuffer(data, IDX_TYPES[kind]).reshape(shape)
