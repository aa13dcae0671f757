"""Linear SVMs over stored rows as compiled loops: margins, gradient and update in one pass.

Rows are read where they lie, tile by tile. Machines come in multiples of 4 (rows of zeros fill up). A point outside the
margin has no part in the gradient of the hinge loss, so the gradient adds up listed rows only, and as its factors are 1
and -1, it needs no products. Numbers are centred as they are read. Bytes stay bytes, so that a tile is small and sums
are exact: the mean is subtracted from the sums. What one machine computes does not depend on the others.

All functions release the GIL. They believe the positions that they get.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats
from streammac.models.compiling import compiled
from streammac.models.row_kernel import (
    FAST,
    TILE,
    fill_near,
    fill_tile,
    part_of,
    planes_of,
    prefetch,
)
from streammac.models.vectors import (
    MULTIPLE,
    add_listed,
    add_product,
    inner,
    inside,
    lowest,
    up_to,
    wide,
    zeros,
)

BLOCK = 8
"""Rows whose margins are made before the next ones; with 4 machines they fit into the first-level cache."""


class Machines(NamedTuple):
    """SVMs in training, in place; ``weight`` (machines, D), padded to a multiple of 4."""

    weight: Floats
    bias: Floats
    weight_sum: Floats
    bias_sum: Floats
    eta0: NDArray[np.float64]


class Scratch(NamedTuple):
    """Memory of the loops."""

    tile: Floats  # (TILE, D)
    rows: Array  # (TILE, D) what was read: the tile, or bytes as they are stored
    centre: Floats  # (D,) what is still to be subtracted from these; () if nothing is
    margins: Floats  # (machines, TILE)
    codes_at: NDArray[np.int64]  # (TILE,) addresses of the bits to learn
    found: NDArray[np.int64]  # (TILE,) positions of the rows
    planes: NDArray[np.uint64]  # (machines,) their bits
    listed: NDArray[np.int64]  # (TILE,) rows of the tile
    gradient: Floats  # (machines, D)
    by_bias: Floats  # (machines,)
    offsets: Floats  # (machines,) what margins are less than activations, but for the scale


def scratch(machines: int, mean: Floats, dtype: np.dtype[Any]) -> Scratch:
    """Return memory for so many machines over inputs of this type."""
    columns, of_bytes = up_to(len(mean), 32), dtype == np.uint8
    tile = zeros(TILE, columns)
    return Scratch(
        tile,
        np.zeros((TILE, columns), np.uint8) if of_bytes else tile,
        mean if of_bytes else mean[:0],
        zeros(machines, TILE),
        np.zeros(TILE, np.int64),
        np.zeros(TILE, np.int64),
        np.zeros(machines, np.uint64),
        np.zeros(TILE, np.int64),
        zeros(machines, columns),
        np.zeros(machines, np.float32),
        np.zeros(machines, np.float32),
    )


@compiled()
def _list(rows: Any, listed: Any, count: Any) -> Any:
    """List the bits of a word after ``count`` others; return how many are listed now."""
    while rows:
        listed[count] = lowest(rows)
        rows &= rows - np.uint64(1)
        count += 1
    return count


@compiled(fastmath=FAST, forceinline=True)
def _dot(values: Any, centre: Any) -> Any:
    """Return the product with the centre."""
    wide()
    total = np.float32(0)
    for d in range(len(centre)):
        total += centre[d] * values[d]
    return total


@compiled(fastmath=FAST, forceinline=True)
def _shift(values: Any, centre: Any, factor: Any) -> None:
    """Add a multiple of the centre."""
    wide()
    for d in range(len(centre)):
        values[d] += factor * centre[d]


@compiled(fastmath=FAST, forceinline=True)
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


@compiled()
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
    seen : (points,) int64, (machines, points) float32
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
    mean, inverse, _ = inputs
    row_bytes = len(mean) * like.itemsize
    part = 0
    _, taken, centre, margins, codes_at, found, planes, listed, gradient, by_bias, offsets = s
    weight, bias, weight_sum, bias_sum, eta0 = m
    keep = len(kept) > 0
    total = made = pairs = 0
    for b in range(len(bounds) - 1):
        count = 0
        at, end = bounds[b], bounds[b + 1]
        for j in range(bits):
            offsets[j] = bias[j] - inverse * _dot(weight[j], centre)
        while at < end:
            n, at = fill_near(rows, inputs, at, end, taken, (codes_at, found))
            if n == 0:
                continue
            if keep:
                kept[total : total + n] = found[:n]
            codes_at[n:] = codes_at[0]
            planes_of(codes_at, n, codes - first_bit, planes)
            # the others are those of former tiles
            here = ~np.uint64(0) >> np.uint64(TILE - n)
            ahead = at
            for first in range(0, n, BLOCK):
                # the next tile's rows come while there is enough to compute: they are in a mapped file, and the
                # processor does not look beyond the end of a page
                for i in range(ahead, min(ahead + BLOCK, len(positions))):
                    part = part_of(starts, positions[i], part)
                    local = positions[i] - starts[part]
                    address = x_at[part] + local * row_bytes
                    prefetch(z_at[part] + local * codes + first_bit)
                    for line in range(0, row_bytes, 64):
                        prefetch(address + line)
                ahead += BLOCK
                inner(weight, taken, first, first + BLOCK, margins, first)
            for j in range(bits):
                below, above = inside(margins, j, inverse, offsets[j])
                wanted = planes[j]
                added = _list(below & wanted & here, listed, 0)
                ends = added, _list(above & ~wanted & here, listed, added)
                add_listed(taken, listed, ends, gradient, j)
                by_bias[j] += np.float32(2 * added - ends[1])
                pairs += ends[1]
            if keep:
                activations[:, total : total + n] = margins[:, :n]
            count += n
            total += n
        if count == 0:
            continue
        for j in range(machines):
            eta = share * eta0[j] / (1.0 + decay * eta0[j] * steps)
            rate = np.float32(eta / count)
            shrink = np.float32(1.0 - eta * decay)
            _shift(gradient[j], centre, -by_bias[j])
            _update(weight[j], gradient[j], weight_sum[j], shrink, rate * inverse, average)
            bias[j] += rate * by_bias[j]
            by_bias[j] = np.float32(0)
            if average:
                bias_sum[j] += bias[j]
        steps += count
        made += 1
    return total, made, pairs


@compiled()
def follow(rows: Any, slopes: Any, rates: Any, inputs: Any, m: Any, s: Any) -> None:
    """Make one step down another loss of points that are not far.

    ``slopes`` (machines, points) are its derivatives by their activations, ``rates`` (machines,) how far to go.
    """
    wide()
    _, inverse, _ = inputs
    _, taken, centre, push, _, _, _, _, gradient, by_bias, _ = s
    weight, bias, weight_sum, _, _ = m
    machines, count = len(bias), len(rows.positions)
    for first in range(0, count, TILE):
        n = min(TILE, count - first)
        fill_tile(rows, inputs, first, n, taken)
        filled = (n + 3) // MULTIPLE * MULTIPLE
        for j in range(machines):
            for i in range(n):
                push[j, i] = slopes[j, first + i]
                by_bias[j] += slopes[j, first + i]
            push[j, n:filled] = np.float32(0)
        add_product(push, taken, filled, gradient)
    for j in range(machines):
        rate = np.float32(-rates[j])
        _shift(gradient[j], centre, -by_bias[j])
        _update(weight[j], gradient[j], weight_sum[j], np.float32(1), rate * inverse, False)
        bias[j] += rate * by_bias[j]
        by_bias[j] = np.float32(0)
