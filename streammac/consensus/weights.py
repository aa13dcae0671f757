"""With which weights neighbours average."""

from __future__ import annotations

from collections.abc import Iterable

from streammac.models.base import Floats


def metropolis(mine: int, theirs: int) -> float:
    """Return the Metropolis weight of the edge between two members that have heard so many neighbours each.

    It is the same seen from both ends, and those of a member's edges add up to less than 1: the rest is its own. So
    the matrix of all weights is symmetric and doubly stochastic.

    >>> metropolis(1, 3), metropolis(3, 1)
    (0.25, 0.25)
    """
    return 1.0 / (1 + max(mine, theirs))


def moves(own: Floats, others: Iterable[tuple[float, Floats]]) -> Floats:
    """Return by how much the average is away from ``own``: ``sum of weight * (other - own)``."""
    total: Floats = own * 0
    for weight, other in others:
        total += weight * (other - own)
    return total
