"""A net in numbers: its stages one after the other, and the head."""

from __future__ import annotations

from dataclasses import dataclass

from streammac.models.base import Floats
from streammac.models.nets.layers import Layer
from streammac.models.nets.stages import Stage


@dataclass(frozen=True, slots=True)
class Net:
    """Stages one after the other.

    Attributes
    ----------
    stages : tuple of Stage
        The first to the last one, K; each gives coordinates.
    head : Layer
        Makes scores.
    """

    stages: tuple[Stage, ...]
    head: Layer

    def features(self, inputs: Floats) -> Floats:
        """Return h_K of what layer 1 sees: what the head is to tell y from."""
        return self.forward(inputs)[-1]

    def forward(self, inputs: Floats) -> list[Floats]:
        """Return what all stages give, h_1 to h_K, from what layer 1 sees."""
        values: list[Floats] = []
        for stage in self.stages:
            values.append(stage(values[-1] if values else inputs))
        return values
