"""A model that is trained by another strategy than the ring's own: in all but its training it is what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streammac.models.base import Array, Block, Floats, NestedModel, Objective, Tensors
from streammac.models.measures import Measures
from streammac.models.signature import Signature
from streammac.points.block import PointBlock


@dataclass(frozen=True)
class StrategyModel(NestedModel):
    """What is the model's; a strategy adds what of it travels, and how that is trained.

    Attributes
    ----------
    model : NestedModel
        What is trained.
    """

    model: NestedModel

    def __post_init__(self) -> None:
        for name in ("family", "lasting", "begins_afresh", "watched"):
            object.__setattr__(self, name, getattr(self.model, name))

    @property
    def needs_keys(self) -> bool:
        """See `NestedModel.needs_keys`."""
        return self.model.needs_keys

    def hyper_parameters(self) -> dict[str, Any]:
        """See `NestedModel.hyper_parameters`."""
        return self.model.hyper_parameters()

    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """See `NestedModel.coordinate_shape`."""
        return self.model.coordinate_shape()

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        """See `NestedModel.initial_blocks`: a first model is made on the ring."""
        return self.model.initial_blocks(signature)

    def prepare(self) -> None:
        """See `NestedModel.prepare`."""
        self.model.prepare()

    def mu(self, age: float) -> float:
        """See `NestedModel.mu`."""
        return self.model.mu(age)

    def rests(self, age: float) -> bool:
        """See `NestedModel.rests`."""
        return self.model.rests(age)

    @property
    def warm_age(self) -> int:
        """See `NestedModel.warm_age`."""
        return self.model.warm_age

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """See `NestedModel.z_step`."""
        return self.model.z_step(params, points, z, mu)

    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """See `NestedModel.coordinates`."""
        return self.model.coordinates(params, x)

    def functions(self, params: Mapping[str, Array]) -> Tensors:
        """See `NestedModel.functions`."""
        return self.model.functions(params)

    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """See `NestedModel.errors`."""
        return self.model.errors(params, points)

    def outcomes(self, params: Mapping[str, Array], points: PointBlock) -> dict[str, Floats]:
        """See `NestedModel.outcomes`."""
        return self.model.outcomes(params, points)

    def measures(self) -> Measures:
        """See `NestedModel.measures`."""
        return self.model.measures()

    def export(self, params: Mapping[str, Array]) -> Tensors:
        """See `NestedModel.export`."""
        return self.model.export(params)

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        """Return the model in one block of each kind, whatever travels."""
        return self.model.regrouped(params, 1)
