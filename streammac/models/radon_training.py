"""Radon points on the ring: whole models are trained apart, each by one worker, and their Radon point is the model.

An epoch has r^height *hypotheses*, r = d + 2 where the model has d parameters. They begin as the model there is,
travel in blocks that are trained alone (`Block.alone`), each on rows of its own, and go round once to be copied. So
everybody holds all of them, and makes the same Radon point of them: nobody is asked, and nobody waits at a root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from streammac.errors import StreammacError
from streammac.models import layout
from streammac.models.base import Array, Batch, Block, Tensors
from streammac.models.capabilities import Vectorial
from streammac.models.hypotheses import TooFewPoints
from streammac.models.radon import iterated_radon_point, radon_number
from streammac.models.signature import Signature
from streammac.models.strategy_model import StrategyModel

KIND = "radon"
MOST = 10_000
"""Hypotheses: more cost more than they are worth."""
MOST_PARAMETERS = 1000
"""A Radon point takes time that grows with the cube of them: of so many, a fraction of a second."""
LEAST_POINTS = 10
"""For each hypothesis. Of too few points most learn nothing, and the Radon point is among those."""


class TooManyParameters(StreammacError, ValueError):
    """Radon points are made of more models than parameters: of large models there would be too many."""


@dataclass(frozen=True)
class RadonTraining(StrategyModel):
    """A model that is trained by Radon points.

    Attributes
    ----------
    model : NestedModel
        What is trained; it is `Vectorial`, and its parameters are in one block.
    height : int
        Rounds of Radon points.
    """

    height: int = 1

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return groups of hypotheses, each to be trained by one member alone."""
        names = layout.names(KIND, self._hypotheses(signature), groups)
        return tuple(Block(name, 1, alone=True) for name in names)

    def _hypotheses(self, signature: Signature) -> int:
        assert isinstance(self.model, Vectorial)
        parameters = self.model.parameters(signature)
        if parameters > MOST_PARAMETERS:
            raise TooManyParameters(
                f"training.strategy: Radon points are made of {MOST_PARAMETERS} parameters at most, the model has "
                f'{parameters} - use fewer inputs, or "ring"'
            )
        number: int = radon_number(parameters) ** self.height
        if number > MOST:
            raise TooManyParameters(
                f"training.height: with {parameters} parameters {self.height} makes {number} models that are trained "
                f'apart, and {MOST} are the most - use a smaller height, fewer inputs, or training.strategy = "ring"'
            )
        return number

    def check(self, signature: Signature, points: int) -> None:
        """Check whether points are short enough, and whether there are enough of them when training begins.

        Raises
        ------
        TooManyParameters, TooFewPoints
            Naming the setting, and what else can be done.
        """
        number = self._hypotheses(signature)
        if points < LEAST_POINTS * number:
            raise TooFewPoints(
                f"training.start_points: expected {LEAST_POINTS * number} or more, {LEAST_POINTS} for each of "
                f"{number} models that are trained apart, got {points} - or use fewer inputs, or "
                'training.strategy = "ring"'
            )

    def groups_for(self, members: int) -> int:
        """Return two blocks for each member."""
        return 2 * members

    def start(
        self, block: Block, signature: Signature, params: Mapping[str, Array], age: float
    ) -> Tensors:
        """Return so many times the state with which the model begins, (k, ...) of each of its tensors."""
        if not block.alone:
            return self.model.start(block, signature, params, age)
        rows = layout.rows(block.name)
        (own,) = self.model.blocks(signature, 1)
        state = self.model.start(own, signature, params, age)
        count = rows.stop - rows.start
        return {f"{block.name}/{n}": np.repeat(t[None], count, axis=0) for n, t in state.items()}

    def visit(
        self,
        block: Block,
        params: Mapping[str, Array],
        state: Tensors,
        lap: int,
        batches: Iterable[Batch],
    ) -> Tensors:
        """Train each hypothesis on its own share of the rows of each minibatch."""
        if not block.alone:
            return self.model.visit(block, params, state, lap, batches)
        own, hypotheses = _own(block, state), _apart(block, state)
        every, count = list(batches), len(hypotheses)
        for number, hypothesis in enumerate(hypotheses):
            shares = [_share(batch, number, count) for batch in every if len(batch.rows) > number]
            hypotheses[number] = self.model.visit(own, params, hypothesis, lap, shares)
        return _together(block, hypotheses)

    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """See `NestedModel.end_lap`."""
        if not block.alone:
            return self.model.end_lap(block, params, state, lap)
        own, hypotheses = _own(block, state), _apart(block, state)
        ended = [self.model.end_lap(own, params, one, lap) for one in hypotheses]
        return _together(block, ended)

    def combined(self, params: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the model whose parameters are the Radon point of the hypotheses', if there are such."""
        model = {name: t for name, t in params.items() if not name.startswith(f"{KIND}/")}
        names = sorted({name.split("/", 2)[2] for name in params.keys() - model.keys()})
        if not names:
            return model
        stacked = [_joined(params, name) for name in names]
        vectors = np.concatenate([t.reshape(len(t), -1) for t in stacked], axis=1)
        former = np.concatenate([np.ravel(model[name]) for name in names])
        # what a worker made up is no worse than what the model was
        vectors = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, former)
        point = iterated_radon_point(vectors, self.height)
        ends = np.cumsum([t[0].size for t in stacked])[:-1]
        for name, tensor, piece in zip(names, stacked, np.split(point, ends), strict=True):
            model[name] = piece.reshape(tensor.shape[1:]).astype(tensor.dtype)
        return model


def _share(batch: Batch, number: int, count: int) -> Batch:
    """Return every so manieth row of a minibatch; what has been found out about all of them is not of these."""
    return replace(batch, rows=batch.rows[number::count], memo={})


def _own(block: Block, state: Mapping[str, Array]) -> Block:
    """Return the block of the model whose tensors these are many of."""
    kind, rows, _ = next(iter(state)).removeprefix(f"{block.name}/").split("/")
    return Block(f"{kind}/{rows}", block.laps)


def _joined(params: Mapping[str, Array], name: str) -> Array:
    """Return a tensor of all hypotheses, in their order, (r^height, ...)."""
    there = [one.removesuffix(f"/{name}") for one in params if one.endswith(f"/{name}")]
    blocks = [one for one in there if one.startswith(f"{KIND}/")]
    blocks.sort(key=lambda block: layout.rows(block).start)
    return np.concatenate([params[f"{block}/{name}"] for block in blocks])


def _apart(block: Block, state: Mapping[str, Array]) -> list[Tensors]:
    count = len(next(iter(state.values())))
    skip = len(block.name) + 1
    return [{name[skip:]: tensor[i] for name, tensor in state.items()} for i in range(count)]


def _together(block: Block, hypotheses: list[Tensors]) -> Tensors:
    return {f"{block.name}/{n}": np.stack([one[n] for one in hypotheses]) for n in hypotheses[0]}
