"""A model that learns nothing and writes down what is asked of it."""

from __future__ import annotations

import numpy as np

from streammac.models.base import Block, Objective


class Recorder:
    """Coordinates are one more than x, and one more with every Z step."""

    def __init__(self, *blocks: Block, initial: tuple[Block, ...] = (), slices: int = 1) -> None:
        self._slices = slices
        self.calls: list[tuple] = []
        self._blocks = blocks
        self._initial = initial

    def blocks(self, signature, groups):
        return self._blocks

    def initial_blocks(self, signature):
        return self._initial

    def slices_for(self, points, members):
        return self._slices

    def iterations_for(self, points):
        return 0

    def groups_for(self, members):
        return 1

    def regrouped(self, params, groups):
        return params

    def combined(self, params):
        return params

    def start(self, block, signature, params, age):
        self.calls.append(("start", block.name, signature.inputs, age))
        return {block.name: np.zeros(1)}

    def visit(self, block, params, state, lap, batches):
        batches = [(batch.x.copy(), batch.z, batch.y) for batch in batches]
        self.calls.append(("visit", block.name, lap, batches))
        return {block.name: state[block.name] + 1}

    def end_lap(self, block, params, state, lap):
        self.calls.append(("end of lap", block.name, lap))
        return {block.name: state[block.name] + 100}

    def mu(self, age):
        return 10.0 + age

    def coordinates(self, params, x):
        x += 1
        return x.astype(np.int64)

    def outcomes(self, params, points):
        return {"error": self.errors(params, points)}

    def errors(self, params, points):
        x = points.x
        x *= 2
        return x[:, 0] if points.y is None else points.y[:, 0]

    def z_step(self, params, points, z, mu):
        x = points.x
        self.calls.append(("z step", x[:, 0].tolist(), mu))
        return z + 1, Objective(len(x), 1.0, 2.0, 3.0, 4.0)
