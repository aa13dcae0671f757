"""The neighbours' loss as compiled loops: who is near whom in a pool, and the slopes of what their codes lose.

A few queries are handled at a time, so that their probabilities stay in the cache. Distances of others' bits
are counted in words, and only the trained ones are multiplied: what a narrow block costs is little more than its share.
`streammac.models.neighbours` has the same in numpy, to be read first, and to be compared with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from streammac.models.base import Floats
from streammac.models.compiling import compiled
from streammac.models.row_kernel import FAST, TILE, fill_tile, pack
from streammac.models.vectors import add_product, inner, up_to, wide, zeros

QUERIES = 16
"""Queries that are handled at a time."""
ALIGNED = 16
"""Points are filled up to a multiple of this."""
NEVER = np.float32(-80)
"""A logit beside which all others are large."""
BESIDE = 8
"""Rows whose products with all queries are made before the next ones."""


class Scratch(NamedTuple):
    """Memory of the loops; ``points`` are filled up."""

    smooth: Floats  # (machines, points) the trained bits, tanh(Wx + b)
    slopes: Floats  # (machines, points)
    words: NDArray[np.uint32]  # (words, points) the other bits
    chances: Floats  # (QUERIES, points) logits, then probabilities times a constant
    asked: Floats  # (QUERIES, machines) the queries' bits
    weighted: Floats  # (machines, QUERIES) the same, divided by the sums of probabilities
    mean: Floats  # (QUERIES, machines) bits of all points, weighted in the same way
    inverse: Floats  # (QUERIES,) one by the sums of probabilities


def scratch(machines: int, points: int, words: int) -> Scratch:
    """Return memory for so many machines and points, and bits of others in so many words."""
    points = up_to(points, ALIGNED)
    return Scratch(
        zeros(machines, points),
        zeros(machines, points),
        np.zeros((words, points), np.uint32),
        zeros(QUERIES, points),
        zeros(QUERIES, machines),
        zeros(machines, QUERIES),
        zeros(QUERIES, machines),
        np.zeros(QUERIES, np.float32),
    )


def _make_ones(typing: Any, word: Any) -> Any:
    """Return how many bits are set."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.uitofp(builder.ctpop(args[0]), ir.FloatType())

    return types.float32(types.uint32), write


