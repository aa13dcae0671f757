"""Linear SVMs over stored rows as compiled loops: convert, centre, margins, gradient and update in one pass.

Rows are read where they lie, tile by tile; a tile stays in the second-level cache. Margins are made by 4 rows x 4
machines at a time, in registers; machines come in multiples of 4 (rows of zeros fill up). A point outside the margin
has no part in the gradient of the hinge loss, so the gradient adds up listed rows only, 8 at a time, a piece of the
inputs after the other, which stays in the first-level cache. What one machine computes does not depend on the others.

All functions release the GIL. They believe the positions that they get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from streammac.models.base import Floats

TILE = 64
"""Rows of a tile."""
BLOCK = 8
"""Rows whose margins are made before the next ones; with 4 machines they fit into the first-level cache."""
PIECE = 128
"""Inputs of a tile whose gradient is made before the next ones."""
GROUP = 8
"""Rows that are added up at a time."""
MULTIPLE = 4
"""Machines come in multiples of this."""
# what is not finite must be seen: no "nnan", no "ninf"
_FAST = {"reassoc", "nsz", "contract", "arcp"}


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


class Inputs(NamedTuple):
    """How rows become inputs: less ``mean``, divided by the scale in the end; beyond ``reach`` they are left out."""

    mean: Floats
    inverse: np.float32  # 1 / scale
    reach: np.float32


class Machines(NamedTuple):
    """SVMs in training, in place; ``weight`` (machines, D), padded to a multiple of `MULTIPLE`."""

    weight: Floats
    bias: Floats
    weight_sum: Floats
    bias_sum: Floats
    eta0: NDArray[np.float64]


class Scratch(NamedTuple):
    """Memory of the loops."""

    tile: Floats  # (TILE + 1, D); the last row stays 0
    margins: Floats  # (TILE, machines)
    codes_at: NDArray[np.int64]  # (TILE,) addresses of the bits to learn
    listed: NDArray[np.int32]  # (machines, TILE + GROUP) rows of the tile
    factors: Floats  # of these rows
    counts: NDArray[np.int64]  # (machines,)
    gradient: Floats  # (machines, D)
    by_bias: Floats  # (machines,)


def zeros(rows: int, columns: int) -> Floats:
    """Return a matrix; if ``columns`` is a multiple of 16 its rows begin at multiples of 64 bytes, as vectors want."""
    memory = np.zeros(rows * columns + 15, np.float32)
    first = -(memory.ctypes.data // 4) % 16
    return memory[first : first + rows * columns].reshape(rows, columns)


def scratch(machines: int, dim: int) -> Scratch:
    """Return memory for so many machines over so many inputs."""
    return Scratch(
        zeros(TILE + 1, dim),
        zeros(TILE, machines),
        np.zeros(TILE, np.int64),
        np.zeros((machines, TILE + GROUP), np.int32),
        zeros(machines, TILE + GROUP),
        np.zeros(machines, np.int64),
        zeros(machines, dim),
        np.zeros(machines, np.float32),
    )


def _make_pointer(typing: Any, address: Any, like: Any) -> tuple[Any, Callable[..., Any]]:
    """Take an address for a pointer to items like those of an array."""
    pointer: Any = types.CPointer
    signature = pointer(like.dtype)(address, like)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature, generate


def _make_wide(typing: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the widest vectors in the function that calls it: compilers shun those of 512 bits, for others' sake."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite knows no attributes with values
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


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


_prefetch: Any = intrinsic(_make_prefetch)
_pointer: Any = intrinsic(_make_pointer)
_wide: Any = intrinsic(_make_wide)
_array: Any = numba.carray  # type: ignore[attr-defined]
_CODES = np.zeros(0, np.uint8)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _fill(x: Any, mean: Any, tile: Any, at: Any) -> Any:
    """Put a centred row into the tile; return its squared norm."""
    _wide()
    total = np.float32(0)
    for d in range(len(x)):
        value = np.float32(x[d]) - mean[d]
        tile[at, d] = value
        total += value * value
    return total


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _fill_4(x: Any, mean: Any, tile: Any, at: Any) -> Any:
    """Put 4 centred rows into the tile; return the largest of their squared norms, or NaN."""
    _wide()
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


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _margins(tile: Any, weight: Any, out: Any, first: Any, last: Any) -> None:
    """Products of rows [first, last) of the tile (a multiple of 4 of them) with all machines."""
    _wide()
    for j in range(0, weight.shape[0], 4):
        for i in range(first, last, 4):
            a00 = a01 = a02 = a03 = np.float32(0)
            a10 = a11 = a12 = a13 = np.float32(0)
            a20 = a21 = a22 = a23 = np.float32(0)
            a30 = a31 = a32 = a33 = np.float32(0)
            for d in range(weight.shape[1]):
                w0 = weight[j, d]
                w1 = weight[j + 1, d]
                w2 = weight[j + 2, d]
                w3 = weight[j + 3, d]
                x = tile[i, d]
                a00 += x * w0
                a01 += x * w1
                a02 += x * w2
                a03 += x * w3
                x = tile[i + 1, d]
                a10 += x * w0
                a11 += x * w1
                a12 += x * w2
                a13 += x * w3
                x = tile[i + 2, d]
                a20 += x * w0
                a21 += x * w1
                a22 += x * w2
                a23 += x * w3
                x = tile[i + 3, d]
                a30 += x * w0
                a31 += x * w1
                a32 += x * w2
                a33 += x * w3
            out[i, j], out[i, j + 1], out[i, j + 2], out[i, j + 3] = a00, a01, a02, a03
            out[i + 1, j], out[i + 1, j + 1], out[i + 1, j + 2], out[i + 1, j + 3] = (
                a10,
                a11,
                a12,
                a13,
            )
            out[i + 2, j], out[i + 2, j + 1], out[i + 2, j + 2], out[i + 2, j + 3] = (
                a20,
                a21,
                a22,
                a23,
            )
            out[i + 3, j], out[i + 3, j + 1], out[i + 3, j + 2], out[i + 3, j + 3] = (
                a30,
                a31,
                a32,
                a33,
            )


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _add_gradient(tile: Any, listed: Any, factors: Any, counts: Any, gradient: Any) -> None:
    """Add the listed rows of the tile to the gradient of every machine, 8 at a time."""
    _wide()
    machines, dim = gradient.shape
    for j in range(machines):
        k = counts[j]
        while k % GROUP:
            listed[j, k] = TILE  # a row of zeros
            factors[j, k] = np.float32(0)
            k += 1
    for low in range(0, dim, PIECE):
        high = min(low + PIECE, dim)
        for j in range(machines):
            for at in range(0, counts[j], GROUP):
                i0, i1 = listed[j, at], listed[j, at + 1]
                i2, i3 = listed[j, at + 2], listed[j, at + 3]
                i4, i5 = listed[j, at + 4], listed[j, at + 5]
                i6, i7 = listed[j, at + 6], listed[j, at + 7]
                f0, f1 = factors[j, at], factors[j, at + 1]
                f2, f3 = factors[j, at + 2], factors[j, at + 3]
                f4, f5 = factors[j, at + 4], factors[j, at + 5]
                f6, f7 = factors[j, at + 6], factors[j, at + 7]
                # unsigned: a negative index would count from the end, and nothing could be vectorised
                for d in range(np.uintp(low), np.uintp(high)):
                    gradient[j, d] += (
                        (f0 * tile[i0, d] + f1 * tile[i1, d])
                        + (f2 * tile[i2, d] + f3 * tile[i3, d])
                    ) + (
                        (f4 * tile[i4, d] + f5 * tile[i5, d])
                        + (f6 * tile[i6, d] + f7 * tile[i7, d])
                    )


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _add_dense(tile: Any, push: Any, n: Any, gradient: Any) -> None:
    """Add ``push`` (TILE, machines) times the first ``n`` rows of the tile, 4 rows x 4 machines at a time."""
    _wide()
    machines, dim = gradient.shape
    for i in range(n, (n + 3) // 4 * 4):
        for j in range(machines):
            push[i, j] = np.float32(0)
    for low in range(0, dim, PIECE):
        high = min(low + PIECE, dim)
        for j in range(0, machines, 4):
            for i in range(0, n, 4):
                a0, a1, a2, a3 = push[i, j], push[i + 1, j], push[i + 2, j], push[i + 3, j]
                b0, b1, b2, b3 = (
                    push[i, j + 1],
                    push[i + 1, j + 1],
                    push[i + 2, j + 1],
                    push[i + 3, j + 1],
                )
                c0, c1, c2, c3 = (
                    push[i, j + 2],
                    push[i + 1, j + 2],
                    push[i + 2, j + 2],
                    push[i + 3, j + 2],
                )
                e0, e1, e2, e3 = (
                    push[i, j + 3],
                    push[i + 1, j + 3],
                    push[i + 2, j + 3],
                    push[i + 3, j + 3],
                )
                for d in range(np.uintp(low), np.uintp(high)):
                    x0, x1, x2, x3 = tile[i, d], tile[i + 1, d], tile[i + 2, d], tile[i + 3, d]
                    gradient[j, d] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3)
                    gradient[j + 1, d] += (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3)
                    gradient[j + 2, d] += (c0 * x0 + c1 * x1) + (c2 * x2 + c3 * x3)
                    gradient[j + 3, d] += (e0 * x0 + e1 * x1) + (e2 * x2 + e3 * x3)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _list_inside(margins: Any, codes_at: Any, n: Any, bits: Any, scaling: Any, lists: Any) -> Any:
    """List for each machine the rows of the tile inside its margin; return how many pairs these are."""
    _wide()
    inverse, bias = scaling
    listed, factors, counts, by_bias = lists
    inside = 0
    for j in range(bits):
        k = 0
        pushed = np.float32(0)
        offset = bias[j]
        for i in range(n):
            y = np.float32(2) * _array(_pointer(codes_at[i] + j, _CODES), (1,))[0] - np.float32(1)
            activation = margins[i, j] * inverse + offset
            margins[i, j] = activation
            within = activation * y < np.float32(1)
            listed[j, k] = i
            factors[j, k] = y
            k += within
            pushed += y if within else np.float32(0)
        counts[j] = k
        by_bias[j] += pushed
        inside += k
    return inside


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _update(w: Any, g: Any, total: Any, shrink: Any, rate: Any, average: Any) -> None:
    _wide()
    if average:
        for d in range(w.shape[0]):
            value = w[d] * shrink + rate * g[d]
            w[d] = value
            total[d] += value
            g[d] = np.float32(0)
    else:
        for d in range(w.shape[0]):
            w[d] = w[d] * shrink + rate * g[d]
            g[d] = np.float32(0)


@numba.njit(cache=True, nogil=True)
def _part_of(starts: Any, position: Any, part: Any) -> Any:
    """Return in which part a position is; ``part`` is a guess."""
    if position < starts[part]:
        part = 0
    while position >= starts[part + 1]:
        part += 1
    return part


@numba.njit(cache=True, nogil=True)
def _four(positions: Any, at: Any, end: Any, stop: Any) -> Any:
    """Return whether the next 4 rows, of those up to ``end``, lie together in a part that ends at ``stop``."""
    last = positions[at] + 3
    return at + 4 <= end and positions[at + 3] == last and last < stop


@numba.njit(cache=True, nogil=True)
def _take(address: Any, four: Any, like: Any, mean: Any, reach: Any, tile: Any, n: Any) -> Any:
    """Put the row at an address, or ``four``, into the tile from its row ``n`` on; return whether they count."""
    _wide()
    if four:
        return _fill_4(_array(_pointer(address, like), (4, len(mean))), mean, tile, n) <= reach
    return _fill(_array(_pointer(address, like), (len(mean),)), mean, tile, n) <= reach


@numba.njit(cache=True, nogil=True)
def descend(rows: Any, bounds: Any, inputs: Any, m: Any, s: Any, plan: Any, seen: Any) -> Any:
    """Make SGD steps of the hinge loss, one for each minibatch ``rows.positions[bounds[b]:bounds[b + 1]]``.

    Parameters
    ----------
    rows, inputs, m, s : Rows, Inputs, Machines, Scratch
        What is read, and what is trained.
    bounds : (minibatches + 1,) int64
        Where they begin in the positions.
    plan : (share, decay, steps, average)
        Factor of all steps, lambda, points before these, whether to add up the weights.
    seen : (points,) int64, (points, machines) float32
        Is filled with the positions of the points that are not far, and their activations Wx + b as they were met; or
        empty.

    Returns
    -------
    tuple
        Points that are not far, steps made, pairs inside the margin.
    """
    _wide()
    share, decay, steps, average = plan
    kept, activations = seen
    machines = len(m.bias)
    bits = min(machines, rows.codes - rows.first_bit)
    # fields are taken once: to take one is to count a reference
    like, x_at, z_at, starts, codes, first_bit, positions = rows
    mean, inverse, reach = inputs
    tile, margins, codes_at, listed, factors, counts, gradient, by_bias = s
    weight, bias, weight_sum, bias_sum, eta0 = m
    row_bytes = len(mean) * like.itemsize
    keep = len(kept) > 0
    total = made = inside = 0
    part = 0
    for b in range(len(bounds) - 1):
        count = 0
        at, end = bounds[b], bounds[b + 1]
        while at < end:
            n = 0
            while n < TILE and at < end:
                position = positions[at]
                part = _part_of(starts, position, part)
                local = position - starts[part]
                address = x_at[part] + local * row_bytes
                four = _four(positions, at, min(end, at + TILE - n), starts[part + 1]) and _take(
                    address, True, like, mean, reach, tile, n
                )
                near = four or _take(address, False, like, mean, reach, tile, n)
                count_here = 4 if four else 1
                at += count_here
                if near:
                    for i in range(count_here):
                        codes_at[n + i] = z_at[part] + (local + i) * codes + first_bit
                        if keep:
                            kept[total + n + i] = position + i
                    n += count_here
            # rows that fill up a block of 4 are those of former tiles
            ahead = at
            for first in range(0, n, BLOCK):
                # the next tile's rows come while there is enough to compute
                for i in range(ahead, min(ahead + BLOCK, len(positions))):
                    part = _part_of(starts, positions[i], part)
                    local = positions[i] - starts[part]
                    address = x_at[part] + local * row_bytes
                    _prefetch(z_at[part] + local * codes + first_bit)
                    for line in range(0, row_bytes, 64):
                        _prefetch(address + line)
                ahead += BLOCK
                _margins(tile, weight, margins, first, min(first + BLOCK, (n + 3) // 4 * 4))
            inside += _list_inside(
                margins, codes_at, n, bits, (inverse, bias), (listed, factors, counts, by_bias)
            )
            if keep:
                activations[total : total + n] = margins[:n]
            _add_gradient(tile, listed, factors, counts, gradient)
            count += n
            total += n
        if count == 0:
            continue
        for j in range(machines):
            eta = share * eta0[j] / (1.0 + decay * eta0[j] * steps)
            rate = np.float32(eta / count)
            shrink = np.float32(1.0 - eta * decay)
            _update(weight[j], gradient[j], weight_sum[j], shrink, rate * inverse, average)
            bias[j] += rate * by_bias[j]
            by_bias[j] = np.float32(0)
            if average:
                bias_sum[j] += bias[j]
        steps += count
        made += 1
    return total, made, inside


@numba.njit(cache=True, nogil=True)
def follow(rows: Any, slopes: Any, rates: Any, inputs: Any, m: Any, s: Any) -> None:
    """Make one step down another loss of points that are not far.

    ``slopes`` (points, machines) are its derivatives by their activations, ``rates`` (machines,) how far to go.
    """
    _wide()
    like, x_at, _, starts, _, _, positions = rows
    mean, inverse, _ = inputs
    tile, push, _, _, _, _, gradient, by_bias = s
    weight, bias, weight_sum, _, _ = m
    row_bytes = len(mean) * like.itemsize
    machines, count = len(bias), len(positions)
    part = 0
    for first in range(0, count, TILE):
        n = min(TILE, count - first)
        i = 0
        while i < n:
            at = first + i
            part = _part_of(starts, positions[at], part)
            address = x_at[part] + (positions[at] - starts[part]) * row_bytes
            four = _four(positions, at, first + n, starts[part + 1])
            _take(address, four, like, mean, np.float32(0), tile, i)
            i += 4 if four else 1
        for i in range(n):
            for j in range(machines):
                push[i, j] = slopes[first + i, j]
                by_bias[j] += slopes[first + i, j]
        _add_dense(tile, push, n, gradient)
    for j in range(machines):
        rate = np.float32(-rates[j])
        _update(weight[j], gradient[j], weight_sum[j], np.float32(1), rate * inverse, False)
        bias[j] += rate * by_bias[j]
        by_bias[j] = np.float32(0)


@numba.njit(cache=True, nogil=True)
def gather(rows: Any, inputs: Any, out: Any) -> None:
    """Put all rows, centred, into ``out`` (points, D)."""
    _wide()
    like, x_at, _, starts, _, _, positions = rows
    mean, _, _ = inputs
    row_bytes = len(mean) * like.itemsize
    at = part = 0
    while at < len(positions):
        part = _part_of(starts, positions[at], part)
        address = x_at[part] + (positions[at] - starts[part]) * row_bytes
        four = _four(positions, at, len(positions), starts[part + 1])
        _take(address, four, like, mean, np.float32(0), out, at)
        at += 4 if four else 1
