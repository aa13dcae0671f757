"""Codes whose bits other libraries' classifiers predict: h_l(x) is what learner l says of bit l.

Everything else is as in the binary autoencoder: the first model, the linear decoder, the Z step, the continuation. A
bit whose learner has learnt nothing yet is that of the first model. A learner begins with the first minibatch in which
its bit has both values, goes on through restarts, and rests with the continuation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from streammac.models import code_z_step, decoders, layout, limits
from streammac.models.alignment import alignment
from streammac.models.base import Array, Batch, Block, Floats, NestedModel, Objective, Tensors
from streammac.models.capabilities import Codes
from streammac.models.code_measures import CodeMeasures
from streammac.models.initialisation import Initialisation
from streammac.models.learners.converter import Converter, LearnerFailed
from streammac.models.learners.registry import converter
from streammac.models.outliers import centred, near_pairs
from streammac.models.penalty import Penalty
from streammac.models.signature import Signature
from streammac.points.block import PointBlock

MAX_BITS = 1024
MOST = np.float32(1e6)
"""Larger inputs are cut to it: points that are far have bits as well, and libraries refuse what is not finite."""
LINEAR = "init/encoder"
"""The hash functions of the first model."""
COMPONENTS = "input/components"
"""What they were when it was made, where learners see nothing else of a point."""
TRAINED = ("encoder/", "decoder/", "init/decoder", "init/offset")
"""What the W step makes anew."""


@dataclass(frozen=True, slots=True)
class LearnerCodesModel(NestedModel, Codes):
    """Hyper-parameters of codes by learners.

    Attributes
    ----------
    bits : int
        Length of the codes, L.
    learner : str
        Which kind of learners, see `streammac.models.learners.registry`.
    learner_options : dict
        Their parameters.
    serialiser : str or None
        What makes bytes of learners whose state is not arrays; installed by the owner of each process.
    inputs : {"points", "components"}
        What learners see of a point: all of it, centred and scaled, or the L rotated principal components whose
        signs are the code of the first model. Learners that are slow with many inputs want the latter.
    laps : int
        Passes of the learners over all data per epoch.
    visit_points : int or None
        At most so many points of a shard train a learner at one visit; None: all of them.
    mu_start, mu_factor, mu_cap, sample, seed
        See `streammac.models.binary_autoencoder.BinaryAutoencoderModel`; the seed is also that of the learners.
    """

    bits: int = 32
    learner: str = "sgd_classifier"
    learner_options: dict[str, Any] = field(default_factory=dict)
    inputs: Literal["points", "components"] = "points"
    laps: int = 1
    visit_points: int | None = None
    mu_start: float = 0.1
    mu_factor: float = 1.5
    mu_cap: float = 1.6
    sample: int = 8192
    seed: int = 0
    serialiser: str | None = None

    family: ClassVar[str] = "learner_codes"
    lasting = ("bits", "learner", "inputs", "serialiser")

    def __post_init__(self) -> None:
        within = {
            "bits": (1, MAX_BITS),
            "laps": (1, 100),
            "visit_points": (1, 1 << 30),
            "mu_start": (1e-9, 1e9),
            "mu_factor": (1, 100),
            "mu_cap": (1e-9, 1e9),
            "sample": (1, 1 << 30),
            "seed": (0, 1 << 62),
        }
        limits.check(self, within)
        _ = self._converter

    @property
    def _converter(self) -> Converter:
        return converter(self.learner, self.learner_options, self.seed, self.serialiser)

    @property
    def needs_keys(self) -> bool:
        """Bytes of a serialiser may hold code: only who has the cluster's key is believed."""
        return self.serialiser is not None

    @property
    def _initial(self) -> Initialisation:
        return Initialisation(self.bits, seed=self.seed)

    @property
    def _penalty(self) -> Penalty:
        return Penalty(self.mu_start, self.mu_factor, self.mu_cap)

    # -- structure ------------------------------------------------------------------------

    def hyper_parameters(self) -> dict[str, Any]:
        """See `NestedModel.hyper_parameters`."""
        return asdict(self)

    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return that of one code: L bytes that are 0 or 1."""
        return (self.bits,), np.dtype(np.uint8)

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        """Return the one block of a fresh epoch."""
        return (Block("init", self._initial.laps, self.sample),)

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the groups of learners, then the groups of decoders."""
        learners = layout.names("encoder", self.bits, groups)
        outputs = layout.names("decoder", signature.inputs, groups)
        return (
            *(Block(name, self.laps, self.visit_points) for name in learners),
            *(Block(name, 1) for name in outputs),
        )

    def groups_for(self, members: int) -> int:
        """Return as many groups as members: with decoders each has two blocks."""
        return max(1, min(members, self.bits))

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        """See `NestedModel.regrouped`."""
        if not params:
            return params
        blocks = [block.name for block in self.blocks(Signature(len(params["input/mean"])), groups)]
        learners = [name for name in blocks if name.startswith("encoder")]
        outputs = [name for name in blocks if name.startswith("decoder")]
        there = (layout.blocks_in(params, "encoder", "flips"), layout.blocks_in(params, "decoder"))
        if there == (learners, outputs):
            return params
        new = {name: value for name, value in params.items() if not name.startswith(TRAINED)}
        hashing = self._hashing(params)
        for name in learners:
            new |= hashing.block(name, layout.rows(name))
        return new | decoders.in_blocks(params, outputs)

    def prepare(self) -> None:
        """Load the compiled loops."""
        from streammac.models import hamming, kernels, sums_kernel

        kernels.compile_all()
        hamming.compile_all()
        sums_kernel.compile_all()

    # -- W step ---------------------------------------------------------------------------

    def start(
        self, block: Block, signature: Signature, params: Mapping[str, Array], age: float
    ) -> Tensors:
        """See `NestedModel.start`."""
        if block.name == "init":
            return self._initial.start(signature.inputs)
        if block.name.startswith("decoder"):
            return decoders.start(block.name, self.bits)
        state = self._hashing(params).block(block.name, layout.rows(block.name))
        if self.rests(age):
            state[f"{block.name}/rests"] = np.ones(1, np.uint8)
        return state

    def visit(
        self,
        block: Block,
        params: Mapping[str, Array],
        state: Tensors,
        lap: int,
        batches: Iterable[Batch],
    ) -> Tensors:
        """See `NestedModel.visit`."""
        if block.name == "init":
            return self._initial.visit(state, lap, batches)
        if block.name.startswith("decoder"):
            return decoders.visit(block.name, params, state, batches)
        if f"{block.name}/rests" in state:
            return state
        rows = layout.rows(block.name)
        known = _Hashing.of(state, rows)
        learners = [self._converter.learner(arrays) for arrays in known.learners]
        begun = [bool(arrays) for arrays in known.learners]
        mean, scale = params["input/mean"], decoders.scale_of(params)
        for batch in batches:
            x, z = near_pairs(batch, mean, scale)
            if len(x) == 0:
                continue
            seen, bits = self._seen(params, x), z[:, rows] ^ known.flips
            for number, learner in enumerate(learners):
                own = np.ascontiguousarray(bits[:, number])
                begun[number] = begun[number] or own.min() < own.max()
                if begun[number]:
                    self._learn(learner, seen, own)
        trained = [
            self._converter.arrays(learner) if has_begun else {}
            for learner, has_begun in zip(learners, begun, strict=True)
        ]
        return _Hashing(trained, known.flips).block(block.name, slice(None), first=rows.start)

    def _learn(self, learner: Any, x: Floats, bits: NDArray[np.uint8]) -> None:
        try:
            self._converter.learn(learner, x, bits)
        except (
            Exception
        ) as error:  # whatever a library raises, scikit-learn ValueError where numbers overflow
            raise LearnerFailed(f"{self.learner}: {error}") from error

    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """See `NestedModel.end_lap`."""
        if block.name == "init":
            state = self._initial.end_lap(state, lap)
            if lap == block.laps - 1 and self.inputs == "components":
                state[COMPONENTS] = state[LINEAR].copy()
            return state
        if block.name.startswith("decoder"):
            return decoders.end_lap(block.name, state)
        if lap < block.laps - 1:
            return state
        return {name: value for name, value in state.items() if not name.endswith("/rests")}

    def _seen(self, params: Mapping[str, Array], x: Floats) -> Floats:
        """Return what learners see of centred points, finite."""
        scale = params["input/scale"]
        with np.errstate(over="ignore", invalid="ignore"):  # of points beyond the range
            whole = self.inputs == "points"
            seen = x / scale if whole else x @ (params[COMPONENTS] / scale).T
        return np.nan_to_num(np.clip(seen, -MOST, MOST))

    # -- Z step and forward passes --------------------------------------------------------

    def mu(self, age: float) -> float:
        """See `streammac.models.penalty`."""
        return self._penalty.mu(age)

    def rests(self, age: float) -> bool:
        """See `streammac.models.penalty`."""
        return self._penalty.rests(age)

    @property
    def warm_age(self) -> int:
        """See `streammac.models.penalty`."""
        return self._penalty.warm_age

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve n codes; those of points that are far from all others stay, and count as left out."""
        decoder = decoders.decoder_of(params)
        sides = decoder.columns / np.float32(decoder.scale)

        def improve(x: Floats, z: Array) -> tuple[Array, Objective]:
            products: Floats = x @ sides.T
            h = self._bits(params, x)
            return code_z_step.improved(x, products, decoder, h, z, mu)

        x = centred(points.x, params["input/mean"])
        return code_z_step.of_near(x, z, decoder.scale, improve)

    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return the (n, L) bits of h(x); ``x`` may be overwritten."""
        return self._bits(params, centred(x, params["input/mean"]))

    def _bits(self, params: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """Return what the hash functions say of centred points."""
        with np.errstate(over="ignore", invalid="ignore"):  # of points beyond the range
            bits = (x @ (params[LINEAR] / params["input/scale"]).T > 0).astype(np.uint8)
        hashing = self._hashing(params)
        if len(x) == 0 or not any(hashing.learners):
            return bits
        seen = self._seen(params, x)
        for number, arrays in enumerate(hashing.learners):
            if arrays:
                bits[:, number] = self._converter.predict(arrays, seen) ^ hashing.flips[number]
        return bits

    def _hashing(self, params: Mapping[str, Array]) -> _Hashing:
        return _Hashing.of(params, slice(0, self.bits))

    def encode(self, params: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """Return packed codes, (n, ceil(L / 8)); ``x`` may be overwritten."""
        return np.packbits(self.coordinates(params, x), axis=1)

    def decode(self, params: Mapping[str, Array], z: Array) -> Floats:
        """Return (n, D) reconstructions of (n, L) bits, in the units of the inputs."""
        return decoders.decode(params, z)

    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """See `streammac.models.decoders.errors`, of z = h(x)."""
        return decoders.errors(params, points.x, self.coordinates(params, points.x.copy()))

    def functions(self, params: Mapping[str, Array]) -> Tensors:
        """Return the learners, the first model's hash functions, and the scaling of their inputs."""
        inputs = {n: tensor for n, tensor in params.items() if n.startswith(("input/", LINEAR))}
        return inputs | self._hashing(params).block("hash", slice(0, self.bits))

    def aligned(self, params: Mapping[str, Array], x: Floats, z: Array) -> Mapping[str, Array]:
        """Return the model with its bits in the order and with the signs with which the fewest differ from ``z``."""
        order, flips = alignment(self.coordinates(params, x.copy()), z)
        if not flips.any() and (order == np.arange(self.bits)).all():
            return params
        signs = np.where(flips, np.float32(-1), np.float32(1))
        new = dict(params) | {LINEAR: params[LINEAR][order] * signs[:, None]}
        blocks = layout.blocks_in(params, "encoder", "flips")
        new = {name: value for name, value in new.items() if not name.startswith("encoder/")}
        hashing = self._hashing(params)
        hashing = _Hashing([hashing.learners[bit] for bit in order], hashing.flips[order] ^ flips)
        for name in blocks:
            new |= hashing.block(name, layout.rows(name))
        return new | decoders.renamed(params, order, flips)

    def measures(self) -> CodeMeasures:
        """See `NestedModel.measures`."""
        return CodeMeasures(self)

    def linear(self, mean: Floats, weight: Floats) -> Tensors:
        """See `streammac.models.code_measures.HashModel.linear`."""
        return {"input/mean": mean, "input/scale": np.ones(1, np.float32), LINEAR: weight}

    def initial(self, params: Mapping[str, Array]) -> Tensors | None:
        """Return the parameters before the first W step: no learner has learnt anything in them."""
        return {name: value for name, value in params.items() if not name.startswith(TRAINED)}

    def export(self, params: Mapping[str, Array]) -> Tensors:
        """Return the decoder for raw outputs, and each learner's state for centred and scaled inputs.

        ``x ~ decoder.weight @ z + decoder.bias``; learner l says of ``(x - input.mean) / input.scale`` whether
        ``z[l] ^ hash.flips[l]``.
        """
        hashing = self._hashing(params).block("hash", slice(0, self.bits))
        inputs = {n: tensor for n, tensor in params.items() if n.startswith("input/")}
        every = inputs | hashing | {"first.weight": params[LINEAR]}
        return {n.replace("/", "."): v for n, v in every.items()} | decoders.plain(params)


@dataclass(frozen=True, slots=True)
class _Hashing:
    """Learners, each as its arrays (none: it has learnt nothing), and whether they predict a bit or its opposite."""

    learners: list[Tensors]
    flips: NDArray[np.uint8]  # (learners,)

    @classmethod
    def of(cls, tensors: Mapping[str, Array], bits: slice) -> _Hashing:
        """Return the learners of these bits, from a whole model or a block, whatever the layout."""
        learners: dict[int, Tensors] = {bit: {} for bit in range(bits.start, bits.stop)}
        flips = np.zeros(len(learners), np.uint8)
        for name, tensor in tensors.items():
            kind, _, path = name.partition("/")
            block, _, path = path.partition("/")
            bit, _, what = path.partition("/")
            if kind == "encoder" and path == "flips":
                rows = layout.rows(f"{kind}/{block}")
                flips[rows.start - bits.start : rows.stop - bits.start] = tensor
            elif kind == "encoder" and what:
                learners[int(bit)][what] = tensor
        return cls(list(learners.values()), flips)

    def block(self, name: str, rows: slice, first: int | None = None) -> Tensors:
        """Return some of them as a block; ``first`` is the bit of the first one, unless the rows say so."""
        first = rows.start if first is None else first
        tensors: Tensors = {f"{name}/flips": self.flips[rows]}
        for bit, arrays in enumerate(self.learners[rows], first):
            tensors |= {f"{name}/{bit}/{what}": value for what, value in arrays.items()}
        return tensors
