"""A linear model of classes or numbers: nothing is nested, so there is one submodel and no auxiliary coordinate.

What it sees, its steps and its losses are those of a net's head. On the ring the one block goes round, and learns from
shard after shard; it is made for strategies that train whole models apart (`streammac.models.radon_training`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from streammac.models import layout, limits
from streammac.models.base import Array, Batch, Block, Floats, NestedModel, Objective, Tensors
from streammac.models.capabilities import Differentiable, Predictions, Vectorial
from streammac.models.nets.beginning import (
    LEAST_SCALE,
    means_and_variances,
    no_moments,
    with_moments,
)
from streammac.models.nets.descent import Slope, Units, trained
from streammac.models.nets.layers import HEAD, Layer, seen
from streammac.models.nets.losses import LOSSES, probabilities
from streammac.models.nets.measures import ClassMeasures, NetMeasures, NumberMeasures
from streammac.models.nets.outputs import Outputs
from streammac.models.signature import Signature
from streammac.points.block import PointBlock

INIT = "init"


@dataclass(frozen=True, slots=True)
class LinearModel(NestedModel, Predictions, Vectorial, Differentiable):
    """Hyper-parameters of a linear model.

    Attributes
    ----------
    classes : int
        If not 0, y is one of so many classes, and the loss that of softmax; else y is numbers, and the loss squared.
    passes : int
        Passes over the points in which the steps fall to their last size; then the model rests until there is enough
        that is new.
    step : float
        Relative to the curvature of the loss, of inputs whose mean square is 1.
    last_step : float
        The steps fall to so many times as much.
    """

    classes: int = 0
    passes: int = 6
    step: float = 0.5
    last_step: float = 0.05

    family: ClassVar[str] = "linear"
    lasting = ("classes",)
    begins_afresh = False
    watched = "loss"

    def __post_init__(self) -> None:
        within = {
            "classes": (0, 1 << 20),
            "passes": (1, 1 << 20),
            "step": (1e-9, 1e9),
            "last_step": (1e-9, 1),
        }
        limits.check(self, within)

    @property
    def _outputs(self) -> Outputs:
        return Outputs(LOSSES["softmax" if self.classes else "squared"], self.classes)

    # -- structure ------------------------------------------------------------------------

    def hyper_parameters(self) -> dict[str, Any]:
        """See `NestedModel.hyper_parameters`."""
        return asdict(self)

    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return that of a byte that says nothing: there is nothing nested."""
        return (1,), np.dtype(np.uint8)

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        """Return the one block that gathers moments."""
        return (Block(INIT, 1),)

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return one block: the model."""
        return (Block(f"{HEAD}/0-{self._outputs.count(signature) - 1}", 1),)

    def parameters(self, signature: Signature) -> int:
        """See `Vectorial.parameters`."""
        return self._outputs.count(signature) * (signature.inputs + 1)

    # -- W step ---------------------------------------------------------------------------

    def start(
        self, block: Block, signature: Signature, params: Mapping[str, Array], age: float
    ) -> Tensors:
        """See `NestedModel.start`."""
        if block.name == INIT:
            return no_moments(signature)
        share = self._step(age)
        own = {
            f"{block.name}/{what}": params[f"{block.name}/{what}"] for what in ("weight", "bias")
        }
        return own | {f"{block.name}/step": np.array([share])}

    def _step(self, age: float) -> float:
        """Return steps relative to the first ones; 0: the model rests."""
        return 0.0 if self.rests(age) else self.last_step ** (age / self.passes)

    def visit(
        self,
        block: Block,
        params: Mapping[str, Array],
        state: Tensors,
        lap: int,
        batches: Iterable[Batch],
    ) -> Tensors:
        """See `NestedModel.visit`."""
        name = block.name
        if name == INIT:
            return with_moments(state, batches)
        share = float(state[f"{name}/step"][0])
        if share == 0:
            return state
        units = self._trained(name, params, state, batches, share)
        # without the momentum, of which the parameters are not
        return {**state, f"{name}/weight": units.weight, f"{name}/bias": units.bias}

    def _trained(
        self,
        name: str,
        params: Mapping[str, Array],
        state: Mapping[str, Array],
        batches: Iterable[Batch],
        share: float,
    ) -> Units:
        """Return the units of the block after a step on each minibatch."""
        loss = self._outputs.loss
        step = self.step / loss.curvature
        pairs = self._pairs(params, batches)
        (units,) = trained([Units.of(name, state)], (), pairs, Slope(loss=loss), step, share)
        return units

    def _pairs(
        self, params: Mapping[str, Array], batches: Iterable[Batch]
    ) -> Iterator[tuple[Floats, Floats]]:
        for batch in batches:
            inputs = seen(params, batch.x)
            yield inputs, self._outputs.coded(params, batch.y, inputs)

    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """See `NestedModel.end_lap`."""
        if block.name != INIT:
            return {name: tensor for name, tensor in state.items() if not name.endswith("/step")}
        # nothing breaks a symmetry here: before it has learnt, a model says nothing
        inputs, targets = state["init/x"].shape[1], state["init/y"].shape[1]
        outputs = self._outputs.count(Signature(inputs, targets))
        head = f"{HEAD}/0-{outputs - 1}"
        return {
            **_scales(state),
            f"{head}/weight": np.zeros((outputs, inputs), np.float32),
            f"{head}/bias": np.zeros(outputs, np.float32),
        }

    def steered(self, params: Mapping[str, Array]) -> Tensors:
        """See `Differentiable.steered`."""
        (block,) = layout.blocks_in(params, HEAD)
        return Units.of(block, params).tensors(block)

    def stepped(self, params: Mapping[str, Array], batch: Batch, age: float) -> Tensors:
        """See `Differentiable.stepped`."""
        (block,) = layout.blocks_in(params, HEAD)
        return self._trained(block, params, params, [batch], self._step(age)).tensors(block)

    # -- Z step and forward passes --------------------------------------------------------

    def mu(self, age: float) -> float:
        """Return 0: there are no constraints."""
        return 0.0

    def rests(self, age: float) -> bool:
        """Return whether all passes are over."""
        return age >= self.passes

    @property
    def warm_age(self) -> int:
        """Half of the passes."""
        return self.passes // 2

    def _scores(self, params: Mapping[str, Array], inputs: Floats) -> Floats:
        weight, bias = (layout.joined(params, HEAD, what) for what in ("weight", "bias"))
        return Layer(weight, bias).linear(inputs)

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Return the coordinates as they are, and what the model loses."""
        return z, self.objective(params, points)

    def objective(self, params: Mapping[str, Array], points: PointBlock) -> Objective:
        """See `Differentiable.objective`."""
        inputs, outputs = seen(params, points.x), self._outputs
        coded = outputs.coded(params, points.y, inputs)
        return outputs.objective(self._scores(params, inputs), coded)

    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return a byte of each point that says nothing, (n, 1)."""
        return np.zeros((len(x), 1), np.uint8)

    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """Return each point's loss, (n,)."""
        return self.outcomes(params, points)[self.watched]

    def outcomes(self, params: Mapping[str, Array], points: PointBlock) -> dict[str, Floats]:
        """See `Outputs.outcomes`."""
        inputs, outputs = seen(params, points.x), self._outputs
        coded = outputs.coded(params, points.y, inputs)
        return outputs.outcomes(params, self._scores(params, inputs), coded, points.y)

    # -- what users ask -------------------------------------------------------------------

    def probabilities(self, params: Mapping[str, Array], x: Floats) -> Floats:
        """Return those of the classes, (n, C); ``x`` may be overwritten."""
        return probabilities(self._scores(params, seen(params, x)))

    def predict(self, params: Mapping[str, Array], x: Floats) -> Array:
        """See `Predictions.predict`: the likeliest class, or numbers in the units of y."""
        return self._outputs.said(params, self._scores(params, seen(params, x)))

    def measures(self) -> NetMeasures:
        """See `NestedModel.measures`."""
        return ClassMeasures(self) if self.classes else NumberMeasures(self)

    def export(self, params: Mapping[str, Array]) -> Tensors:
        """Return ``weight`` (O, D) and ``bias`` (O,) that apply to raw inputs: scores, or numbers in the units of y."""
        weight, bias = (layout.joined(params, HEAD, what) for what in ("weight", "bias"))
        weight = np.asarray(weight / params["input/scale"], np.float32)
        bias = bias - weight @ params["input/mean"]
        weight, bias = self._outputs.in_units(params, weight, bias)
        return {"weight": weight, "bias": np.asarray(bias, np.float32)}


def _scales(moments: Mapping[str, Array]) -> Tensors:
    """Return mean and deviation of each input and target."""
    found: Tensors = {}
    for name, mean, variance in means_and_variances(moments):
        deviation = np.sqrt(variance)
        deviation[deviation <= LEAST_SCALE] = 1.0
        found[f"{name}/mean"] = mean.astype(np.float32)
        found[f"{name}/scale"] = deviation.astype(np.float32)
    return found
