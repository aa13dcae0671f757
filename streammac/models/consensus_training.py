"""Consensus on the ring: each worker trains a copy of the whole model, and averages it with others' while it does.

An epoch has a *copy* for each member, a vector of parameters in a block that is trained alone (`Block.alone`). How
copies are averaged in training is not known here (`streammac.averaging`); when they have made their last round, the
model is the mean of those that were trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streammac.models.base import Array, Batch, Block, Floats, Objective, Tensors
from streammac.models.capabilities import Differentiable
from streammac.models.shuffling import steps_of
from streammac.models.signature import Signature
from streammac.models.strategy_model import StrategyModel
from streammac.points.block import PointBlock

KIND = "copy"


@dataclass(frozen=True)
class ConsensusTraining(StrategyModel):
    """A model that is trained by consensus.

    Attributes
    ----------
    model : NestedModel
        What is trained; it is `Differentiable`.
    minibatch : int
        Points of a gradient step.
    budget : int or None
        An epoch has as many steps as so many points have minibatches; None: as those of a shard.
    """

    minibatch: int = 512
    budget: int | None = None

    @property
    def _family(self) -> Differentiable:
        assert isinstance(self.model, Differentiable)
        return self.model

    # -- structure ------------------------------------------------------------------------

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return so many copies."""
        return tuple(Block(f"{KIND}/{number}", 1, alone=True) for number in range(groups))

    def groups_for(self, members: int) -> int:
        """Return a copy for each member."""
        return max(1, members)

    def iterations_for(self, points: int) -> int:
        """Return as many steps as a visit of the ring would make."""
        return steps_of(points, self.minibatch, self.budget)

    def combined(self, params: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the model whose parameters are the mean of the copies that were trained; without any, as it was."""
        model = {name: t for name, t in params.items() if not name.startswith(f"{KIND}/")}
        blocks = {name.rpartition("/")[0] for name in params.keys() - model.keys()}
        trained = [
            params[f"{block}/w"]
            for block in sorted(blocks, key=lambda block: int(block.partition("/")[2]))
            if params[f"{block}/weight"][0] > 0 and np.isfinite(params[f"{block}/w"]).all()
        ]
        if not trained:
            return model
        mean = np.asarray(np.mean(trained, axis=0, dtype=np.float64), np.float32)
        new = self._shaped(model, mean)
        return {name: new.get(name, tensor) for name, tensor in model.items()}

    # -- copies ---------------------------------------------------------------------------

    def start(
        self, block: Block, signature: Signature, params: Mapping[str, Array], age: float
    ) -> Tensors:
        """Return a copy of the model, which counts for nothing before it is trained."""
        if not block.alone:
            return self.model.start(block, signature, params, age)
        return {
            f"{block.name}/w": _vector(self._family.steered(params)),
            f"{block.name}/weight": np.zeros(1),
        }

    def copy_in(self, block: Block, state: Mapping[str, Array]) -> Floats:
        """Return a copy as a vector, (D,)."""
        w: Floats = state[f"{block.name}/w"]
        return w

    def trained(self, block: Block, w: Floats) -> Tensors:
        """Return the state of a copy that was trained."""
        return {f"{block.name}/w": w, f"{block.name}/weight": np.ones(1)}

    def stepped(self, params: Mapping[str, Array], w: Floats, batch: Batch, age: float) -> Floats:
        """Return a copy after a gradient step, (D,): parameters and momentum, which are averaged alike.

        Parameters
        ----------
        params : mapping of str to array
            The model with which the epoch began: its names and shapes, and what steps do not change.
        w : (D,) float32
            The copy.
        batch : Batch
            The minibatch.
        age : float
            Of the epoch: by it steps become shorter.
        """
        return _vector(self._family.stepped({**params, **self._shaped(params, w)}, batch, age))

    def _shaped(self, params: Mapping[str, Array], w: Floats) -> Tensors:
        like = self._family.steered(params)
        ends = np.cumsum([tensor.size for tensor in like.values()])[:-1]
        pieces = zip(like.items(), np.split(w, ends), strict=True)
        return {name: piece.reshape(tensor.shape) for (name, tensor), piece in pieces}

    # -- the ring's steps: none is of a copy ----------------------------------------------

    def visit(
        self,
        block: Block,
        params: Mapping[str, Array],
        state: Tensors,
        lap: int,
        batches: Iterable[Batch],
    ) -> Tensors:
        """See `NestedModel.visit`."""
        assert not block.alone, "copies are trained step by step"
        return self.model.visit(block, params, state, lap, batches)

    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """See `NestedModel.end_lap`."""
        return state if block.alone else self.model.end_lap(block, params, state, lap)

    # -- coordinates: nothing is nested for one who has the gradient ----------------------

    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return that of a byte that says nothing."""
        return (1,), np.dtype(np.uint8)

    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return a byte of each point that says nothing, (n, 1)."""
        return np.zeros((len(x), 1), np.uint8)

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Return the coordinates as they are, and what the model loses."""
        return z, self._family.objective(params, points)


def _vector(tensors: Mapping[str, Array]) -> Floats:
    return np.concatenate([tensor.reshape(-1) for tensor in tensors.values()])
