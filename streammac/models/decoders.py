"""The linear decoder of codes, x ~ scale (A z + c) + mean, in the blocks in which it travels.

Blocks are groups of outputs. What all of them need of one shard's points is the same sums, made once in an epoch
(`streammac.models.least_squares`). Before the first W step the decoder is that of the first model (``init/``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streammac.models import layout
from streammac.models.base import Array, Batch, Floats, Tensors
from streammac.models.least_squares import Sums, solve
from streammac.models.outliers import centred, reach, squares

_SUMS = "sums of all decoders"
"""Under this name they are in the memo of an epoch's points."""


class Decoder(NamedTuple):
    """All of it, for centred and scaled outputs."""

    weight: Floats  # A, (D, L)
    offset: Floats  # c, (D,)
    scale: float

    @property
    def columns(self) -> Floats:
        """With what the Z step multiplies points: A's columns, and c, (L + 1, D)."""
        return np.concatenate([self.weight.T, self.offset[None]])


def scale_of(params: Mapping[str, Array]) -> float:
    """Return the root mean square of one centred input."""
    return float(params["input/scale"][0])


def decoder_of(params: Mapping[str, Array]) -> Decoder:
    """Return the decoder of a model, whatever its layout."""
    scale = scale_of(params)
    if not layout.blocks_in(params, "decoder"):
        return Decoder(params["init/decoder"], params["init/offset"], scale)
    weight = layout.joined(params, "decoder", "weight")
    return Decoder(weight, layout.joined(params, "decoder", "bias"), scale)


# -- W step -------------------------------------------------------------------------------


def start(name: str, bits: int) -> Tensors:
    """Return the state with which a block begins an epoch."""
    outputs = layout.rows(name)
    return Sums.empty(bits, outputs.stop - outputs.start).tensors(f"{name}/")


def visit(
    name: str, params: Mapping[str, Array], state: Tensors, batches: Iterable[Batch]
) -> Tensors:
    """Add one shard's sums to those of a block."""
    sums = Sums.of(state, f"{name}/")
    sums.include(_sums(params, len(sums.gram) - 1, batches), layout.rows(name))
    return sums.tensors(f"{name}/")


def end_lap(name: str, state: Tensors) -> Tensors:
    """Return the decoders that fit best."""
    weight, offset = solve(state[f"{name}/gram"], state[f"{name}/cross"])
    return {f"{name}/weight": weight, f"{name}/bias": offset}


def _sums(params: Mapping[str, Array], bits: int, batches: Iterable[Batch]) -> Sums:
    """Return what all decoders need of one shard's points, made at the first visit of one in an epoch."""
    from streammac.models.row_kernel import inputs_of
    from streammac.models.sums_kernel import add_rows

    inputs = inputs_of(params)
    sums = Sums.empty(bits, len(inputs.mean))
    for batch in batches:
        if _SUMS in batch.memo:
            known: Sums = batch.memo[_SUMS]
            return known
        add_rows(sums, batch, inputs)
        memo = batch.memo
    if sums.gram.any():
        memo[_SUMS] = sums
    return sums


# -- a whole model ------------------------------------------------------------------------


def decode(params: Mapping[str, Array], z: Array) -> Floats:
    """Return (n, D) reconstructions of (n, L) bits, in the units of the inputs."""
    decoder = decoder_of(params)
    scaled = z.astype(np.float32) @ decoder.weight.T + decoder.offset
    return np.asarray(scaled * params["input/scale"] + params["input/mean"], np.float32)


def errors(params: Mapping[str, Array], x: Floats, z: Array) -> Floats:
    """Return ``||x - f(z)||^2 / D`` in units of the mean variance, (n,); far points have the largest."""
    scale, dim = scale_of(params), x.shape[1]
    squared = squares(centred(x.copy(), decode(params, z)))
    return np.asarray(np.fmin(squared, reach(scale, dim)) / (dim * scale**2), np.float32)


def in_blocks(params: Mapping[str, Array], names: Iterable[str]) -> Tensors:
    """Return the decoder laid out in these blocks."""
    A, c, _ = decoder_of(params)
    new: Tensors = {}
    for name in names:
        rows = layout.rows(name)
        new |= {f"{name}/weight": A[rows], f"{name}/bias": c[rows]}
    return new


def renamed(
    params: Mapping[str, Array], order: NDArray[np.int64], flips: NDArray[np.bool_]
) -> Tensors:
    """Return those tensors of the decoder, and of the first model's, that reconstruct from ``z[:, order] ^ flips``."""
    signs = np.where(flips, np.float32(-1), np.float32(1))
    new: Tensors = {}
    for name in params:
        side, _, last = name.rpartition("/")
        if last == "decoder" or (side.startswith("decoder") and last == "weight"):
            offset = "init/offset" if last == "decoder" else f"{side}/bias"
            columns = params[name][:, order]
            # a bit that is negated says with 0 what it said with 1
            new[offset] = params[offset] + columns[:, flips].sum(axis=1)
            new[name] = columns * signs
    return new


def plain(params: Mapping[str, Array]) -> Tensors:
    """Return tensors for raw outputs: ``x ~ decoder.weight @ z + decoder.bias``."""
    A, c, _ = decoder_of(params)
    scale = params["input/scale"]
    return {
        "decoder.weight": np.asarray(A * scale, np.float32),
        "decoder.bias": np.asarray(c * scale + params["input/mean"], np.float32),
    }
