"""Linear SVMs over stored rows as compiled loops: convert, centre, margins, gradient and update in one pass.

Rows are read where they lie, tile by tile. Machines come in multiples of 4 (rows of zeros fill up). A point outside the
margin has no part in the gradient of the hinge loss, so the gradient adds up listed rows only. What one machine
computes does not depend on the others.

All functions release the GIL. They believe the positions that they get.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Floats
from streammac.models.compiling import compiled
from streammac.models.row_kernel import (
    CODES,
    FAST,
    TILE,
    array,
    fill_near,
    fill_tile,
    part_of,
    pointer,
    prefetch,
)
from streammac.models.vectors import LISTED, MULTIPLE, add_listed, add_product, inner, wide, zeros

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

    tile: Floats  # (TILE + 1, D); the last row stays 0
    margins: Floats  # (machines, TILE)
    codes_at: NDArray[np.int64]  # (TILE,) addresses of the bits to learn
    found: NDArray[np.int64]  # (TILE,) positions of the rows
    listed: NDArray[np.int32]  # (machines, TILE + LISTED) rows of the tile
    factors: Floats  # of these rows
    counts: NDArray[np.int64]  # (machines,)
    gradient: Floats  # (machines, D)
    by_bias: Floats  # (machines,)


def scratch(machines: int, dim: int) -> Scratch:
    """Return memory for so many machines over so many inputs."""
    return Scratch(
        zeros(TILE + 1, dim),
        zeros(machines, TILE),
        np.zeros(TILE, np.int64),
        np.zeros(TILE, np.int64),
        np.zeros((machines, TILE + LISTED), np.int32),
        zeros(machines, TILE + LISTED),
        np.zeros(machines, np.int64),
        zeros(machines, dim),
        np.zeros(machines, np.float32),
    )


@compiled(fastmath=FAST)
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
            y = np.float32(2) * array(pointer(codes_at[i] + j, CODES), (1,))[0] - np.float32(1)
            activation = margins[j, i] * inverse + offset
            margins[j, i] = activation
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


@compiled(fastmath=FAST)
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
    tile, margins, codes_at, found, listed, factors, counts, gradient, by_bias = s
    weight, bias, weight_sum, bias_sum, eta0 = m
    row_bytes = len(mean) * like.itemsize
    keep = len(kept) > 0
    total = made = inside = 0
    part = 0
    for b in range(len(bounds) - 1):
        count = 0
        at, end = bounds[b], bounds[b + 1]
        while at < end:
            n, at = fill_near(rows, inputs, at, end, tile, (codes_at, found))
            if keep:
                kept[total : total + n] = found[:n]
            # rows that fill up a block of 4 are those of former tiles
            ahead = at
            filled = (n + 3) // MULTIPLE * MULTIPLE
            for first in range(0, n, BLOCK):
                # the next tile's rows come while there is enough to compute
                for i in range(ahead, min(ahead + BLOCK, len(positions))):
                    part = part_of(starts, positions[i], part)
                    local = positions[i] - starts[part]
                    address = x_at[part] + local * row_bytes
                    prefetch(z_at[part] + local * codes + first_bit)
                    for line in range(0, row_bytes, 64):
                        prefetch(address + line)
                ahead += BLOCK
                inner(weight, tile, first, min(first + BLOCK, filled), margins)
            inside += _list_inside(
                margins, codes_at, n, bits, (inverse, bias), (listed, factors, counts, by_bias)
            )
            if keep:
                activations[:, total : total + n] = margins[:, :n]
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


@compiled()
def follow(rows: Any, slopes: Any, rates: Any, inputs: Any, m: Any, s: Any) -> None:
    """Make one step down another loss of points that are not far.

    ``slopes`` (machines, points) are its derivatives by their activations, ``rates`` (machines,) how far to go.
    """
    wide()
    _, inverse, _ = inputs
    tile, push, _, _, _, _, _, gradient, by_bias = s
    weight, bias, weight_sum, _, _ = m
    machines, count = len(bias), len(rows.positions)
    for first in range(0, count, TILE):
        n = min(TILE, count - first)
        fill_tile(rows, inputs, first, n, tile)
        filled = (n + 3) // MULTIPLE * MULTIPLE
        for j in range(machines):
            for i in range(n):
                push[j, i] = slopes[j, first + i]
                by_bias[j] += slopes[j, first + i]
            push[j, n:filled] = np.float32(0)
        add_product(push, tile, filled, gradient)
    for j in range(machines):
        rate = np.float32(-rates[j])
        _update(weight[j], gradient[j], weight_sum[j], np.float32(1), rate * inverse, False)
        bias[j] += rate * by_bias[j]
        by_bias[j] = np.float32(0)
