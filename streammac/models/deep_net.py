"""Deep nets by auxiliary coordinates: hidden layers of units, a head for a squared, logistic or softmax loss.

Every stage, of one layer or a few, is trained by itself, on the coordinates of the one before: no gradient passes
through more than one. `docs/deep-nets.md` says what that comes to. The ring sees only the `NestedModel` interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from streammac.models import layout, limits
from streammac.models.base import Array, Batch, Block, Floats, NestedModel, Objective, Tensors
from streammac.models.capabilities import Differentiable, Predictions
from streammac.models.nets.activations import Activation
from streammac.models.nets.architecture import NMF, Architecture, grouped
from streammac.models.nets.beginning import first_net, no_moments, with_moments
from streammac.models.nets.coordinates import Problem, improved
from streammac.models.nets.descent import Slope, Units, trained
from streammac.models.nets.layers import HEAD, kind, seen
from streammac.models.nets.losses import LOSSES, probabilities
from streammac.models.nets.measures import ClassMeasures, NetMeasures, NumberMeasures
from streammac.models.nets.multipliers import Rows, number_of, raised, row_length
from streammac.models.nets.outputs import Outputs
from streammac.models.nets.stages import columns
from streammac.models.signature import Signature
from streammac.points.block import PointBlock

ActivationName = Literal["relu", "tanh", "sigmoid", "step", "nmf"]
LossName = Literal["squared", "logistic", "softmax"]
INIT = "init"


@dataclass(frozen=True, slots=True)
class DeepNetModel(NestedModel, Predictions, Differentiable):
    """Hyper-parameters of a deep net.

    Attributes
    ----------
    layers : tuple of int
        Units of the hidden layers, from the inputs on.
    activation : str or tuple of str
        Of all hidden layers, or of each: ``relu``, ``tanh``, ``sigmoid`` or ``step``; or ``nmf``: the layer is a
        non-negative matrix factorisation of the one before (DeepFacto).
    loss : str or None
        ``softmax``, ``logistic`` or ``squared``; None: softmax where y is a class, else squared. Without y the net is
        an autoencoder: it is to tell x.
    classes : int
        If not 0, y is one of so many classes.
    stage_layers : int
        Hidden layers of a stage, at most: only the last one of them has coordinates, and all travel and are trained
        together, by back-propagation. Those through which no gradient passes are a stage each.
    multipliers : bool
        Hold the constraints by multipliers, too (stochastic Block-ADMM), and not by the penalty alone.
    passes : int
        Passes over the points in which the continuation goes from its first to its last penalty and step; then the
        net rests until there is enough that is new.
    slice_points : int
        Points of all shards that an epoch works on: so often their coordinates are renewed.
    step, head_step : float
        Of hidden units, and of the head relative to the curvature of its loss, of inputs whose mean square is 1; they
        fall to `last_step` times as much.
    mu_start, mu_cap : float
        First and last penalty, relative to the curvature of the loss.
    sweeps : int
        Of a Z step, from the last layer to the first.
    seed : int
        Of the first weights.
    """

    layers: tuple[int, ...] = (256, 128)
    activation: ActivationName | tuple[ActivationName, ...] = "relu"
    loss: LossName | None = None
    classes: int = 0
    stage_layers: int = 1
    multipliers: bool = False
    passes: int = 8
    slice_points: int = 1500
    step: float = 3.0
    head_step: float = 0.5
    last_step: float = 0.125
    mu_start: float = 0.03
    mu_cap: float = 0.1
    sweeps: int = 4
    seed: int = 0

    family = "deep_net"
    lasting = ("layers", "activation", "loss", "classes")
    begins_afresh = False
    watched = "loss"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not isinstance(self.activation, str):
            object.__setattr__(self, "activation", tuple(self.activation))
        self._check()

    def _check(self) -> None:
        within = {
            "classes": (0, 1 << 20),
            "stage_layers": (1, 1 << 10),
            "passes": (1, 1 << 20),
            "slice_points": (1, 1 << 40),
            "step": (1e-9, 1e9),
            "head_step": (1e-9, 1e9),
            "last_step": (1e-9, 1),
            "mu_start": (1e-9, 1e9),
            "mu_cap": (1e-9, 1e9),
            "sweeps": (1, 1000),
            "seed": (0, 1 << 62),
        }
        limits.check(self, within)
        if not self.layers or not all(1 <= units <= 1 << 16 for units in self.layers):
            raise ValueError(f"layers: expected numbers from 1 to 65536, got {list(self.layers)}")
        if not isinstance(self.activation, str) and len(self.activation) != len(self.layers):
            raise ValueError(
                f"activation: expected one, or {len(self.layers)}, got {len(self.activation)}"
            )
        if wrong := self._architecture.wrong():
            raise ValueError(wrong)
        if self.loss == "softmax" and not self.classes:
            raise ValueError("loss: expected squared or logistic, unless y is a class, got softmax")

    @classmethod
    def with_options(cls, options: Mapping[str, Any] | None, **own: Any) -> DeepNetModel:
        """Return the net of an estimator, by parameters of its own and options beside them.

        Raises
        ------
        ValueError
            Naming an option that there is not or that is such a parameter, or what `DeepNetModel` refuses.
        """
        others = [field.name for field in fields(cls) if field.name not in own]
        for name in options or {}:
            if name not in others:
                raise ValueError(f"options: expected some of {', '.join(others)}, got {name}")
        return cls(**own, **(options or {}))

    @property
    def _architecture(self) -> Architecture:
        one = isinstance(self.activation, str)
        names = (self.activation,) * len(self.layers) if one else self.activation
        return Architecture(self.layers, names, self.stage_layers)  # type: ignore[arg-type]

    @property
    def _outputs(self) -> Outputs:
        return Outputs(
            LOSSES[self.loss or ("softmax" if self.classes else "squared")], self.classes
        )

    # -- structure ------------------------------------------------------------------------

    def hyper_parameters(self) -> dict[str, Any]:
        """See `NestedModel.hyper_parameters`."""
        return asdict(self)

    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return that of the values of all stages; with multipliers, of these, too."""
        widths = self._architecture.widths
        count = row_length(widths) if self.multipliers else sum(widths)
        return (count,), np.dtype(np.float32)

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        """Return the one block that gathers moments."""
        return (Block(INIT, 1),)

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the groups of each layer's units; layers of a stage, and outputs of a loss that couples, are one."""
        outputs = self._outputs
        count = outputs.count(signature)
        of_head = grouped(HEAD, count, 1 if outputs.loss.couples else groups)
        return tuple(Block(name, 1) for name in (*self._architecture.blocks(groups), *of_head))

    def groups_for(self, members: int) -> int:
        """Return as many as members: with each layer, each has a block."""
        return max(1, members)

    def slices_for(self, points: int, members: int) -> int:
        """Return in how many slices shards are cut, so that an epoch works on about ``slice_points`` of them all."""
        return max(1, round(points * members / self.slice_points))

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        """See `NestedModel.regrouped`."""
        if not params:
            return params
        new = {
            name: value for name, value in params.items() if name.startswith(("input/", "target/"))
        }
        outputs = len(layout.joined(params, HEAD, "bias"))
        blocks = self.blocks(Signature(0, outputs), groups)
        architecture = self._architecture
        for name in (name for block in blocks for name in architecture.units_in(block.name)):
            of_kind, rows = name.partition("/")[0], layout.rows(name)
            there = layout.blocks_in(params, of_kind)
            units = [Units.of(one, params).tensors("") for one in there]
            for what in units[0]:
                new[f"{name}{what}"] = np.concatenate([one[what] for one in units])[rows]
        return new

    # -- W step ---------------------------------------------------------------------------

    def start(
        self, block: Block, signature: Signature, params: Mapping[str, Array], age: float
    ) -> Tensors:
        """See `NestedModel.start`."""
        if block.name == INIT:
            return no_moments(signature)
        state: Tensors = {f"{block.name}/step": np.array([self._step(age)])}
        for name in self._architecture.units_in(block.name):
            state |= Units.of(name, params).tensors(name)
        return state

    def _step(self, age: float) -> float:
        """Return steps relative to the first ones; 0: the net rests."""
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
        if block.name == INIT:
            return with_moments(state, batches)
        key = f"{block.name}/step"
        share = float(state[key][0])
        if share == 0:
            return state
        names = self._architecture.units_in(block.name)
        chain, rows = [Units.of(name, state) for name in names], layout.rows(names[-1])
        inner: list[Activation] = []
        if block.name.startswith(HEAD):
            pairs = self._features(params, batches, rows)
            loss = self._outputs.loss
            slope, step = Slope(loss=loss), self.head_step / loss.curvature
        else:
            stage, step = self._architecture.stage_of(block.name), self.step
            numbers = self._architecture.stages[stage]
            if self._architecture.factorises(numbers[0]):
                pairs, slope = self._parts(stage, batches, rows), Slope(positive=True)
            else:
                *inner, last = map(self._architecture.activation, numbers)
                pairs, slope = self._coordinates(params, stage, batches, rows), Slope(last)
        new: Tensors = {key: state[key]}
        for name, units in zip(
            names, trained(chain, inner, pairs, slope, step, share), strict=True
        ):
            new |= units.tensors(name)
        return new

    def _coordinates(
        self, params: Mapping[str, Array], stage: int, batches: Iterable[Batch], rows: slice
    ) -> Iterator[tuple[Floats, Floats]]:
        """Yield what a stage sees, and what some of its units are to give."""
        widths = self._architecture.widths
        place = columns(widths)
        for batch in batches:
            z = batch.z
            assert z is not None, "there are coordinates in every epoch but a fresh one"
            inputs = z[:, place[stage - 1]] if stage else seen(params, batch.x)
            targets = z[:, place[stage]]
            if self.multipliers:
                targets = targets + Rows.of(z, widths).multipliers[stage]
            yield inputs, targets[:, rows]

    def _parts(
        self, stage: int, batches: Iterable[Batch], rows: slice
    ) -> Iterator[tuple[Floats, Floats]]:
        """Yield the coordinates of a factorisation, and some of those before, which parts of them are to add up to."""
        place = columns(self._architecture.widths)
        for batch in batches:
            z = batch.z
            assert z is not None, "there are coordinates in every epoch but a fresh one"
            yield z[:, place[stage]], z[:, place[stage - 1]][:, rows]

    def _features(
        self, params: Mapping[str, Array], batches: Iterable[Batch], rows: slice
    ) -> Iterator[tuple[Floats, Floats]]:
        """Yield what the head is trained on: h_K(x), and not z_K, which knows y."""
        net = self._architecture.net(params)
        for batch in batches:
            inputs = seen(params, batch.x)
            yield net.features(inputs), self._outputs.coded(params, batch.y, inputs)[:, rows]

    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """See `NestedModel.end_lap`."""
        if block.name == INIT:
            signature = Signature(state["init/x"].shape[1], state["init/y"].shape[1])
            outputs = self._outputs.count(signature)
            return first_net(state, self._architecture, outputs, self.seed)
        return {name: tensor for name, tensor in state.items() if not name.endswith("/step")}

    # -- as a whole, by back-propagation --------------------------------------------------

    @property
    def without_gradient(self) -> str:
        """See `Differentiable.without_gradient`."""
        stuck = sorted({"step", NMF} & set(self._architecture.activations))
        wants = "expected relu, tanh or sigmoid, through which a gradient passes"
        return f"model.options.activation: {wants}, got {stuck[0]}" if stuck else ""

    def steered(self, params: Mapping[str, Array]) -> Tensors:
        """See `Differentiable.steered`."""
        new: Tensors = {}
        for name in self._units(params):
            new |= Units.of(name, params).tensors(name)
        return new

    def _units(self, params: Mapping[str, Array]) -> list[str]:
        """Return what the units of each layer are called, the head last."""
        kinds = [*(kind(n) for n in range(1, len(self.layers) + 1)), HEAD]
        return [name for one in kinds for name in layout.blocks_in(params, one)]

    def stepped(self, params: Mapping[str, Array], batch: Batch, age: float) -> Tensors:
        """See `Differentiable.stepped`."""
        names, loss = self._units(params), self._outputs.loss
        inputs = seen(params, batch.x)
        pair = inputs, self._outputs.coded(params, batch.y, inputs)
        chain = [Units.of(name, params) for name in names]
        inner = [self._architecture.activation(n) for n in range(1, len(self.layers) + 1)]
        step = self._step(age) * self.step / loss.curvature
        new: Tensors = {}
        for name, units in zip(
            names, trained(chain, inner, [pair], Slope(loss=loss), step), strict=True
        ):
            new |= units.tensors(name)
        return new

    def objective(self, params: Mapping[str, Array], points: PointBlock) -> Objective:
        """See `Differentiable.objective`."""
        problem = self._problem(params, points, 0.0)
        scores = problem.net.head(problem.net.features(problem.seen))
        return self._outputs.objective(scores, problem.y)

    # -- Z step and forward passes --------------------------------------------------------

    def mu(self, age: float) -> float:
        """Return the penalty, which grows geometrically."""
        share = min(1.0, age / self.passes)
        return float(self.mu_start * (self.mu_cap / self.mu_start) ** share)

    def rests(self, age: float) -> bool:
        """Return whether all passes are over."""
        return age >= self.passes

    @property
    def warm_age(self) -> int:
        """Half of the passes."""
        return self.passes // 2

    def _problem(self, params: Mapping[str, Array], points: PointBlock, mu: float) -> Problem:
        net = self._architecture.net(params)
        inputs, outputs = seen(params, points.x), self._outputs
        return Problem(net, outputs.loss, mu, inputs, outputs.coded(params, points.y, inputs))

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve the coordinates of all stages, beginning at h(x); then raise their multipliers, if there are any."""
        problem = self._problem(params, points, mu)
        forward = problem.net.forward(problem.seen)
        if self.multipliers:
            before = Rows.of(z, self._architecture.widths)
            net = number_of(self.functions(params))
            after, penalised, nested = raised(problem, before, forward, self.sweeps, net)
            values, new = after.values, after.stored()
        else:
            there = [z[:, place] for place in columns(self._architecture.widths)]
            values, penalised, nested = improved(problem, there, forward, self.sweeps)
            new = np.concatenate(values, axis=1)
        compared = slice(0, -1 if self.multipliers else None)  # not which net raised them
        named = self._outputs.sums(problem.net.head(forward[-1]), problem.y, nested)
        return new, Objective(
            points=len(points),
            penalised=float(penalised.sum(dtype=np.float64)),
            nested=named["loss"],
            violated=_difference(np.concatenate(values, axis=1), np.concatenate(forward, axis=1)),
            changed=_difference(new[:, compared], z[:, compared]),
            named=named,
        )

    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return the values of all stages, (n, units), and multipliers of 0; ``x`` may be overwritten."""
        forward = self._architecture.net(params).forward(seen(params, x))
        if self.multipliers:
            return Rows.entering(forward).stored()
        return np.concatenate(forward, axis=1)

    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """Return each point's loss, (n,)."""
        return self.outcomes(params, points)[self.watched]

    def outcomes(self, params: Mapping[str, Array], points: PointBlock) -> dict[str, Floats]:
        """See `Outputs.outcomes`."""
        problem = self._problem(params, points, 0.0)
        scores = problem.net.head(problem.net.features(problem.seen))
        return self._outputs.outcomes(params, scores, problem.y, points.y)

    def functions(self, params: Mapping[str, Array]) -> Tensors:
        """Return all but what the optimiser knows, one tensor a layer whatever the blocks."""
        kinds = [*(kind(i) for i in range(1, len(self.layers) + 1)), HEAD]
        own = {n: t for n, t in params.items() if n.startswith(("input/", "target/"))}
        for name in kinds:
            for what in ("weight", "bias"):
                own[f"{name}.{what}"] = layout.joined(params, name, what)
        return own

    # -- what users ask -------------------------------------------------------------------

    def features(self, params: Mapping[str, Array], x: Floats) -> Floats:
        """Return what the head sees of (n, D) points, (n, units); ``x`` may be overwritten."""
        return self._architecture.net(params).features(seen(params, x))

    def scores(self, params: Mapping[str, Array], x: Floats) -> Floats:
        """Return the head's scores of (n, D) points, (n, O); ``x`` may be overwritten."""
        net = self._architecture.net(params)
        return net.head(net.features(seen(params, x)))

    def evidence(self, params: Mapping[str, Array], x: Floats) -> tuple[Floats, Floats]:
        """Return the head's scores of (n, D) points, and inputs and last features, by which they could be told.

        (n, O) and (n, D + K); ``x`` may be overwritten.
        """
        net, inputs = self._architecture.net(params), seen(params, x)
        features = net.features(inputs)
        return net.head(features), np.concatenate([inputs, features], axis=1)

    def probabilities(self, params: Mapping[str, Array], x: Floats) -> Floats:
        """Return those of the classes, (n, C); ``x`` may be overwritten."""
        return probabilities(self.scores(params, x))

    def predict(self, params: Mapping[str, Array], x: Floats) -> Array:
        """See `Predictions.predict`: the likeliest class, or numbers in the units of y, of x for an autoencoder."""
        return self.said(params, self.scores(params, x))

    def said(self, params: Mapping[str, Array], scores: Floats) -> Array:
        """Return what (n, O) scores say, as `predict`."""
        return self._outputs.said(params, scores)

    def measures(self) -> NetMeasures:
        """See `NestedModel.measures`."""
        return ClassMeasures(self) if self.classes else NumberMeasures(self)

    def export(self, params: Mapping[str, Array]) -> Tensors:
        """Return weights that apply to raw inputs, ``layer1.weight`` and so on; see docs/deep-nets.md."""
        plain = self.functions(params)
        for number in range(1, len(self.layers) + 1):
            if self._architecture.factorises(number):
                plain[f"{kind(number)}.factors"] = plain.pop(f"{kind(number)}.weight").T
                del plain[f"{kind(number)}.bias"]
        scale, mean = params["input/scale"], params["input/mean"]
        weight = np.asarray(plain["layer1.weight"] / scale, np.float32)
        told = {n: t for n, t in plain.items() if not n.startswith(("input/", "target/"))}
        told |= {
            "layer1.weight": weight,
            "layer1.bias": np.asarray(plain["layer1.bias"] - weight @ mean, np.float32),
        }
        told["head.weight"], told["head.bias"] = self._outputs.in_units(
            params, told["head.weight"], told["head.bias"]
        )
        return told


def _difference(one: Floats, other: Floats) -> float:
    """Return the sum over points of the squared difference of their coordinates, as a share of both's squares."""
    apart = np.linalg.vecdot(one - other, one - other)
    both = np.linalg.vecdot(one, one) + np.linalg.vecdot(other, other)
    return float((apart / np.maximum(both, 1e-30)).sum(dtype=np.float64))
