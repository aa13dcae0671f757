"""What a net is made of: which layers, which of them make a stage, and in which blocks their units travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from streammac.models import layout
from streammac.models.base import Array
from streammac.models.nets.activations import ACTIVATIONS, Activation
from streammac.models.nets.factors import Factors
from streammac.models.nets.layers import HEAD, Layer, kind
from streammac.models.nets.net import Net
from streammac.models.nets.stages import Layers, Stage

NMF = "nmf"
"""The name, in place of an activation, of a layer that is a non-negative matrix factorisation of the one before."""
POSITIVE = ("relu", "sigmoid", NMF)
"""Layers whose values are not negative."""
LEAST_UNITS = 16
"""Of a block: fewer make matrix products slow."""
TOGETHER = "layers"
"""What the blocks of stages of several layers are called, by the numbers of their first and last one."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The hidden layers of a net, by number from 1 on.

    Attributes
    ----------
    layers : tuple of int
        Units of each.
    activations : tuple of str
        Their activations, by name, or `NMF`.
    stage_layers : int
        Layers of a stage, at most.
    """

    layers: tuple[int, ...]
    activations: tuple[str, ...]
    stage_layers: int = 1

    def activation(self, number: int) -> Activation:
        """Return that of a layer."""
        return ACTIVATIONS[self.activations[number - 1]]

    @property
    def stages(self) -> list[range]:
        """Which layers each stage has: as many as there may be, one after the other."""
        found: list[range] = []
        for number in range(1, len(self.layers) + 1):
            before = found[-1] if found else range(0)
            if 0 < len(before) < self.stage_layers and not self._alone(before[-1]) | self._alone(
                number
            ):
                found[-1] = range(before.start, number + 1)
            else:
                found.append(range(number, number + 1))
        return found

    def _alone(self, number: int) -> bool:
        """Return whether no gradient passes through a layer: it is a stage by itself."""
        return self.activations[number - 1] in ("step", NMF)

    @property
    def widths(self) -> list[int]:
        """How many coordinates each stage has."""
        return [self.layers[numbers[-1] - 1] for numbers in self.stages]

    def net(self, params: Mapping[str, Array]) -> Net:
        """Return the net of some parameters, in any blocks."""
        stages = tuple(self._stage(params, numbers) for numbers in self.stages)
        return Net(stages, Layer.of(HEAD, params, None))

    def factorises(self, number: int) -> bool:
        """Return whether a layer is a factorisation."""
        return self.activations[number - 1] == NMF

    def _stage(self, params: Mapping[str, Array], numbers: range) -> Stage:
        if self.factorises(numbers[0]):
            return Factors.of(kind(numbers[0]), params)
        return Layers(tuple(Layer.of(kind(n), params, self.activation(n)) for n in numbers))

    def wrong(self) -> str:
        """Return what cannot be, with the name of the option; nothing where all is well."""
        for before, one in pairwise(("", *self.activations)):
            if one == NMF and before not in POSITIVE:
                return "activation: expected relu, sigmoid or nmf before nmf, whose inputs are not to be negative"
        return ""

    # -- blocks ---------------------------------------------------------------------------

    def blocks(self, groups: int) -> list[str]:
        """Return the blocks of the hidden layers: groups of a layer's units, or the layers of a stage together."""
        names: list[str] = []
        for numbers in self.stages:
            if len(numbers) > 1:
                names.append(f"{TOGETHER}/{numbers[0]}-{numbers[-1]}")
            else:
                names += self._groups(numbers[0], groups)
        return names

    def _groups(self, number: int, groups: int) -> list[str]:
        # a factorisation is learned column by column: what is before it from its coordinates
        return grouped(kind(number), self.layers[number - 1 - self.factorises(number)], groups)

    def units_in(self, block: str) -> list[str]:
        """Return what the units are called that travel in a block: as it is, or those of each layer of a stage."""
        if not block.startswith(TOGETHER):
            return [block]
        rows = layout.rows(block)
        return [name for n in range(rows.start, rows.stop) for name in self._groups(n, 1)]

    def stage_of(self, block: str) -> int:
        """Return which stage the units of a block are of, from 0 on."""
        last = self.units_in(block)[-1].partition("/")[0]
        return next(i for i, numbers in enumerate(self.stages) if kind(numbers[-1]) == last)


def grouped(name: str, units: int, groups: int) -> list[str]:
    """Return the blocks of a layer's units, in so many groups unless they become too small."""
    return layout.names(name, units, max(1, min(groups, units // LEAST_UNITS)))
