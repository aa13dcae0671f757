"""The sums of `streammac.models.least_squares` as compiled loops, over rows where they lie: `Sums.add`."""

from __future__ import annotations

from typing import Any

import numpy as np

from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch
from streammac.models.compiling import compiled
from streammac.models.least_squares import Sums
from streammac.models.row_kernel import (
    CODES,
    TILE,
    Inputs,
    array,
    at_positions,
    fill_near,
    pointer,
    rows_of,
)
from streammac.models.vectors import MULTIPLE, add_product, inner, up_to, zeros

EXACT = 8
"""Tiles that are added up in float32, before their sums go into float64."""


def add_rows(sums: Sums, batch: Batch, inputs: Inputs) -> None:
    """Add the rows of a minibatch that are not far: their codes, and the centred and scaled points for outputs."""
    stored = batch.data.stored()
    rows = at_positions(rows_of(stored), batch.rows)
    codes, dim = up_to(len(sums.gram), MULTIPLE), up_to(sums.cross.shape[1], 16)
    memory = zeros(TILE + 1, dim), zeros(codes, TILE), zeros(codes, codes), zeros(codes, dim)
    _add(rows, inputs, memory, sums.gram, sums.cross)


@compiled()
def _add(rows: Any, inputs: Any, memory: Any, gram: Any, cross: Any) -> None:
    tile, codes, gram_here, cross_here = memory
    found = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    length, scale = rows.codes, inputs.inverse
    at = tiles = 0
    end = len(rows.positions)
    while at < end:
        n, at = fill_near(rows, inputs, at, end, tile, found)
        for i in range(n):
            code = array(pointer(found[0][i], CODES), (length,))
            for j in range(length):
                codes[j, i] = np.float32(code[j])
            codes[length, i] = np.float32(1)
        codes[:, n:] = np.float32(0)
        add_product(codes, tile, TILE, cross_here)
        inner(codes, codes, 0, len(codes), gram_here, 0)
        for j in range(len(gram)):
            for k in range(len(gram)):
                gram[j, k] += gram_here[j, k]
        tiles += 1
        if tiles % EXACT == 0 or at == end:
            for j in range(len(cross)):
                for d in range(cross.shape[1]):
                    cross[j, d] += scale * cross_here[j, d]
            cross_here[:] = np.float32(0)


def compile_all() -> None:
    """Compile the loops for the types of points that are stored."""
    for dtype in (np.uint8, np.float32):
        data = ArrayShard(np.zeros((1, 1), dtype), ((1,), np.dtype(np.uint8)))
        inputs = Inputs(np.zeros(1, np.float32), np.float32(1), np.float32(1))
        add_rows(Sums.empty(1, 1), Batch(data, np.arange(1)), inputs)
