"""A nested model that learns nothing but who has trained it: it makes the ring's doings visible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from streammac.models.base import Block, NestedModel, Objective


class TallyModel(NestedModel):
    """Every visit adds the shard's number of points to the block's tally; laps are counted, too."""

    family = "tally"

    def __init__(self, blocks: int = 3, laps: int = 2) -> None:
        self._blocks = tuple(Block(f"tally/{i}", laps) for i in range(blocks))

    def train_alone(self) -> None:
        """From the next epoch on, each block is trained by one member."""
        self._blocks = tuple(replace(block, alone=True) for block in self._blocks)

    def hyper_parameters(self) -> dict[str, Any]:
        return {"blocks": len(self._blocks), "laps": self._blocks[0].laps}

    def coordinate_shape(self):
        return (1,), np.dtype(np.uint8)

    def initial_blocks(self, signature):
        return (Block("origin", laps=1),)

    def blocks(self, signature, groups):
        return self._blocks

    def start(self, block, signature, params, age):
        if block.name == "origin":
            return {"origin": np.zeros(1, np.int64)}
        zero = np.zeros(2, np.int64)
        return {block.name: params.get(block.name, zero)}

    def visit(self, block, params, state, lap, batches):
        points = sum(len(batch.x) for batch in batches)
        (name,) = state
        added = state[name].copy()
        added[0] += points
        return {name: added}

    def end_lap(self, block, params, state, lap):
        (name,) = state
        ended = state[name].copy()
        ended[-1] += name != "origin"
        return {name: ended}

    def mu(self, age):
        return float(age)

    def rests(self, age):
        return age >= 3

    @property
    def warm_age(self):
        return 2

    def z_step(self, params, points, z, mu):
        return z, Objective(points=len(points))

    def coordinates(self, params, x):
        return np.zeros((len(x), 1), np.uint8)

    def encode(self, params, x):
        return np.zeros((len(x), 1), np.uint8)

    def decode(self, params, z):
        return np.zeros((len(z), 2), np.float32)

    def errors(self, params, points):
        return np.zeros(len(points), np.float32)

    def measures(self):
        raise NotImplementedError

    def export(self, params):
        return dict(params)
