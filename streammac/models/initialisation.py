"""The first model of a binary autoencoder, from statistics that add up over shards: PCA, then ITQ.

Lap 0 gathers mean and covariance of a sample of every shard; then every lap is one iteration of iterative
quantisation (ITQ; Gong & Lazebnik, CVPR 2011), whose Procrustes problem needs nothing but an
(L, L) sum; a last lap fits the decoder. Nobody gathers data, and the result is ITQ itself: training begins
at a good baseline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, Batch, Tensors
from streammac.models.least_squares import add_batch, empty_sums, solve

DENSE_DIM = 1024
"""Up to so many inputs all eigenvectors are computed; above, subspace iteration finds the first ones."""
SUBSPACE_STEPS = 30
SMALL = 1e-12


@dataclass(frozen=True, slots=True)
class Initialisation:
    """The laps of a fresh epoch.

    Parameters
    ----------
    bits : int
        Length of the codes, L.
    rotations : int
        Iterations of ITQ.
    seed : int
        Seed of the first rotation.
    """

    bits: int
    rotations: int
    seed: int

    @property
    def laps(self) -> int:
        """Statistics, rotations, decoder."""
        return self.rotations + 2

    def start(self, dim: int) -> Tensors:
        """Return the state before the first visit."""
        return {
            "init/count": np.zeros(1),
            "init/shift": np.zeros(dim),
            "init/sum": np.zeros(dim),
            "init/products": np.zeros((dim, dim)),
        }

    def visit(self, state: Tensors, lap: int, batches: Iterable[Batch]) -> Tensors:
        """Add one shard's sample to the sums of this lap."""
        state = dict(state)
        if lap == 0:
            for batch in batches:
                _add_moments(state, batch.x)
        elif lap <= self.rotations:
            for batch in batches:
                _add_rotation(state, batch.x)
        else:
            for batch in batches:
                _add_decoder(state, batch.x)
        return state

    def end_lap(self, state: Tensors, lap: int) -> Tensors:
        """Turn the sums of a lap into what the next one needs; after the last, into the model."""
        if lap == 0:
            state = self._project(state)
        elif lap <= self.rotations:
            left, _, right = np.linalg.svd(state["init/procrustes"])
            state = state | {"init/rotation": left @ right}
        if lap < self.rotations:
            return state | {"init/procrustes": np.zeros((self.bits, self.bits))}
        if lap == self.rotations:
            dim = len(state["input/mean"])
            sums = empty_sums(self.bits, dim, "init/")
            return state | sums | {"init/activation": np.zeros(self.bits)}
        return self._finish(state)

    def _project(self, state: Tensors) -> Tensors:
        count = max(1.0, float(state["init/count"][0]))
        offset = state["init/sum"] / count
        covariance = state["init/products"] / count - np.outer(offset, offset)
        dim = len(offset)
        scale = np.sqrt(max(float(np.trace(covariance)) / dim, 0.0))
        scale = scale if scale > SMALL else 1.0
        basis = np.zeros((dim, self.bits))
        kept = min(self.bits, dim)
        rng = np.random.default_rng([self.seed, dim])
        basis[:, :kept] = _leading(covariance, kept, rng)
        return {
            "input/mean": (state["init/shift"] + offset).astype(np.float32),
            "input/scale": np.array([scale], np.float32),
            "init/basis": basis,
            "init/rotation": np.linalg.qr(rng.standard_normal((self.bits, self.bits)))[0],
        }

    def _finish(self, state: Tensors) -> Tensors:
        seen = max(1.0, float(state["init/gram"][-1, -1]))
        # rows scaled to a mean activation of 1: the SVMs' margins then begin at the right size
        activation = np.maximum(state["init/activation"] / seen, SMALL)
        weight = (state["init/basis"] @ state["init/rotation"]).T / activation[:, None]
        decoder, offset = solve(state["init/gram"], state["init/cross"])
        return {
            "input/mean": state["input/mean"],
            "input/scale": state["input/scale"],
            "init/encoder": weight.astype(np.float32),
            "init/decoder": decoder,
            "init/offset": offset,
        }


def _add_moments(state: Tensors, x: Array) -> None:
    if state["init/count"][0] == 0 and len(x):
        # sums are taken about a typical point, not about 0: float32 products stay accurate then
        state["init/shift"] = x.mean(axis=0, dtype=np.float64)
    x -= state["init/shift"].astype(np.float32)
    # the shift itself is kept as it was subtracted
    state["init/shift"] = state["init/shift"].astype(np.float32).astype(np.float64)
    state["init/count"] = state["init/count"] + len(x)
    state["init/sum"] = state["init/sum"] + x.sum(axis=0, dtype=np.float64)
    state["init/products"] = state["init/products"] + x.T @ x


def _activations(state: Tensors, x: Array) -> tuple[Array, Array]:
    """Return the (n, L) projections before and after the rotation; ``x`` becomes centred and scaled."""
    x -= state["input/mean"]
    x /= state["input/scale"]
    projected = x @ state["init/basis"].astype(np.float32)
    return projected, projected @ state["init/rotation"].astype(np.float32)


def _add_rotation(state: Tensors, x: Array) -> None:
    projected, rotated = _activations(state, x)
    signs = np.where(rotated > 0, np.float32(1), np.float32(-1))
    state["init/procrustes"] = state["init/procrustes"] + projected.T @ signs


def _add_decoder(state: Tensors, x: Array) -> None:
    _, rotated = _activations(state, x)
    state["init/activation"] = state["init/activation"] + np.abs(rotated).sum(axis=0)
    state.update(add_batch(state, (rotated > 0).astype(np.uint8), x, "init/"))


def _leading(covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """Return the eigenvectors of the largest eigenvalues, (D, count)."""
    if len(covariance) <= DENSE_DIM:
        vectors: Array = np.linalg.eigh(covariance)[1]
        return vectors[:, ::-1][:, :count]
    basis = np.linalg.qr(rng.standard_normal((len(covariance), min(len(covariance), 2 * count))))[0]
    for _ in range(SUBSPACE_STEPS):
        basis = np.linalg.qr(covariance @ basis)[0]
    small: Array = np.linalg.eigh(basis.T @ covariance @ basis)[1]
    return np.asarray(basis @ small[:, ::-1][:, :count])
