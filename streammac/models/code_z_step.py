"""The Z step of codes behind a linear decoder: bits that reconstruct a point, and are near what its hash functions say.

Exact by enumeration for few bits, else alternating over bits (Carreira-Perpinan & Raziperchikolaei, CVPR 2015,
section 3). What the hash functions are is of no consequence here: their bits are an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, Objective
from streammac.models.decoders import Decoder
from streammac.models.outliers import far, reach, squares

ENUMERATE_BITS = 10
"""Up to so many bits the Z step tries all codes; above, it alternates over bits."""
LEAST_MU = 3e-5
"""Relative as mu is: below it float32 cannot solve the relaxed problem."""


def of_near(
    x: Floats, z: Array, scale: float, improve: Callable[[Floats, Array], tuple[Array, Objective]]
) -> tuple[Array, Objective]:
    """Improve n codes of centred points; those of points that are far from all others stay, and count as left out."""
    beyond = far(x, reach(scale, x.shape[1]))
    if beyond is None:
        return improve(x, z)
    new = z.copy()
    new[~beyond], objective = improve(x[~beyond], z[~beyond])
    return new, replace(objective, left_out=int(beyond.sum()))


def improved(
    x: Floats, products: Floats, decoder: Decoder, h: NDArray[np.uint8], z: Array, mu: float
) -> tuple[Array, Objective]:
    """Improve codes.

    The alternation starts from the best of three codes: the current one, h(x), and the solution of the
    problem without its constraint to bits, ``(A^T A + mu I) z = A^T (x - c) + mu h(x)``, truncated.

    Parameters
    ----------
    x : (n, D) float32
        Centred points, none of them far.
    products : (n, L + 1) float32
        Those of the scaled points with the columns of A, and with c.
    decoder : Decoder
        A and c.
    h, z : (n, L) uint8
        What the hash functions say, and the codes as they are.
    mu : float
        The penalty, relative to the mean squared norm of A's columns.
    """
    from streammac.models import kernels

    A, c = decoder.weight, decoder.offset
    bits, dim = h.shape[1], x.shape[1]
    G = A.T @ A
    q = products[:, :-1] - c @ A
    penalty = np.float32(mu * max(float(np.trace(G)) / bits, 1e-12))
    if bits <= ENUMERATE_BITS:
        new = z.copy()
        kernels.enumerate_codes(G, q, h, new, penalty)
    else:
        new = _least(G, q, h, penalty, (z, h, _relaxed(G, q, h, penalty)))
        kernels.alternate(G, q, h, new, penalty)
    # sum over points of ||x - c||^2
    norms = squares(x).sum(dtype=np.float64) / decoder.scale**2
    mixed = products[:, -1].sum(dtype=np.float64)
    constant = float(norms - 2.0 * mixed + len(x) * float(c @ c))
    penalised, nested = (
        constant + _values(G, q, h, code, penalty).sum(dtype=np.float64) for code in (new, h)
    )
    return new, Objective(
        points=len(x),
        penalised=_squares(penalised) / dim,
        nested=_squares(nested) / dim,
        violated=np.count_nonzero(new != h) / bits,
        changed=np.count_nonzero(new != z) / bits,
    )


def _relaxed(G: Floats, q: Floats, h: NDArray[np.uint8], penalty: np.float32) -> NDArray[np.uint8]:
    # bits that say the same, or nothing, make G singular, and a tiny penalty is lost beside it
    ridge = max(penalty, np.float32(LEAST_MU * np.trace(G) / len(G)))
    system = G + ridge * np.eye(len(G), dtype=np.float32)
    inverse = np.linalg.inv(system.astype(np.float64)).astype(np.float32)
    return ((q + penalty * h) @ inverse > 0.5).astype(np.uint8)


def _values(
    G: Floats, q: Floats, h: NDArray[np.uint8], z: NDArray[np.uint8], penalty: np.float32
) -> Floats:
    """Return each code's objective without its constant (`streammac.models.kernels`), (n,)."""
    code = z.astype(np.float32)
    slope = code @ G
    slope -= 2.0 * q
    values: Floats = np.linalg.vecdot(slope, code)
    code -= h
    values += penalty * np.linalg.vecdot(code, code)
    return values


def _least(
    G: Floats,
    q: Floats,
    h: NDArray[np.uint8],
    penalty: np.float32,
    codes: tuple[NDArray[np.uint8], ...],
) -> NDArray[np.uint8]:
    """Return for each point the code with the least objective, (n, L); of equals the first."""
    least, *others = codes
    value = _values(G, q, h, least, penalty)
    for code in others:
        other = _values(G, q, h, code, penalty)
        better = other < value
        least = np.where(better[:, None], code, least)
        value = np.where(better, other, value)
    return least


def _squares(total: np.float64) -> float:
    """Return a sum of squares, which rounding must not make negative; NaN stays NaN."""
    return float(np.maximum(0.0, total))
