"""What is to be trained, and the blocks in which it travels: a plan's input."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streammac.errors import StreammacError
from streammac.models.base import Block, Tensors
from streammac.models.binary_autoencoder import MAX_BITS, BinaryAutoencoderModel
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
        ``"encoder"`` or ``"decoder"``.
    submodels : float
        How many travel in it (of blocks of unequal sizes the mean).
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


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be trained.

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
        limits = {
            "points": (1, MOST_POINTS),
            "dim": (1, MOST_DIM),
            "bits": (1, MAX_BITS),
            "laps": (1, 100),
            "block_bits": (1, self.bits),
        }
        for name, (least, most) in limits.items():
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

    @property
    def model(self) -> Weightless:
        """The model, with nothing in its blocks."""
        return Weightless(bits=self.bits, laps=self.laps, block_bits=self.block_bits)

    def pieces(self, workers: int) -> tuple[Piece, ...]:
        """Return the blocks that travel among so many workers.

        >>> [(p.block.name, p.block.laps, p.submodels) for p in Workload(60_000, 100, 32).pieces(2)]
        [('encoder/0-15', 2, 16.0), ('encoder/16-31', 2, 16.0), ('decoder/0-49', 1, 16.0), ('decoder/50-99', 1, 16.0)]
        """
        model = self.model
        blocks = model.blocks(Signature(self.dim), model.groups_for(workers))
        kinds = [block.name.split("/")[0] for block in blocks]
        count = Counter(kinds)
        return tuple(
            Piece(block, kind, self.bits / count[kind])
            for block, kind in zip(blocks, kinds, strict=True)
        )
