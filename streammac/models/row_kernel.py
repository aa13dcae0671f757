"""Stored rows as compiled loops read them: where they lie, converted and centred, tile by tile.

What is read here is believed: positions are checked before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from streammac.models.base import Array, Floats
from streammac.models.compiling import compiled
from streammac.models.outliers import reach
from streammac.models.vectors import MULTIPLE, ROWS, wide
from streammac.points.stored_rows import StoredRows

TILE = ROWS
"""Rows of a tile: it stays in the second-level cache."""
EVERY = np.float32(np.inf)
"""A reach beyond which there is nothing."""
# what is not finite must be seen: no "nnan", no "ninf"
FAST = {"reassoc", "nsz", "contract", "arcp"}


class Rows(NamedTuple):
    """Which rows to read, and where they lie.

    ``like`` (0, D) is of the type of the inputs; ``x_at``, ``z_at`` are the addresses of the parts, whose first rows
    have the positions ``starts``; ``codes`` is the length of a row of z; the first
    machine learns its ``first_bit``, the others the next ones. ``positions`` increase within a minibatch.
    """

    like: NDArray[Any]
    x_at: NDArray[np.int64]
    z_at: NDArray[np.int64]
    starts: NDArray[np.int64]
    codes: int
    first_bit: int
    positions: NDArray[np.int64]


def rows_of(stored: StoredRows, first_bit: int = 0) -> Rows:
    """Return no rows yet of what is stored; whoever has them holds ``stored``, too: the loops get addresses."""
    starts, x, z = stored
    x_at, z_at = (np.array([part.ctypes.data for part in parts]) for parts in (x, z))
    # of no rows, and not read-only as a mapped file is: of that type all loops would be compiled anew
    like = np.empty((0, x[0].shape[1]), x[0].dtype)
    return Rows(like, x_at, z_at, starts, z[0].shape[1], first_bit, np.zeros(0, np.int64))


def at_positions(rows: Rows, positions: NDArray[np.int64]) -> Rows:
    """Return the rows at these positions.

    Raises
    ------
    IndexError
        If there are none at some of them.
    """
    count = rows.starts[-1]
    if len(positions) and not 0 <= positions.min() <= positions.max() < count:
        raise IndexError(f"rows: expected positions in [0, {count}), got {positions}")
    return rows._replace(positions=positions)


class Inputs(NamedTuple):
    """How rows become inputs: less ``mean``, divided by the scale in the end; beyond ``reach`` they are left out."""

    mean: Floats
    inverse: np.float32  # 1 / scale
    reach: np.float32


def inputs_of(params: Mapping[str, Array]) -> Inputs:
    """Return how a model's inputs are made."""
    # a copy: what came in a message is read-only, a type of its own, for which all loops would be compiled anew
    mean, scale = params["input/mean"].copy(), float(params["input/scale"][0])
    return Inputs(mean, np.float32(1.0 / scale), np.float32(reach(scale, len(mean))))


def of_type(inputs: Inputs, dtype: np.dtype[Any]) -> Inputs:
    """Return the same for points of a type: where none of this type can be far, all are within reach."""
    if dtype == np.uint8:
        mean = inputs.mean.astype(np.float64)
        if np.square(np.maximum(np.abs(mean), np.abs(255 - mean))).sum() <= inputs.reach:
            return inputs._replace(reach=EVERY)
    return inputs


def _make_pointer(typing: Any, address: Any, like: Any) -> tuple[Any, Callable[..., Any]]:
    """Take an address for a pointer to items like those of an array."""
    pointer: Any = types.CPointer
    signature = pointer(like.dtype)(address, like)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature, generate