def _make_whole(typing: Any, x: Any) -> Any:
    """Return the nearest number that is whole, and 2 to its power."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number, word = ir.FloatType(), ir.IntType(32)
        insert: Any = cgutils.get_or_insert_function
        rint = insert(builder.module, ir.FunctionType(number, [number]), "llvm.rint.f32")
        whole = builder.call(rint, [args[0]])
        exponent = builder.add(builder.fptosi(whole, word), word(127))
        power = builder.bitcast(builder.shl(exponent, word(23)), number)
        return context.make_tuple(builder, signature.return_type, (whole, power))

    pair: Any = types.UniTuple
    return pair(types.float32, 2)(types.float32), write


_ones: Any = intrinsic(_make_ones)
_whole: Any = intrinsic(_make_whole)


@numba.njit(inline="always")
def _exp(x: Any) -> Any:
    """Return e^x for -87 < x < 87, to 2e-7."""
    k, power = _whole(x * np.float32(1.4426950408889634))
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    p = np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    return p * power


@numba.njit(inline="always")
def _tanh(x: Any) -> Any:
    limited = min(max(x, np.float32(-15)), np.float32(15))
    return np.float32(1) - np.float32(2) / (_exp(np.float32(2) * limited) + np.float32(1))


@compiled(fastmath=FAST, forceinline=True)
def _squares(tile: Any, n: Any, norms: Any) -> None:
    wide()
    for i in range(n):
        total = np.float32(0)
        for d in range(tile.shape[1]):
            total += tile[i, d] * tile[i, d]
        norms[i] = total


@compiled()
def search(rows: Any, step: Any, inputs: Any, tile: Any, asked: Any, near: Any) -> None:
    """Find the nearest others of each query, all rows that are a multiple of ``step``.

    Parameters
    ----------
    rows, inputs : Rows, Inputs
        The pool.
    step : int
        One row in so many is a query.
    tile, asked : (TILE + 1, D) float32, (queries, D) float32
        Memory; queries filled up to a multiple of 4.
    near : (queries, k) int32
        Is filled with rows, the nearest first.
    """
    wide()
    queries, k = near.shape
    best = np.full((queries, k), np.float32(np.inf), np.float32)
    products = np.empty((len(asked), TILE), np.float32)
    norms = np.empty(TILE, np.float32)
    for query in range(queries):
        fill_tile(rows, inputs, query * step, 1, asked[query:])
    for first in range(0, len(rows.positions), TILE):
        n = min(TILE, len(rows.positions) - first)
        fill_tile(rows, inputs, first, n, tile)
        _squares(tile, n, norms)
        # rows of former tiles fill up
        for i in range(0, TILE, BESIDE):
            inner(asked, tile, i, i + BESIDE, products, i)
        for query in range(queries):
            for i in range(n):
                distance = norms[i] - np.float32(2) * products[query, i]
                if distance < best[query, k - 1] and first + i != query * step:
                    at = k - 1
                    while at > 0 and distance < best[query, at - 1]:
                        best[query, at], near[query, at] = best[query, at - 1], near[query, at - 1]
                        at -= 1
                    best[query, at], near[query, at] = distance, first + i


# a division by zero is no error here: to look for it keeps the compiler from making vectors
@compiled(fastmath=FAST, error_model="numpy", forceinline=True)
def _smoothed(activations: Any, smooth: Any, bits: Any) -> None:
    wide()
    points = activations.shape[1]
    for j in range(bits):
        for i in range(points):
            smooth[j, i] = _tanh(activations[j, i])
        for i in range(points, smooth.shape[1]):
            smooth[j, i] = np.float32(0)


@compiled(fastmath=FAST, forceinline=True)
def _start(words: Any, query: Any, by_bit: Any, logits: Any) -> None:
    """Begin logits with the distances of the other bits."""
    wide()
    logits[:] = np.float32(0)
    for k in range(len(words)):
        mine = words[k, query]
        for i in range(len(logits)):
            logits[i] += by_bit * _ones(np.uint32(words[k, i] ^ mine))


@compiled(fastmath=FAST, forceinline=True)
def _powers(logits: Any, points: Any, query: Any) -> Any:
    """Raise e to the logits of the points, but 0 for the query itself; return the sum."""
    wide()
    total = np.float32(0)
    logits[query] = NEVER
    for i in range(points):
        power = _exp(logits[i])
        logits[i] = power
        total += power
    logits[query] = np.float32(0)
    logits[points:] = np.float32(0)
    return total


@compiled(fastmath=FAST, forceinline=True)
def _finished(smooth: Any, gathered: Any, scale: Any, bits: Any, slopes: Any) -> None:
    wide()
    for j in range(bits):
        for i in range(slopes.shape[1]):
            bit = smooth[j, i]
            slopes[j, i] = scale * gathered[j, i] * (np.float32(1) - bit * bit)


@compiled(fastmath=FAST)
def slopes(rows: Any, activations: Any, near: Any, plan: Any, masks: Any, s: Any, out: Any) -> None:
    """Put the loss's derivatives by the activations of a pool's points into ``out`` (machines, points).

    Parameters
    ----------
    rows : Rows
        The pool.
    activations : (machines, points) float32
        What the trained hash functions made of them, Wx + b.
    near : (queries, k) int32
        From `search`.
    plan : (bits, step, rate)
        How many machines there are, which rows are queries, and by how much a logit grows with a product of bits.
    masks : (words,) uint32
        Which bits are others'.
    s : Scratch
        Memory for so many points.
    """
    wide()
    bits, step, rate = plan
    smooth, gathered, words, chances, asked, weighted, mean, inverse = s
    points, count = activations.shape[1], len(near)
    share = np.float32(1.0 / near.shape[1])
    _smoothed(activations, smooth, bits)
    pack(rows, masks, words)
    gathered[:] = np.float32(0)
    for first in range(0, count, QUERIES):
        n = min(QUERIES, count - first)
        weighted[:] = np.float32(0)
        for q in range(n):
            query = (first + q) * step
            # of +-1 bits the product is L - 2 distance: a constant does not matter
            _start(words, query, np.float32(-2) * rate, chances[q])
            for j in range(bits):
                asked[q, j] = rate * smooth[j, query]
        add_product(asked, smooth, len(smooth), chances)
        for q in range(n):
            query = (first + q) * step
            inverse[q] = np.float32(1) / _powers(chances[q], points, query)
            for j in range(bits):
                weighted[j, q] = inverse[q] * smooth[j, query]
        chances[n:] = np.float32(0)
        add_product(weighted, chances, QUERIES, gathered)
        inner(chances, smooth, 0, len(smooth), mean, 0)
        for q in range(n):
            query = (first + q) * step
            for j in range(bits):
                bit = smooth[j, query]
                # of all points, weighted by their probabilities, less the true neighbours
                pulled = inverse[q] * mean[q, j]
                for i in near[first + q]:
                    pulled -= share * smooth[j, i]
                    gathered[j, i] -= share * bit
                gathered[j, query] += pulled
    _finished(smooth, gathered, rate / np.float32(count), bits, out)
