"""A stage that is a non-negative matrix factorisation: what is before it, about a sum of parts (DeepFacto).

Points' values a, (n, D), are about S F with S, (n, R), and F, (R, D), not negative: a row of F is a part, and a row of
S says how much of each there is in a point. S are the coordinates. No gradient passes through the search for them:
supervision comes in from the side of the coordinates, in the Z step. The constraint is never to hold altogether, since
there are fewer parts than values: so it has no multipliers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models import layout
from streammac.models.base import Array, Floats
from streammac.models.nets.activations import ACTIVATIONS, Activation
from streammac.models.nets.layers import norm
from streammac.models.nets.stages import Stage

SEARCH = 30
"""Steps of the search for S: the layer is what so many of them make."""


@dataclass(frozen=True, slots=True)
class Factors(Stage):
    """A factorisation.

    Attributes
    ----------
    parts : (R, D) float32
        F, not negative.
    """

    parts: Floats

    @classmethod
    def of(cls, name: str, params: Mapping[str, Array]) -> Factors:
        """Return the factorisation of a name, from the columns of F in any blocks."""
        return cls(np.ascontiguousarray(layout.joined(params, name, "weight").T))

    @property
    def activation(self) -> Activation:
        """That of numbers that are not negative."""
        return ACTIVATIONS["relu"]

    @property
    def own_curvature(self) -> float:
        """Return the square of the 2-norm of F."""
        return norm(self.parts) ** 2

    @property
    def below_curvature(self) -> float:
        """Return 1: the residual is something less the coordinates before."""
        return 1.0

    @property
    def binding(self) -> bool:
        """Return False, see above."""
        return False

    def __call__(self, below: Floats) -> Floats:
        """Return S by accelerated projected gradients (Nesterov 1983; Beck & Teboulle 2009), beginning at 0."""
        step = np.float32(1.0 / max(self.own_curvature, 1e-12))
        G = (self.parts @ self.parts.T) * step
        q = (below @ self.parts.T) * step
        s = np.zeros_like(q)
        ahead, pace = s, 1.0
        for _ in range(SEARCH):
            following = ahead - ahead @ G
            following += q
            np.maximum(following, 0, out=following)
            faster = (1.0 + np.sqrt(1.0 + 4.0 * pace * pace)) / 2.0
            ahead = following - s
            ahead *= np.float32((pace - 1.0) / faster)
            ahead += following
            s, pace = following, faster
        return s

    def residual(self, below: Floats, own: Floats) -> Floats:
        """Return ``S F - a``."""
        return own @ self.parts - below

    def by_own(self, below: Floats, own: Floats) -> Floats:
        """See `Stage`."""
        return self.residual(below, own) @ self.parts.T

    def by_below(self, below: Floats, own: Floats) -> Floats:
        """Return ``a - S F``."""
        return below - own @ self.parts
