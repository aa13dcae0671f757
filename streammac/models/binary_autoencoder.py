"""The binary autoencoder: hash functions h(x) = step(Wx + b), linear decoder f(z) = Az + c.

Carreira-Perpinan & Raziperchikolaei, CVPR 2015, in the blocks in which ParMAC moves it: groups of hash
functions, each a linear SVM, and groups of decoders, each a linear regression. The ring sees only the
`NestedModel` interface.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streammac.models import layout
from streammac.models.alignment import alignment
from streammac.models.base import Array, Batch, Block, Floats, NestedModel, Objective, Tensors
from streammac.models.capabilities import Codes
from streammac.models.code_measures import CodeMeasures
from streammac.models.fourier import amplitude, drawn, features, usual
from streammac.models.initialisation import Initialisation
from streammac.models.least_squares import Sums, solve
from streammac.models.linear_svm import SvmState, train
from streammac.models.neighbours import Neighbours, Pool
from streammac.models.outliers import centred, far, reach, squares
from streammac.models.signature import Signature
from streammac.points.block import PointBlock

if TYPE_CHECKING:
    from streammac.models.row_kernel import Inputs

ENUMERATE_BITS = 10
"""Up to so many bits the Z step tries all codes; above, it alternates over bits."""
MAX_BITS = 1024
MAX_FEATURES = 1 << 16
LEAST_MU = 3e-5
"""Relative as mu is: below it float32 cannot solve the relaxed problem."""
WARM = 0.3
"""A warm continuation begins with so much of the largest penalty: what has been learned is not let go."""
TRAINED = ("encoder/", "decoder/", "init/decoder", "init/offset")
"""What the W step makes anew."""
_SUMS = "sums of all decoders"
"""Under this name they are in the memo of an epoch's points."""
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
        limits = {
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
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if value is None and name == "block_bits":
                continue
            if not least <= value <= most:
                raise ValueError(f"{name}: expected a number from {least} to {most}, got {value!r}")

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
        A, c = self._decoder(params)
        new = {name: value for name, value in params.items() if not name.startswith(TRAINED)}
        hashing = self._hashing(params)
        for name in blocks:
            rows = layout.rows(name)
            if name.startswith("encoder"):
                new |= hashing.block(name, rows)
            else:
                new |= {f"{name}/weight": A[rows], f"{name}/bias": c[rows]}
        return new

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
            outputs = layout.rows(block.name)
            return Sums.empty(self.bits, outputs.stop - outputs.start).tensors(f"{block.name}/")
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
        sums = Sums.of(state, f"{block.name}/")
        sums.include(self._sums(params, batches), layout.rows(block.name))
        return sums.tensors(f"{block.name}/")

    def _sums(self, params: Mapping[str, Array], batches: Iterable[Batch]) -> Sums:
        """Return what all decoders need of one shard's points, made at the first visit of one in an epoch."""
        from streammac.models.sums_kernel import add_rows

        inputs = _inputs_of(params)
        sums = Sums.empty(self.bits, len(inputs.mean))
        for batch in batches:
            if _SUMS in batch.memo:
                known: Sums = batch.memo[_SUMS]
                return known
            add_rows(sums, batch, inputs)
            memo = batch.memo
        if sums.gram.any():
            memo[_SUMS] = sums
        return sums

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

            inputs = _inputs_of(params)
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
            weight, offset = solve(state[f"{name}/gram"], state[f"{name}/cross"])
            return {f"{name}/weight": weight, f"{name}/bias": offset}
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
        # the exponent is bounded: ages go on for ever, floats do not
        return float(min(self.mu_cap, self.mu_start * self.mu_factor ** min(age, 1000)))

    def rests(self, age: float) -> bool:
        """Return whether the hash functions are left as they are: z = h(x) holds everywhere by now.

        Training them further on their own outputs would only let them wander (docs/decisions).
        """
        return age > 0 and self.mu(age - 1) >= self.mu_cap

    @property
    def warm_age(self) -> int:
        """The first age with a penalty of at least `WARM` of the cap."""
        return bisect_left(range(1000), WARM * self.mu_cap, key=self.mu)

    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve n codes; those of points that are far from all others stay, and count as left out."""
        x = centred(points.x, params["input/mean"])
        beyond = far(x, reach(float(params["input/scale"][0]), x.shape[1]))
        if beyond is None:
            return self._improve(params, x, z, mu)
        new = z.copy()
        new[~beyond], objective = self._improve(params, x[~beyond], z[~beyond], mu)
        return new, replace(objective, left_out=int(beyond.sum()))

    def _improve(
        self, params: Mapping[str, Array], x: Floats, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve codes of centred points; exact by enumeration for few bits, else alternating over bits.

        The alternation starts from the best of three codes: the current one, h(x), and the solution of the
        problem without its constraint to bits, ``(A^T A + mu I) z = A^T (x - c) + mu h(x)``, truncated.
        """
        from streammac.models import kernels

        scale = np.float32(params["input/scale"][0])
        weight, bias = self._encoder(params)
        A, c = self._decoder(params)
        # one product for all that is needed of x; the scaling is done on the small side
        dim = x.shape[1]
        products = x @ (np.concatenate([weight[:, :dim], A.T, c[None]]) / scale).T
        own = products[:, : self.bits] + bias
        h = (own + _bent(params, x, weight) > 0).astype(np.uint8)
        G = A.T @ A
        q = products[:, self.bits : -1] - c @ A
        penalty = np.float32(mu * max(float(np.trace(G)) / self.bits, 1e-12))
        if self.bits <= ENUMERATE_BITS:
            new = z.copy()
            kernels.enumerate_codes(G, q, h, new, penalty)
        else:
            new = _least(G, q, h, penalty, (z, h, self._relaxed(G, q, h, penalty)))
            kernels.alternate(G, q, h, new, penalty)
        # sum over points of ||x - c||^2
        norms = squares(x).sum(dtype=np.float64) / float(scale) ** 2
        mixed = products[:, -1].sum(dtype=np.float64)
        constant = float(norms - 2.0 * mixed + len(x) * float(c @ c))
        penalised, nested = (
            constant + _values(G, q, h, code, penalty).sum(dtype=np.float64) for code in (new, h)
        )
        return new, Objective(
            points=len(x),
            penalised=_squares(penalised) / dim,
            nested=_squares(nested) / dim,
            violated=np.count_nonzero(new != h) / self.bits,
            changed=np.count_nonzero(new != z) / self.bits,
        )

    def _relaxed(
        self, G: Floats, q: Floats, h: NDArray[np.uint8], penalty: np.float32
    ) -> NDArray[np.uint8]:
        # bits that say the same, or nothing, make G singular, and a tiny penalty is lost beside it
        ridge = max(penalty, np.float32(LEAST_MU * np.trace(G) / self.bits))
        system = G + ridge * np.eye(self.bits, dtype=np.float32)
        inverse = np.linalg.inv(system.astype(np.float64)).astype(np.float32)
        return ((q + penalty * h) @ inverse > 0.5).astype(np.uint8)

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

    def _decoder(self, params: Mapping[str, Array]) -> tuple[Floats, Floats]:
        """Return weights (D, L) and offsets (D,) for centred and scaled outputs."""
        if not layout.blocks_in(params, "decoder"):
            return params["init/decoder"], params["init/offset"]
        return layout.joined(params, "decoder", "weight"), layout.joined(params, "decoder", "bias")

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
        for name in params:
            side, _, last = name.rpartition("/")
            if last == "decoder" or (side.startswith("decoder") and last == "weight"):
                offset = "init/offset" if last == "decoder" else f"{side}/bias"
                columns = params[name][:, order]
                # a bit that is negated says with 0 what it said with 1
                new[offset] = params[offset] + columns[:, flips].sum(axis=1)
                new[name] = columns * signs
        return new

    def decode(self, params: Mapping[str, Array], z: Array) -> Floats:
        """Return (n, D) reconstructions of (n, L) bits, in the units of the inputs."""
        A, c = self._decoder(params)
        scaled = z.astype(np.float32) @ A.T + c
        return np.asarray(scaled * params["input/scale"] + params["input/mean"], np.float32)

    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """Return ``||x - f(h(x))||^2 / D`` in units of the mean variance, (n,); far points have the largest."""
        x = points.x
        scale, dim = float(params["input/scale"][0]), x.shape[1]
        reconstruction = self.decode(params, self.coordinates(params, x.copy()))
        squared = squares(centred(x.copy(), reconstruction))
        return np.asarray(np.fmin(squared, reach(scale, dim)) / (dim * scale**2), np.float32)

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
        A, c = self._decoder(params)
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
        return bent | {
            "encoder.weight": np.asarray(raw, np.float32),
            "encoder.bias": np.asarray(shift, np.float32),
            "decoder.weight": np.asarray(A * scale, np.float32),
            "decoder.bias": np.asarray(c * scale + mean, np.float32),
        }


def _values(
    G: Floats, q: Floats, h: NDArray[np.uint8], z: NDArray[np.uint8], penalty: np.float32
) -> Floats:
    """Return each code's objective without its constant (`streammac.models.kernels`), (n,)."""
    code = z.astype(np.float32)
    slope = code @ G
    slope -= 2.0 * q
    values: Floats = np.linalg.vecdot(slope, code)
    code -= h
    values += penalty * np.linalg.vecdot(code, code)
    return values


def _least(
    G: Floats,
    q: Floats,
    h: NDArray[np.uint8],
    penalty: np.float32,
    codes: tuple[NDArray[np.uint8], ...],
) -> NDArray[np.uint8]:
    """Return for each point the code with the least objective, (n, L); of equals the first."""
    least, *others = codes
    value = _values(G, q, h, least, penalty)
    for code in others:
        other = _values(G, q, h, code, penalty)
        better = other < value
        least = np.where(better[:, None], code, least)
        value = np.where(better, other, value)
    return least


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


def _squares(total: np.float64) -> float:
    """Return a sum of squares, which rounding must not make negative; NaN stays NaN."""
    return float(np.maximum(0.0, total))


def _inputs_of(params: Mapping[str, Array]) -> Inputs:
    """Return how compiled loops make inputs of points."""
    from streammac.models.row_kernel import Inputs

    mean, scale = params["input/mean"], float(params["input/scale"][0])
    return Inputs(mean, np.float32(1.0 / scale), np.float32(reach(scale, len(mean))))


def _coordinates_of(batch: Batch) -> Array:
    assert batch.z is not None, "there are coordinates in every epoch but a fresh one"
    return batch.z


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
        x, z = centred(batch.x, mean), _coordinates_of(batch)
        beyond = far(x, reach(scale, len(mean)))
        if beyond is not None:
            x, z = x[~beyond], z[~beyond]
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
