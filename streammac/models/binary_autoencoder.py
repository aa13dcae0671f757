"""The binary autoencoder: hash functions h(x) = step(Wx + b), linear decoder f(z) = Az + c.

Carreira-Perpinan & Raziperchikolaei, CVPR 2015, in the blocks in which ParMAC moves it: groups of hash
functions, each a linear SVM, and groups of decoders, each a linear regression. The ring sees only the
`NestedModel` interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streammac.models import code_z_step, decoders, layout, limits
from streammac.models.alignment import alignment
from streammac.models.base import Array, Batch, Block, Floats, NestedModel, Objective, Tensors
from streammac.models.capabilities import Codes
from streammac.models.code_measures import CodeMeasures
from streammac.models.fourier import amplitude, drawn, features, usual
from streammac.models.initialisation import Initialisation
from streammac.models.linear_svm import SvmState, train
from streammac.models.neighbours import Neighbours, Pool
from streammac.models.outliers import centred, near_pairs
from streammac.models.penalty import Penalty
from streammac.models.signature import Signature
from streammac.points.block import PointBlock

MAX_BITS = 1024
MAX_FEATURES = 1 << 16
TRAINED = ("encoder/", "decoder/", "init/decoder", "init/offset")
"""What the W step makes anew."""
LEAST_BLOCK_BITS = 4
"""The compiled loops train hash functions four by four."""


@dataclass(frozen=True, slots=True)
class BinaryAutoencoderModel(NestedModel, Codes):
    """Hyper-parameters of a binary autoencoder.

    Attributes
    ----------
    bits : int
        Length of the codes, L.
    laps : int
        SGD passes of the hash functions over all data per epoch (``e`` in ParMAC).
    block_bits : int or None
        Hash functions per block; None: as suits the number of machines, see `groups_for`.
    decay : float
        L2 regularisation of the SVMs, lambda.
    neighbours : float
        Weight of the neighbours' loss of the hash functions beside their hinge loss; 0: none.
    features : int
        Random Fourier features that the hash functions see beside the inputs; 0: they are linear.
    mu_start, mu_factor, mu_cap : float
        Continuation: ``mu = min(mu_cap, mu_start mu_factor^age)``, in units of the mean squared norm of the
        decoder's columns, which makes one schedule fit all data and code lengths. Where mu has reached
        the cap the constraints hold, and the hash functions rest until a restart.
    rotations, starts, refined : int
        Of the initial model: ITQ iterations, random rotations that compete, and how many of these
        ITQ improves.
    sample : int
        Points of each shard that are used per lap of the initial epoch.
    seed : int
        Seed of the initial rotation.
    """

    bits: int = 32
    laps: int = 2
    block_bits: int | None = None
    decay: float = 1e-5
    neighbours: float = 100.0
    features: int = 0
    mu_start: float = 0.1
    mu_factor: float = 1.5
    mu_cap: float = 1.6
    rotations: int = 40
    starts: int = 24
    refined: int = 6
    sample: int = 8192
    seed: int = 0

    family: ClassVar[str] = "binary_autoencoder"
    lasting = ("bits",)

    def __post_init__(self) -> None:
        within = {
            "bits": (1, MAX_BITS),
            "laps": (1, 100),
            "block_bits": (1, MAX_BITS),
            "decay": (0, 1),
            "neighbours": (0, 1e6),
            "features": (0, MAX_FEATURES),
            "mu_start": (1e-9, 1e9),
            "mu_factor": (1, 100),
            "mu_cap": (1e-9, 1e9),
            "rotations": (1, 1000),
            "starts": (1, 1000),
            "refined": (1, self.starts),
            "sample": (1, 1 << 30),
            "seed": (0, 1 << 62),
        }
        limits.check(self, within)

    # -- structure ------------------------------------------------------------------------

    def hyper_parameters(self) -> dict[str, Any]:
        """See `NestedModel.hyper_parameters`."""
        return asdict(self)

    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return that of one code: L bytes that are 0 or 1."""
        return (self.bits,), np.dtype(np.uint8)

    @property
    def _initial(self) -> Initialisation:
        return Initialisation(self.bits, self.rotations, self.starts, self.refined, self.seed)

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        """Return the one block of a fresh epoch."""
        return (Block("init", self._initial.laps, self.sample),)

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the groups of hash functions, then the groups of decoders."""
        unit = LEAST_BLOCK_BITS if self.block_bits is None else 1
        bits = layout.names("encoder", self.bits, groups, unit)
        encoders = [Block(name, self.laps) for name in bits]
        decoders = [Block(name, 1) for name in layout.names("decoder", signature.inputs, groups)]
        return (*encoders, *decoders)

    def groups_for(self, members: int) -> int:
        """Return as many groups as members, as long as each has four bits; with decoders each member has two blocks.

        More of them would hide hops better. But to read points costs a narrow block as much as a wide one, and the
        neighbours' loss sees fewer bits at a time in narrow ones.
        """
        if self.block_bits is not None:
            return -(-self.bits // self.block_bits)
        return max(1, min(members, self.bits // LEAST_BLOCK_BITS))

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        """See `NestedModel.regrouped`."""
        if not params:
            return params
        signature = Signature(len(params["input/mean"]))
        blocks = {block.name for block in self.blocks(signature, groups)}
        there = {*layout.blocks_in(params, "encoder"), *layout.blocks_in(params, "decoder")}
        if there == blocks:
            return params
        new = {name: value for name, value in params.items() if not name.startswith(TRAINED)}
        hashing = self._hashing(params)
        for name in blocks:
            if name.startswith("encoder"):
                new |= hashing.block(name, layout.rows(name))
        return new | decoders.in_blocks(params, (n for n in blocks if n.startswith("decoder")))

    def prepare(self) -> None:
        """Load the compiled loops."""
        from streammac.models import compiled_svm, hamming, kernels, sums_kernel

        kernels.compile_all()
        hamming.compile_all()
        compiled_svm.compile_all()
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
        name = block.name
        state = _unpack(name, params)
        if age == 0:  # a restart: the step size is tuned anew
            state = SvmState.untuned(state.weight, state.bias)
        if self.rests(age):
            return _pack(name, state) | {f"{name}/rests": np.ones(1, np.uint8)}
        return _pack(name, state)

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
        if block.name.startswith("encoder"):
            if f"{block.name}/rests" in state:
                return state
            svm = self._descend(block, params, _unpack(block.name, state), lap, batches)
            return _pack(block.name, svm)
        return decoders.visit(block.name, params, state, batches)

    def _descend(
        self,
        block: Block,
        params: Mapping[str, Array],
        svm: SvmState,
        lap: int,
        batches: Iterable[Batch],
    ) -> SvmState:
        """Train hash functions on one shard: by compiled loops, or in numpy where they see more than the inputs."""
        part, average = layout.rows(block.name), lap == block.laps - 1
        mean, scale = params["input/mean"], float(params["input/scale"][0])
        loss = Neighbours(part, self.neighbours) if self.neighbours else None
        if not self.features:
            from streammac.models import compiled_svm
            from streammac.models.row_kernel import inputs_of

            inputs = inputs_of(params)
            return compiled_svm.train(
                svm, batches, inputs, self.decay, average=average, part=part, neighbours=loss
            )
        pool = Pool(loss, len(mean)) if loss else None
        pairs = _inputs(batches, params, part, pool)
        return train(svm, pairs, scale, self.decay, average=average, pool=pool)

    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """See `NestedModel.end_lap`."""
        if block.name == "init":
            state = self._initial.end_lap(state, lap)
            return state if lap < block.laps - 1 else self._with_features(state)
        name = block.name
        if name.startswith("decoder"):
            return decoders.end_lap(name, state)
        if lap < block.laps - 1:
            return state
        return _pack(name, _unpack(name, state).averaged())

    def _with_features(self, first: Tensors) -> Tensors:
        """Return a first model whose hash functions see the features, and make nothing of them yet."""
        weight = first["init/encoder"]
        if self.features:
            weight = np.pad(weight, ((0, 0), (0, self.features)))
        return first | {
            "init/encoder": weight,
            **drawn(self.features, len(first["input/mean"]), self.seed),
        }

    # -- Z step and forward passes --------------------------------------------------------

    def mu(self, age: float) -> float:
        """Return the penalty relative to the mean squared norm of the decoder's columns."""
        return self._penalty.mu(age)

    def rests(self, age: float) -> bool:
        """Return whether the hash functions are left as they are: z = h(x) holds everywhere by now.

        Training them further on their own outputs would only let them wander (docs/decisions).
        """
        return self._penalty.rests(age)

    @property
    def warm_age(self) -> int:
        """See `streammac.models.penalty.Penalty.warm_age`."""
        return self._penalty.warm_age

    @property
    def _penalty(self) -> Penalty:
        return Penalty(self.mu_start, self.mu_factor, self.mu_cap)

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve n codes; those of points that are far from all others stay, and count as left out."""
        x = centred(points.x, params["input/mean"])
        return code_z_step.of_near(
            x, z, decoders.scale_of(params), lambda x, z: self._improve(params, x, z, mu)
        )

    def _improve(
        self, params: Mapping[str, Array], x: Floats, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve codes of centred points; see `streammac.models.code_z_step.improved`."""
        weight, bias = self._encoder(params)
        decoder = decoders.decoder_of(params)
        # one product for all that is needed of x; the scaling is done on the small side
        sides = np.concatenate([weight[:, : x.shape[1]], decoder.columns])
        products = x @ np.asarray(sides / np.float32(decoder.scale), np.float32).T
        own = products[:, : self.bits] + bias
        h = (own + _bent(params, x, weight) > 0).astype(np.uint8)
        return code_z_step.improved(x, products[:, self.bits :], decoder, h, z, mu)

    def _encoder(self, params: Mapping[str, Array]) -> tuple[Floats, Floats]:
        """Return weights (L, D) and biases (L,) for centred and scaled inputs."""
        if not layout.blocks_in(params, "encoder"):
            return params["init/encoder"], np.zeros(self.bits, np.float32)
        return layout.joined(params, "encoder", "weight"), layout.joined(params, "encoder", "bias")

    def _hashing(self, params: Mapping[str, Array]) -> _Hashing:
        weight, bias = self._encoder(params)
        states = [_unpack(name, params) for name in layout.blocks_in(params, "encoder")]
        if not states:  # a first model
            zeros = np.zeros(self.bits)
            return _Hashing(weight, bias, zeros, zeros)
        sizes = [len(state.bias) for state in states]
        eta0 = np.concatenate([state.eta0 for state in states])
        return _Hashing(weight, bias, eta0, np.repeat([state.steps for state in states], sizes))

    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return the (n, L) bits of h(x); ``x`` may be overwritten."""
        weight, bias = self._encoder(params)
        x = centred(x, params["input/mean"])
        with np.errstate(over="ignore", invalid="ignore"):  # of points beyond the range
            linear = x @ (weight[:, : x.shape[1]] / params["input/scale"]).T + bias
            return (linear + _bent(params, x, weight) > 0).astype(np.uint8)

    def encode(self, params: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """Return packed codes, (n, ceil(L / 8)); ``x`` may be overwritten."""
        return np.packbits(self.coordinates(params, x), axis=1)

    def functions(self, params: Mapping[str, Array]) -> Tensors:
        """Return the hash functions and the scaling of their inputs."""
        weight, bias = self._encoder(params)
        inputs = {name: tensor for name, tensor in params.items() if name.startswith("input/")}
        return {"weight": weight, "bias": bias, **inputs}

    def aligned(self, params: Mapping[str, Array], x: Floats, z: Array) -> Mapping[str, Array]:
        """Return the model with its bits in the order and with the signs with which the fewest differ from ``z``."""
        return self.renamed(params, *alignment(self.coordinates(params, x.copy()), z))

    def renamed(
        self, params: Mapping[str, Array], order: NDArray[np.int64], flips: NDArray[np.bool_]
    ) -> Mapping[str, Array]:
        """Return the same model with ``coordinates(...)[:, order] ^ flips`` for its coordinates."""
        if not flips.any() and (order == np.arange(self.bits)).all():
            return params
        new = dict(params)
        signs = np.where(flips, np.float32(-1), np.float32(1))
        if "init/encoder" in params:
            new["init/encoder"] = params["init/encoder"][order] * signs[:, None]
        hashing, first = self._hashing(params).renamed(order, signs), 0
        for name in layout.blocks_in(params, "encoder"):
            part = slice(first, first + len(params[f"{name}/bias"]))
            new |= hashing.block(name, part)
            first = part.stop
        return new | decoders.renamed(params, order, flips)

    def decode(self, params: Mapping[str, Array], z: Array) -> Floats:
        """Return (n, D) reconstructions of (n, L) bits, in the units of the inputs."""
        return decoders.decode(params, z)

    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """See `streammac.models.decoders.errors`, of z = h(x)."""
        return decoders.errors(params, points.x, self.coordinates(params, points.x.copy()))

    def measures(self) -> CodeMeasures:
        """See `NestedModel.measures`."""
        return CodeMeasures(self)

    def linear(self, mean: Floats, weight: Floats) -> Tensors:
        """See `streammac.models.code_measures.HashModel.linear`."""
        scale = np.ones(1, np.float32)
        return {"input/mean": mean, "input/scale": scale, "init/encoder": weight}

    def initial(self, params: Mapping[str, Array]) -> Tensors | None:
        """Return the parameters before the first W step: no submodel has been trained in them."""
        if "init/encoder" not in params:
            return None
        return {name: value for name, value in params.items() if not name.startswith(TRAINED)}

    def export(self, params: Mapping[str, Array]) -> Tensors:
        """Return plain tensors for raw inputs.

        ``z = (encoder.weight @ x + encoder.bias > 0)`` and ``x ~ decoder.weight @ z + decoder.bias``. With random
        features the hash functions apply to ``[x, cos(features.weight @ x + features.bias)]``.
        """
        weight, bias = self._encoder(params)
        mean, scale = params["input/mean"], params["input/scale"]
        raw: Array = weight[:, : len(mean)] / scale
        shift: Array = bias - raw @ mean
        bent: Tensors = {}
        if "input/frequencies" in params:
            frequencies, phases = params["input/frequencies"], params["input/phases"]
            of_cosines = weight[:, len(mean) :] * amplitude(frequencies)
            shift = shift - of_cosines @ usual(frequencies, phases)
            raw = np.concatenate([raw, of_cosines], axis=1)
            bent["features.weight"] = np.asarray(frequencies / scale, np.float32)
            bent["features.bias"] = np.asarray(phases - (frequencies / scale) @ mean, np.float32)
        encoder: Tensors = {
            "encoder.weight": np.asarray(raw, np.float32),
            "encoder.bias": np.asarray(shift, np.float32),
        }
        return bent | encoder | decoders.plain(params)


@dataclass(frozen=True, slots=True)
class _Hashing:
    """All hash functions, each with what its block knows of the optimiser."""

    weight: Floats  # (L, D)
    bias: Floats  # (L,)
    eta0: Array  # (L,)
    steps: Array  # (L,)

    def renamed(self, order: NDArray[np.int64], signs: Floats) -> _Hashing:
        """Return the same ones in another order, some of them negated."""
        weight, bias = self.weight[order] * signs[:, None], self.bias[order] * signs
        return _Hashing(weight, bias, self.eta0[order], self.steps[order])

    def block(self, name: str, rows: slice) -> Tensors:
        """Return some of them as a block; they go on from the mean of their steps."""
        steps = int(self.steps[rows].mean())
        return _pack(name, SvmState(self.weight[rows], self.bias[rows], self.eta0[rows], steps))


def _bent(params: Mapping[str, Array], x: Floats, weight: Floats) -> Floats | float:
    """Return what the features of centred points add to their activations, (n, L) or 0."""
    seen = features(params, x)
    if seen is None:
        return 0.0
    return np.asarray(seen @ (weight[:, x.shape[1] :] / params["input/scale"]).T, np.float32)


def _inputs(
    batches: Iterable[Batch],
    params: Mapping[str, Array],
    part: slice,
    pool: Pool | None,
) -> Iterator[tuple[Floats, NDArray[np.uint8]]]:
    """Yield what hash functions see of the points that are not far, centred, with the wanted bits.

    The pool of the neighbours' loss gets the same.
    """
    mean, scale = params["input/mean"], float(params["input/scale"][0])
    for batch in batches:
        x, z = near_pairs(batch, mean, scale)
        if len(x) == 0:
            continue
        bent = features(params, x)
        if bent is not None:
            x = np.concatenate([x, bent], axis=1)
        if pool is not None:
            pool.add(x, z)
        yield x, z[:, part]


def _pack(name: str, state: SvmState) -> Tensors:
    tensors: Tensors = {
        f"{name}/weight": state.weight,
        f"{name}/bias": state.bias,
        f"{name}/eta0": state.eta0,
        f"{name}/steps": np.array([state.steps], np.int64),
    }
    if state.weight_sum is not None and state.bias_sum is not None:
        tensors |= {
            f"{name}/weight_sum": state.weight_sum,
            f"{name}/bias_sum": state.bias_sum,
            f"{name}/summed": np.array([state.summed], np.int64),
        }
    return tensors


def _unpack(name: str, tensors: Mapping[str, Array]) -> SvmState:
    summed = tensors.get(f"{name}/summed")
    return SvmState(
        tensors[f"{name}/weight"],
        tensors[f"{name}/bias"],
        # an older release had one step size for all
        np.broadcast_to(tensors[f"{name}/eta0"], len(tensors[f"{name}/bias"])),
        int(tensors[f"{name}/steps"][0]),
        tensors.get(f"{name}/weight_sum"),
        tensors.get(f"{name}/bias_sum"),
        0 if summed is None else int(summed[0]),
    )
