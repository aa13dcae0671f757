"""What is to be trained, and the blocks in which it travels: a plan's input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from streammac.errors import StreammacError
from streammac.models import layout
from streammac.models.base import Block, NestedModel, Tensors
from streammac.models.binary_autoencoder import MAX_BITS, BinaryAutoencoderModel
from streammac.models.deep_net import DeepNetModel
from streammac.models.signature import Signature

MOST_POINTS = 10**12
MOST_DIM = 1 << 20
MOST_WORKERS = 1024


class BadPlan(StreammacError):
    """There is no plan for such numbers; the message names them and what is expected."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A block as a plan sees it.

    Attributes
    ----------
    block : Block
        Its name and laps.
    kind : str
        ``"encoder"`` or ``"decoder"``; of a net ``"layer1"`` and so on, and ``"head"``.
    submodels : float
        How many travel in it: hash functions (of blocks of unequal sizes the mean), or units.
    """

    block: Block
    kind: str
    submodels: float


class Weightless(BinaryAutoencoderModel):
    """A binary autoencoder whose blocks have names and laps, and nothing in them: for virtual time."""

    __slots__ = ()

    def start(self, block: Block, signature: Signature, params: object, age: float) -> Tensors:
        """Return the state of a block that has none."""
        return {}


class WeightlessNet(DeepNetModel):
    """The same of a deep net."""

    def start(self, block: Block, signature: Signature, params: object, age: float) -> Tensors:
        """Return the state of a block that has none."""
        return {}


class Workload(ABC):
    """What is to be trained.

    Attributes
    ----------
    points, dim : int
        Points in all shards together, N; their length, D.
    """

    __slots__ = ()
    points: int
    dim: int

    @property
    @abstractmethod
    def what(self) -> str:
        """What a model it is, in a few words: what costs were measured for."""

    @property
    @abstractmethod
    def model(self) -> NestedModel:
        """The model, with nothing in its blocks."""

    @property
    @abstractmethod
    def leading(self) -> tuple[str, int]:
        """The kind of blocks by which widths are told, and how many submodels of it there are."""

    @property
    def signature(self) -> Signature:
        """What the model sees of the stream."""
        return Signature(self.dim)

    def slices(self, workers: int) -> int:
        """Return in how many slices shards are cut: an epoch is of one of them."""
        return self.model.slices_for(max(1, self.points // workers), workers)

    def shard_points(self, workers: int) -> float:
        """Return the points of each shard that an epoch works on."""
        return self.points / workers / self.slices(workers)

    @abstractmethod
    def pieces(self, workers: int) -> tuple[Piece, ...]:
        """Return the blocks that travel among so many workers."""

    def _check(self, limits: Mapping[str, tuple[int, int]]) -> None:
        common = {"points": (1, MOST_POINTS), "dim": (1, MOST_DIM)}
        for name, (least, most) in {**common, **limits}.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise BadPlan(
                    f"{name}: expected a number from {least:,} to {most:,}, got {value:,}"
                )

    def check_workers(self, workers: int) -> None:
        """Refuse a ring that cannot be.

        Raises
        ------
        BadPlan
            If there are no workers, more than a plan reaches, or more than points.
        """
        most = min(MOST_WORKERS, self.points)
        if not 1 <= workers <= most:
            why = "points" if most < MOST_WORKERS else "what a plan reaches"
            raise BadPlan(f"workers: expected a number from 1 to {most:,} ({why}), got {workers:,}")


@dataclass(frozen=True, slots=True)
class CodeWorkload(Workload):
    """Codes by a binary autoencoder.

    Attributes
    ----------
    points, dim, bits : int
        Points in all shards together, N; their length, D; length of the codes, L.
    laps : int
        SGD passes of the hash functions per epoch, e.
    block_bits : int or None
        Hash functions per block; None: as `NestedModel.groups_for` chooses.
    """

    points: int
    dim: int
    bits: int
    laps: int = 2
    block_bits: int | None = None

    def __post_init__(self) -> None:
        self._check({"bits": (1, MAX_BITS), "laps": (1, 100), "block_bits": (1, self.bits)})

    @property
    def what(self) -> str:
        """See `Workload.what`."""
        return f"codes of {self.bits} bits"

    @property
    def leading(self) -> tuple[str, int]:
        """Hash functions."""
        return "encoder", self.bits

    @property
    def model(self) -> Weightless:
        """The model, with nothing in its blocks."""
        return Weightless(bits=self.bits, laps=self.laps, block_bits=self.block_bits)

    def pieces(self, workers: int) -> tuple[Piece, ...]:
        """See `Workload.pieces`.

        >>> [(p.block.name, p.block.laps, p.submodels) for p in CodeWorkload(60_000, 100, 32).pieces(2)]
        [('encoder/0-15', 2, 16.0), ('encoder/16-31', 2, 16.0), ('decoder/0-49', 1, 16.0), ('decoder/50-99', 1, 16.0)]
        """
        model = self.model
        blocks = model.blocks(self.signature, model.groups_for(workers))
        kinds = [block.name.split("/")[0] for block in blocks]
        count = Counter(kinds)
        return tuple(
            Piece(block, kind, self.bits / count[kind])
            for block, kind in zip(blocks, kinds, strict=True)
        )


@dataclass(frozen=True, slots=True)
class NetWorkload(Workload):
    """A deep net.

    Attributes
    ----------
    points, dim : int
        See `Workload`.
    layers : tuple of int
        Units of the hidden layers.
    classes : int
        Of the softmax at its end; 0: it is an autoencoder.
    slice_points : int
        Points of all shards that an epoch works on.
    """

    points: int
    dim: int
    layers: tuple[int, ...]
    classes: int = 0
    slice_points: int = 1500

    def __post_init__(self) -> None:
        self._check({"classes": (0, MOST_DIM), "slice_points": (1, MOST_POINTS)})
        try:
            _ = self.model
        except ValueError as error:
            raise BadPlan(str(error)) from None

    @property
    def what(self) -> str:
        """See `Workload.what`."""
        units = "-".join(map(str, (self.dim, *self.layers, self.classes or self.dim)))
        return f"a net {units}"

    @property
    def leading(self) -> tuple[str, int]:
        """The units of the first layer."""
        return "layer1", self.layers[0]

    @property
    def signature(self) -> Signature:
        """See `Workload.signature`."""
        return Signature(self.dim, 1 if self.classes else 0)

    @property
    def model(self) -> WeightlessNet:
        """See `Workload.model`."""
        layers, classes = self.layers, self.classes
        return WeightlessNet(layers, classes=classes, slice_points=self.slice_points)

    def pieces(self, workers: int) -> tuple[Piece, ...]:
        """See `Workload.pieces`.

        >>> [(p.block.name, p.submodels) for p in NetWorkload(60_000, 784, (32,), 10).pieces(2)]
        [('layer1/0-15', 16.0), ('layer1/16-31', 16.0), ('head/0-9', 10.0)]
        """
        model = self.model
        blocks = model.blocks(self.signature, model.groups_for(workers))
        return tuple(Piece(b, b.name.partition("/")[0], units(b)) for b in blocks)


def units(block: Block) -> float:
    """Return how many units a block of a net has."""
    rows = layout.rows(block.name)
    return float(rows.stop - rows.start)
