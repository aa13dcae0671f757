"""What a nested model must offer so that the ring can train it.

A nested model is trained by the method of auxiliary coordinates (MAC; Carreira-Perpinan & Wang,
AISTATS 2014): its units fall apart into independent *submodels*, grouped here in *blocks* that
travel together, and every data point gets *auxiliary coordinates* ``z``. Everything outside
``streammac.models`` sees a model only through `NestedModel`; nothing else knows what a binary
autoencoder is.

All methods are pure functions of arrays: no I/O, no clock, no global random state. What a model
learns is a flat mapping of named tensors, so it can be sent, stored and compared without knowing it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from streammac.points.stored_rows import StoredRows

if TYPE_CHECKING:
    from streammac.models.measures import Measures

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Tensors: TypeAlias = dict[str, Array]
"""Named tensors: the state of one block on its way, or of the whole model (the union over blocks)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A group of submodels that travel the ring together.

    Attributes
    ----------
    name : str
        Unique within the model, e.g. ``"encoder/0-7"``.
    laps : int
        Training laps per epoch (``e`` in the ParMAC paper, section 3).
    sample : int or None
        At most so many points of a shard are used at one visit; None for all of them.
    alone : bool
        Only the member where it starts trains it, on a part of its shard that no other such block of this member has.
        The others just pass it on, in its one lap: so nobody ends an epoch that others have not begun.
    """

    name: str
    laps: int
    sample: int | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """Sums over points, so that those of several shards add up (MAC, equation 2).

    Attributes
    ----------
    points : int
        Points that the sums run over.
    penalised : float
        ``E_Q``: reconstruction from z, plus mu times the squared constraint violation.
    nested : float
        ``E``: the error of the nested model itself, z = h(x).
    violated : float
        Sum over points of the share of their coordinates that differs from the forward pass.
    changed : float
        Sum over points of the share of their coordinates that this Z step changed. Of coordinates that are numbers,
        here and above: the squared difference as a share of both's squares.
    left_out : int
        Points that none of the sums runs over, because they are too far from all others.
    named : mapping
        Further sums that a family tells of, by name.
    """

    points: int = 0
    penalised: float = 0.0
    nested: float = 0.0
    violated: float = 0.0
    changed: float = 0.0
    left_out: int = 0
    named: Mapping[str, float] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """Return the nested error per point; NaN where it is of none."""
        return self.nested / self.points if self.points else math.nan

    def __add__(self, other: Objective) -> Objective:
        return Objective(
            self.points + other.points,
            self.penalised + other.penalised,
            self.nested + other.nested,
            self.violated + other.violated,
            self.changed + other.changed,
            self.left_out + other.left_out,
            added(self.named, other.named),
        )

    def sums(self) -> dict[str, float]:
        """Return all sums by name."""
        own = {name: float(getattr(self, name)) for name in SUMS}
        return own | {name: float(value) for name, value in self.named.items()}


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return sums by name, each with the other of its name."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


SUMS = frozenset({"points", "penalised", "nested", "violated", "changed", "left_out"})
"""The sums of an `Objective` that all families have."""


class LocalData(Protocol):
    """What training needs from a shard: rows of x, y and z by position.

    ``rows`` is a slice or an increasing array of positions in ``[0, len(self))``.
    """

    @property
    def dim(self) -> int:
        """Length of x."""
        ...

    @property
    def targets(self) -> int:
        """Length of y; 0: there are none."""
        ...

    def __len__(self) -> int: ...
    def x(self, rows: slice | NDArray[np.int64], out: Floats | None = None) -> Floats:
        """Return an (n, D) float32 copy, in ``out`` (at least n rows) if it is given."""
        ...

    def y(self, rows: slice | NDArray[np.int64]) -> Array | None:
        """Return the targets, if the stream has any."""
        ...

    def z(self, rows: slice | NDArray[np.int64]) -> Array:
        """Return a fresh (n, ...) copy of the coordinates."""
        ...

    def set_z(self, rows: slice | NDArray[np.int64], z: Array) -> None:
        """Set the coordinates."""
        ...

    def stored(self) -> StoredRows:
        """Return all rows where they lie, for compiled loops."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """One minibatch: rows of a shard, which are read when they are asked for.

    Attributes
    ----------
    data : LocalData
        The shard.
    rows : (n,) int64
        Positions, increasing.
    fresh : bool
        The epoch makes a new model: there are no coordinates.
    scratch : (at least n, D) float32, optional
        Where x is put.
    memo : dict
        What a model has found out about these points, to be used again at its other visits: within an epoch all blocks
        meet the same minibatches at a member, in every lap.
    """

    data: LocalData
    rows: NDArray[np.int64]
    fresh: bool = False
    scratch: Floats | None = None
    memo: dict[Any, Any] = field(default_factory=dict)

    @property
    def x(self) -> Floats:
        """The points, (n, D): scratch space, which may be overwritten, and which the next minibatch takes."""
        return self.data.x(self.rows, self.scratch)

    @property
    def z(self) -> Array | None:
        """A copy of the auxiliary coordinates, (n, ...); whole rows, though a block may need a few columns.

        To gather rows is a small part of a visit, far less than the products that follow: ranges would save little.
        """
        return None if self.fresh else self.data.z(self.rows)

    @property
    def y(self) -> Array | None:
        """The targets, (n, ...), where the stream has any."""
        return self.data.y(self.rows)


class NestedModel(ABC):
    """A family of nested models with its hyper-parameters; it holds no learned state.

    One epoch of training, as the ring and the serial reference drive it::

        state = model.start(block, signature, params, age)   # where the block begins its epoch
        for lap in range(block.laps):
            for every worker, in ring order:
                state = model.visit(block, params, state, lap, batches)
            state = model.end_lap(block, params, state, lap)  # at the last worker of the lap
        params |= state                                      # for all blocks
    params = model.combined(params)                          # the W step is done
        Z, objective = model.z_step(params, points, Z, model.mu(age))

    Epoch 0 does the same with `initial_blocks` and without coordinates or parameters; after it
    every point gets ``z = model.coordinates(params, x)``. ``age`` counts the passes over all points since the
    last (re)start of the continuation in mu, 0 in the first one after the initialisation: epochs, or, where a family
    has epochs work on slices, sums of these (`slices_for`), and then it also has fractions.
    """

    family: ClassVar[str]
    """Name under which configuration files and model files refer to this class."""
    lasting: ClassVar[tuple[str, ...]] = ()
    """Hyper-parameters without which parameters mean something else: training goes on with the same ones only."""

    begins_afresh: ClassVar[bool] = True
    """Where training is to begin from new statistics, a new model is made; else the one there is goes on."""
    watched: ClassVar[str] = "error"
    """What the nested error of a point is called: drift is noticed by it."""

    # -- structure ------------------------------------------------------------------------

    @abstractmethod
    def hyper_parameters(self) -> dict[str, Any]:
        """Return the JSON-serialisable arguments that rebuild this object."""

    @abstractmethod
    def coordinate_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return the shape and dtype of one point's coordinates."""

    @abstractmethod
    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        """Return the blocks of epoch 0, which gather mergeable statistics and make a first model."""

    @abstractmethod
    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        """Return the blocks of every later epoch.

        The submodels of each kind are in so many groups, if there are so many.
        """

    def groups_for(self, members: int) -> int:
        """Return in how many groups the submodels of a kind suit so many machines.

        Large blocks make fast matrix products, many blocks keep every machine busy and hide the time that others are
        under way: at least two for each machine is the rule of thumb (ParMAC, section 3). It is asked once for
        each epoch, and the answer goes round with the epoch's plan. Unless a family can choose, one.
        """
        return 1

    def slices_for(self, points: int, members: int) -> int:
        """Return in how many slices the shards are cut, of which an epoch works on one each, in turn.

        ``points`` are those of one of so many shards, about as many as each of them has. The Z step at the end of an
        epoch renews the coordinates of the slice that the next one trains on; ages count passes over all slices.
        Unless a family can choose, one: an epoch is of all points.
        """
        return 1

    def iterations_for(self, points: int) -> int:
        """Return how many steps an epoch has of what members train in step with each other; else 0.

        Their shards are of about so many points.
        """
        return 0

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        """Return the model that an epoch begins with, laid out in that epoch's blocks.

        ``params`` is what the former epoch made, in any layout. All members do this for themselves: the result must
        depend on nothing else. Unless a family can choose its blocks, ``params``.
        """
        return params

    @property
    def needs_keys(self) -> bool:
        """Whether what it learns may travel only where there are keys."""
        return False

    def combined(self, params: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the model that an epoch has made, of what its final blocks hold.

        All members do this for themselves: the result must depend on nothing else. Unless what is trained is more than
        what a model has, ``params``.
        """
        return params

    def prepare(self) -> None:  # noqa: B027
        """Load now what the first steps would load otherwise; a family that loads nothing has nothing to do."""

    # -- W step ---------------------------------------------------------------------------

    @abstractmethod
    def start(
        self, block: Block, signature: Signature, params: Mapping[str, Array], age: float
    ) -> Tensors:
        """Return the state with which a block begins an epoch.

        ``params`` is the whole model after the former epoch, as of `regrouped` (empty in epoch 0).
        """

    @abstractmethod
    def visit(
        self,
        block: Block,
        params: Mapping[str, Array],
        state: Tensors,
        lap: int,
        batches: Iterable[Batch],
    ) -> Tensors:
        """Train a block by one pass over the minibatches of one shard; return its new state.

        Must not depend on anything but its arguments, and must not modify ``params`` or ``state``.
        Where a time budget ends the visit, ``batches`` simply ends early.
        """

    @abstractmethod
    def end_lap(
        self, block: Block, params: Mapping[str, Array], state: Tensors, lap: int
    ) -> Tensors:
        """Finish a lap, at the last worker of it: after the last lap the result is final.

        Final tensors hold the block's parameters and whatever its next epoch needs of the
        optimiser; their names are unique over all blocks.
        """

    # -- Z step and forward passes --------------------------------------------------------

    @abstractmethod
    def mu(self, age: float) -> float:
        """Return the penalty for the Z step of the epoch with this age."""

    @abstractmethod
    def rests(self, age: float) -> bool:
        """Return whether what makes the coordinates is left as it is in the epoch with this age.

        Then the continuation is over, and not before it may another one begin: there must be such an age.
        """

    @property
    def warm_age(self) -> int:
        """The age at which a short continuation from a trained model begins."""
        return 0

    @abstractmethod
    def z_step(
        self, params: Mapping[str, Array], points: PointBlock, z: Array, mu: float
    ) -> tuple[Array, Objective]:
        """Improve the coordinates of n points; never raises any point's penalised objective.

        A family that keeps multipliers with the coordinates raises it with these, afterwards; made again with the same
        parameters, a Z step must not raise them again. ``objective`` is measured with the new coordinates. The points'
        x, (n, D) float32, may be overwritten.
        """

    @abstractmethod
    def coordinates(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return z = h(x), the nested forward pass: (n, ...) coordinates for (n, D) points."""

    def functions(self, params: Mapping[str, Array]) -> Tensors:
        """Return the tensors that users' results depend on: where these are the same, so are codes or predictions."""
        return dict(params)

    @abstractmethod
    def errors(self, params: Mapping[str, Array], points: PointBlock) -> Floats:
        """Return each point's nested error, (n,): the input of drift detection. x may be overwritten."""

    def outcomes(self, params: Mapping[str, Array], points: PointBlock) -> dict[str, Floats]:
        """Return how the model does on each of n points, (n,) numbers by name; what is `watched` is among them.

        Asked for new points before anything is trained on them. x may be overwritten.
        """
        return {self.watched: self.errors(params, points)}

    @abstractmethod
    def measures(self) -> Measures:
        """Return what models of this family are measured by."""

    @abstractmethod
    def export(self, params: Mapping[str, Array]) -> Tensors:
        """Return plain tensors that apply to raw inputs, for users of other software."""
