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
from streammac.models.vectors import LISTED, MULTIPLE, add_listed, add_outer, inner, wide, zeros

TILE = 64
"""Rows of a tile."""
BLOCK = 8
"""Rows whose margins are made before the next ones; with 4 machines they fit into the first-level cache."""
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
    """SVMs in training, in place; ``weight`` (machines, D), padded to a multiple of 4."""

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
    listed: NDArray[np.int32]  # (machines, TILE + LISTED) rows of the tile
    factors: Floats  # of these rows
    counts: NDArray[np.int64]  # (machines,)
    gradient: Floats  # (machines, D)
    by_bias: Floats  # (machines,)


def scratch(machines: int, dim: int) -> Scratch:
    """Return memory for so many machines over so many inputs."""
    return Scratch(
        zeros(TILE + 1, dim),
        zeros(TILE, machines),
        np.zeros(TILE, np.int64),
        np.zeros((machines, TILE + LISTED), np.int32),
        zeros(machines, TILE + LISTED),
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
_array: Any = numba.carray  # type: ignore[attr-defined]
_CODES = np.zeros(0, np.uint8)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _fill(x: Any, mean: Any, tile: Any, at: Any) -> Any:
    """Put a centred row into the tile; return its squared norm."""
    wide()
    total = np.float32(0)
    for d in range(len(x)):
        value = np.float32(x[d]) - mean[d]
        tile[at, d] = value
        total += value * value
    return total


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
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


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _list_inside(margins: Any, codes_at: Any, n: Any, bits: Any, scaling: Any, lists: Any) -> Any:
    """List for each machine the rows of the tile inside its margin; return how many pairs these are."""
    wide()
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
        by_bias[j] += pushed
        inside += k
        while k % LISTED:
            listed[j, k] = TILE  # a row of zeros
            factors[j, k] = np.float32(0)
            k += 1
        counts[j] = k
    return inside


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _update(w: Any, g: Any, total: Any, shrink: Any, rate: Any, average: Any) -> None:
    wide()
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
    wide()
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
    wide()
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
            filled = (n + 3) // MULTIPLE * MULTIPLE
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
                inner(tile, first, min(first + BLOCK, filled), weight, margins)
            inside += _list_inside(
                margins, codes_at, n, bits, (inverse, bias), (listed, factors, counts, by_bias)
            )
            if keep:
                activations[total : total + n] = margins[:n]
            add_listed(tile, listed, factors, counts, gradient)
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
    wide()
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
        filled = (n + 3) // MULTIPLE * MULTIPLE
        for i in range(n, filled):
            for j in range(machines):
                push[i, j] = np.float32(0)
        add_outer(push, tile, filled, gradient)
    for j in range(machines):
        rate = np.float32(-rates[j])
        _update(weight[j], gradient[j], weight_sum[j], np.float32(1), rate * inverse, False)
        bias[j] += rate * by_bias[j]
        by_bias[j] = np.float32(0)


@numba.njit(cache=True, nogil=True)
def gather(rows: Any, inputs: Any, out: Any) -> None:
    """Put all rows, centred, into ``out`` (points, D)."""
    wide()
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
