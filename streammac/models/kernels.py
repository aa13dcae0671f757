"""Compiled search over codes, point by point: the part of the Z step that numpy cannot express.

All functions work on the Z step's objective without its constant,
``z^T G z - 2 q^T z + mu ||z - h||^2`` with ``G = A^T A`` (L, L) and ``q = A^T (x - c)`` (n, L), where ``h`` and ``z``
are (n, L) uint8 (binary autoencoder paper, section 3.2). They release the GIL, and are compiled once
and cached on disk; `compile_all` does that ahead of time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.compiling import compiled

TIE = 1e-5
"""Relative decrease below which a flip is a tie: in float32, flipping ties can cycle."""
SWEEPS = 50
"""Most sweeps over the bits of a point; every flip decreases the objective, so few are ever needed."""


@compiled()
def alternate(G: Any, q: Any, h: Any, z: Any, mu: Any) -> None:
    """Flip one bit after the other, in place, until no flip lowers the objective.

    Flipping bit l by d changes it by ``2 d g_l + G_ll +- mu`` with ``g = G z - q``.
    """
    n, bits = z.shape
    g = np.empty(bits, np.float32)
    for i in range(n):
        for k in range(bits):
            g[k] = -q[i, k]
        for j in range(bits):
            if z[i, j]:
                for k in range(bits):
                    g[k] += G[j, k]
        unchanged = 0
        j = 0
        for _ in range(SWEEPS * bits):
            d = np.float32(1.0) - np.float32(2.0) * z[i, j]
            pull = mu if z[i, j] == h[i, j] else -mu
            change = np.float32(2.0) * d * g[j] + G[j, j] + pull
            if change < -np.float32(TIE) * (G[j, j] + mu):
                z[i, j] = 1 - z[i, j]
                for k in range(bits):
                    g[k] += d * G[j, k]
                unchanged = 0
            else:
                unchanged += 1
                if unchanged == bits:
                    break
            j += 1
            if j == bits:
                j = 0


@compiled()
def enumerate_codes(G: Any, q: Any, h: Any, z: Any, mu: Any) -> None:
    """Replace each code by the best of all, in place; a Gray code makes each of the 2^L steps O(L)."""
    n, bits = z.shape
    g = np.empty(bits, np.float64)
    code = np.empty(bits, np.uint8)
    for i in range(n):
        for k in range(bits):
            code[k] = z[i, k]
            g[k] = -q[i, k]
        for j in range(bits):
            if code[j]:
                for k in range(bits):
                    g[k] += G[j, k]
        value = 0.0
        best = -TIE * mu  # the code that is there stays unless another is really better
        for step in range(1, 1 << bits):
            j = 0
            while not (step >> j) & 1:
                j += 1
            d = 1.0 - 2.0 * code[j]
            value += 2.0 * d * g[j] + G[j, j] + (mu if code[j] == h[i, j] else -mu)
            code[j] = 1 - code[j]
            for k in range(bits):
                g[k] += d * G[j, k]
            if value < best:
                best = value
                for k in range(bits):
                    z[i, k] = code[k]


def compile_all() -> None:
    """Compile every kernel for the types that are used, so that no epoch waits for it."""
    G = np.eye(2, dtype=np.float32)
    q = np.zeros((1, 2), np.float32)
    z: NDArray[np.uint8] = np.zeros((1, 2), np.uint8)
    for kernel in (alternate, enumerate_codes):
        kernel(G, q, z.copy(), z.copy(), np.float32(1.0))