def _make_prefetch(typing: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the cache line of an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = ir.IntType(32)
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        insert: Any = cgutils.get_or_insert_function
        prefetch = insert(builder.module, kind, "llvm.prefetch.p0")
        # to read, into the second-level cache, data
        builder.call(prefetch, [pointer, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(address), generate


def _make_word(typing: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the 4 bytes that begin at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        there = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        return builder.load(there, align=1)

    return types.uint32(types.int64), generate


prefetch: Any = intrinsic(_make_prefetch)
word_at: Any = intrinsic(_make_word)
pointer: Any = intrinsic(_make_pointer)
array: Any = numba.carray  # type: ignore[attr-defined]
CODES = np.zeros(0, np.uint8)


@compiled(fastmath=FAST, forceinline=True)
def _fill(x: Any, mean: Any, tile: Any, at: Any) -> Any:
    """Put a centred row into the tile; return its squared norm."""
    wide()
    total = np.float32(0)
    for d in range(len(x)):
        value = np.float32(x[d]) - mean[d]
        tile[at, d] = value
        total += value * value
    return total


@compiled(fastmath=FAST, forceinline=True)
def _fill_4(x: Any, mean: Any, tile: Any, at: Any) -> Any:
    """Put 4 centred rows into the tile; return the largest of their squared norms, or NaN."""
    wide()
    t0 = t1 = t2 = t3 = np.float32(0)
    for d in range(x.shape[1]):
        centre = mean[d]
        value = np.float32(x[0, d]) - centre
        tile[at, d] = value
        t0 += value * value
        value = np.float32(x[1, d]) - centre
        tile[at + 1, d] = value
        t1 += value * value
        value = np.float32(x[2, d]) - centre
        tile[at + 2, d] = value
        t2 += value * value
        value = np.float32(x[3, d]) - centre
        tile[at + 3, d] = value
        t3 += value * value
    return (t0 + t1) + (t2 + t3)


@compiled()
def part_of(starts: Any, position: Any, part: Any) -> Any:
    """Return in which part a position is; ``part`` is a guess."""
    if position < starts[part]:
        part = 0
    while position >= starts[part + 1]:
        part += 1
    return part


@compiled()
def four(positions: Any, at: Any, end: Any, stop: Any) -> Any:
    """Return whether the next 4 rows, of those up to ``end``, lie together in a part that ends at ``stop``."""
    last = positions[at] + 3
    return at + 4 <= end and positions[at + 3] == last and last < stop


@compiled(fastmath=FAST, forceinline=True)
def _square(x: Any, mean: Any) -> Any:
    """Return the squared norm of a row less the mean."""
    wide()
    total = np.float32(0)
    for d in range(len(x)):
        value = np.float32(x[d]) - mean[d]
        total += value * value
    return total


def take(address: Any, four: Any, like: Any, mean: Any, reach: Any, tile: Any, n: Any) -> Any:
    """Put the row at an address, or ``four``, into the tile from its row ``n`` on; return whether they count.

    Into a tile of bytes they come as they are, into one of numbers centred.
    """
    raise NotImplementedError


@overload(take, jit_options={"nogil": True})
def _take(address: Any, four: Any, like: Any, mean: Any, reach: Any, tile: Any, n: Any) -> Any:
    def centred(
        address: Any, four: Any, like: Any, mean: Any, reach: Any, tile: Any, n: Any
    ) -> Any:
        if four:
            return _fill_4(array(pointer(address, like), (4, len(mean))), mean, tile, n) <= reach
        return _fill(array(pointer(address, like), (len(mean),)), mean, tile, n) <= reach

    def as_it_is(
        address: Any, four: Any, like: Any, mean: Any, reach: Any, tile: Any, n: Any
    ) -> Any:
        near = True
        for i in range(MULTIPLE if four else 1):
            row = array(pointer(address + i * len(mean), like), (len(mean),))
            if reach < EVERY:
                near = near and _square(row, mean) <= reach
            for d in range(len(row)):
                tile[n + i, d] = row[d]
        return near

    return as_it_is if tile.dtype == types.uint8 else centred


@compiled()
def fill_tile(rows: Any, inputs: Any, first: Any, n: Any, tile: Any) -> None:
    """Put the n rows of which the positions are from ``first`` on, centred, into the tile; far ones, too."""
    like, x_at, _, starts, _, _, positions = rows
    mean, _, _ = inputs
    row_bytes = len(mean) * like.itemsize
    i = part = 0
    while i < n:
        at = first + i
        part = part_of(starts, positions[at], part)
        address = x_at[part] + (positions[at] - starts[part]) * row_bytes
        together = four(positions, at, first + n, starts[part + 1])
        take(address, together, like, mean, EVERY, tile, i)
        i += 4 if together else 1


@compiled()
def fill_near(rows: Any, inputs: Any, at: Any, end: Any, tile: Any, found: Any) -> Any:
    """Fill a tile with rows that are not far, of those of which the positions are [at, end).

    ``found`` is filled with the addresses of their codes, and their positions. Returns how many they are, and where the
    next ones begin.
    """
    like, x_at, z_at, starts, codes, first_bit, positions = rows
    mean, _, reach = inputs
    codes_at, kept = found
    row_bytes = len(mean) * like.itemsize
    n = part = 0
    while n < TILE and at < end:
        position = positions[at]
        part = part_of(starts, position, part)
        local = position - starts[part]
        address = x_at[part] + local * row_bytes
        together = four(positions, at, min(end, at + TILE - n), starts[part + 1]) and take(
            address, True, like, mean, reach, tile, n
        )
        near = together or take(address, False, like, mean, reach, tile, n)
        count_here = 4 if together else 1
        at += count_here
        if near:
            for i in range(count_here):
                codes_at[n + i] = z_at[part] + (local + i) * codes + first_bit
                kept[n + i] = position + i
            n += count_here
    return n, at


@compiled()
def pack(rows: Any, masks: Any, words: Any) -> None:
    """Put the codes of all rows into ``words`` (words, rows), as far as the masks (words,) have them."""
    _, _, z_at, starts, codes, _, positions = rows
    part = 0
    for i in range(len(positions)):
        part = part_of(starts, positions[i], part)
        address = z_at[part] + (positions[i] - starts[part]) * codes
        for k in range(len(masks)):
            word = np.uint32(0)
            for b in range(32 * k, min(codes, 32 * k + 32), MULTIPLE):
                if b + MULTIPLE <= codes:
                    # bytes are 0 or 1: the product has all 4 side by side
                    four_bits = np.uint64(word_at(address + b)) * np.uint64(0x204081) >> np.uint64(
                        21
                    )
                    word |= np.uint32(four_bits & np.uint64(15)) << np.uint32(b & 31)
                    continue
                for left in range(b, codes):
                    bit = array(pointer(address + left, CODES), (1,))[0]
                    word |= np.uint32(bit) << np.uint32(left & 31)
            words[k, i] = word & masks[k]


@compiled()
def planes_of(codes_at: Any, n: Any, left: Any, planes: Any) -> None:
    """Turn the codes of n rows, ``left`` bytes at each of the addresses, into words: bit i of plane j is that of row i.

    There are addresses up to the next multiple of 8. Planes are a multiple of 4.
    """
    for j in range(0, len(planes), MULTIPLE):
        planes[j : j + MULTIPLE] = np.uint64(0)
        for first in range(0, n, 8):
            # bytes are 0 or 1: 8 rows fit into each
            found = np.uint32(0)
            for i in range(8):
                address = codes_at[first + i] + j
                if j + MULTIPLE <= left:
                    word = word_at(address)
                else:
                    word = np.uint32(0)
                    for k in range(left - j):
                        byte = array(pointer(address + k, CODES), (1,))[0]
                        word |= np.uint32(byte) << np.uint32(8 * k)
                found |= word << np.uint32(i)
            for k in range(MULTIPLE):
                byte = (found >> np.uint32(8 * k)) & np.uint32(255)
                planes[j + k] |= np.uint64(byte) << np.uint64(first)
