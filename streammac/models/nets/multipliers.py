"""The method of multipliers: what a point keeps beside its coordinates, and a Z step with it.

A row of the store holds a point's coordinates, the scaled multipliers of their constraints, and which net raised these
last. A net raises them once: a Z step that is made again, because nobody knows any more that it was made, finds its own
number there and leaves the row as it is. So does a net that rests.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streammac.models.base import Array, Floats
from streammac.models.nets.coordinates import Problem, improved
from streammac.models.nets.stages import columns

EXACT = 1 << 24
"""Whole numbers below it are float32, too."""


def row_length(widths: Sequence[int]) -> int:
    """Return how many numbers a point keeps whose stages give so many values."""
    return 2 * sum(widths) + 1


def number_of(net: Mapping[str, Array]) -> np.float32:
    """Return a number for a net by its tensors, from 1 on: another net has another one, but for chance (6e-8)."""
    found = 0
    for name in sorted(net):
        found = zlib.crc32(net[name].tobytes(), found)
    return np.float32(found % (EXACT - 1) + 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """What some points keep.

    Attributes
    ----------
    values, multipliers : list of (n, units) float32
        Of each stage.
    net : (n,) float32
        The number of the net that raised the multipliers last; 0: none did, and they are 0.
    """

    values: list[Floats]
    multipliers: list[Floats]
    net: Floats

    @classmethod
    def entering(cls, forward: list[Floats]) -> Rows:
        """Return those of points that come with z = h(x)."""
        net = np.zeros(len(forward[0]), np.float32)
        return cls(forward, [np.zeros_like(h) for h in forward], net)

    @classmethod
    def of(cls, z: Floats, widths: Sequence[int]) -> Rows:
        """Return those that lie in the store, (n, `row_length`)."""
        places = columns([*widths, *widths])
        both = [z[:, place] for place in places]
        return cls(both[: len(widths)], both[len(widths) :], z[:, -1])

    def stored(self) -> Floats:
        """Return them as they lie in the store."""
        return np.concatenate([*self.values, *self.multipliers, self.net[:, None]], axis=1)

    def targets(self) -> list[Floats]:
        """Return what the stages are to give: coordinates and multipliers."""
        return [a + u for a, u in zip(self.values, self.multipliers, strict=True)]


def raised(
    problem: Problem, before: Rows, forward: list[Floats], sweeps: int, net: np.float32
) -> tuple[Rows, Floats, Floats]:
    """Return what points keep after a Z step; their objective, and that of h(x), (n,) each.

    First the coordinates, which raise no point's objective, then the multipliers, which raise it: by mu times the
    squares of what is left of the constraints, unless they are held back.
    """
    problem = replace(problem, multipliers=before.multipliers)
    values, _, nested = improved(problem, before.values, forward, sweeps)
    own = (before.net == net)[:, None]

    def kept(old: list[Floats], new: list[Floats]) -> list[Floats]:
        return [np.where(own, a, b) for a, b in zip(old, new, strict=True)]

    multipliers = kept(before.multipliers, problem.raised(values, forward))
    after = Rows(kept(before.values, values), multipliers, np.full_like(before.net, net))
    return after, replace(problem, multipliers=multipliers).objective(after.values), nested
