"""What the parts of an epoch cost: the constants of the runtime model, and the file they are kept in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import msgspec

from streammac.planning.workload import BadPlan, Piece, Workload


@dataclass(frozen=True, slots=True)
class VisitCost:
    """Seconds of a visit: ``fixed_s + points (point_s + submodels submodel_s)``.

    In the paper ``submodel_s`` is t_r^W, and the rest is nothing: here a block's submodels share the work of
    reading a point.
    """

    fixed_s: float
    point_s: float
    submodel_s: float

    def seconds(self, points: float, submodels: float) -> float:
        """Return the seconds of one visit."""
        return self.fixed_s + points * (self.point_s + submodels * self.submodel_s)


@dataclass(frozen=True, slots=True)
class TokenSize:
    """Bytes of each submodel of a block on its way: in training, and on the last round."""

    training: float
    final: float


@dataclass(frozen=True, slots=True)
class HopCost:
    """A hop takes ``latency_s + size byte_s``, from the end of a job to where the next one can begin."""

    latency_s: float
    byte_s: float


@dataclass(frozen=True, slots=True)
class Constants:
    """What was measured, and for what.

    Attributes
    ----------
    machine, vectors : str
        Where, and on what points.
    dim : int
        Costs of other vectors are others.
    what : str
        So are those of other models, see `Workload.what`.
    visits : mapping of str to VisitCost
        By kind of block.
    sizes : mapping of str to TokenSize
        By kind of block.
    z_fixed_s, z_point_s : float
        Seconds of the Z step, and of it for each point (in the paper M t_r^Z).
    hop : HopCost
        In the paper t_c^W is a hop of one submodel.
    once_point_s : float
        Seconds for each point that a worker takes once in an epoch, for all blocks: to find out who is near whom.
    """

    machine: str
    vectors: str
    dim: int
    what: str
    visits: Mapping[str, VisitCost]
    sizes: Mapping[str, TokenSize]
    z_fixed_s: float
    z_point_s: float
    hop: HopCost
    once_point_s: float = 0.0

    def visit_s(self, piece: Piece, points: float) -> float:
        """Return the seconds of a visit of a block at a shard of so many points."""
        return self.visits[piece.kind].seconds(points, piece.submodels)

    def once_s(self, points: float) -> float:
        """Return the seconds that a shard of so many points takes once in an epoch."""
        return points * self.once_point_s

    def z_step_s(self, points: float) -> float:
        """Return the seconds of a Z step."""
        return self.z_fixed_s + points * self.z_point_s

    def token_bytes(self, piece: Piece, *, final: bool) -> float:
        """Return the size of a block on its way."""
        size = self.sizes[piece.kind]
        return piece.submodels * (size.final if final else size.training)

    def hop_s(self, size: float) -> float:
        """Return the seconds of a hop of so many bytes."""
        return self.hop.latency_s + size * self.hop.byte_s

    def elsewhere(
        self, speed: float = 1.0, latency_s: float | None = None, byte_s: float | None = None
    ) -> Constants:
        """Return what holds on machines that compute so much faster, with another network between them."""
        visits = {
            kind: VisitCost(*(s / speed for s in (one.fixed_s, one.point_s, one.submodel_s)))
            for kind, one in self.visits.items()
        }
        hop = HopCost(
            self.hop.latency_s if latency_s is None else latency_s,
            self.hop.byte_s if byte_s is None else byte_s,
        )
        fixed, point = self.z_fixed_s / speed, self.z_point_s / speed
        once = self.once_point_s / speed
        return replace(
            self, visits=visits, hop=hop, z_fixed_s=fixed, z_point_s=point, once_point_s=once
        )

    def check(self, workload: Workload) -> None:
        """Refuse what these were not measured for, and what cannot have been measured.

        Raises
        ------
        BadPlan
            If something does not fit; the message names it.
        """
        if self.dim != workload.dim:
            raise BadPlan(
                f"dim: these constants are of {self.dim:,}, the plan is for {workload.dim:,}: measure them anew"
            )
        if self.what != workload.what:
            raise BadPlan(
                f"model: these constants are of {self.what}, the plan is for {workload.what}: measure them anew"
            )
        for kind in sorted({piece.kind for piece in workload.pieces(1)}):
            if kind not in self.visits or kind not in self.sizes:
                raise BadPlan(f"visits, sizes: nothing is said of {kind!r}")
        costs: list[VisitCost | TokenSize | HopCost] = [self.hop]
        costs += [*self.visits.values(), *self.sizes.values()]
        flat = [cost for one in costs for cost in astuple(one)]
        if not all(
            math.isfinite(v) and v >= 0
            for v in (*flat, self.z_fixed_s, self.z_point_s, self.once_point_s)
        ):
            raise BadPlan("costs: expected numbers of at least 0 that are finite")


def read(path: Path) -> Constants:
    """Return the constants in a file.

    Raises
    ------
    BadPlan
        If it holds something else; the message says where.
    OSError
        If it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Constants)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadPlan(f"{path}: these are no constants of a plan: {error}") from None


def write(path: Path, constants: Constants) -> None:
    """Keep constants in a file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(constants), indent=2) + b"\n")
