"""A model that is nothing but the list of its visits: whatever is lost or done twice can be seen in it.

The tensor of a block holds one number for each visit of this epoch; `Visits` knows what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from streammac.models.base import Array, Block, Objective, Tensors
from streammac.models.layout import names, rows
from streammac.models.signature import Signature
from streammac.ring.member_actions import Train
from tests.ring.tally import TallyModel

UNSETTLED = 0.1
"""Share of the Z steps that leave something to improve."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One worker's training of one block in one lap; in which view, tells no two of them apart."""

    epoch: int
    block: str
    lap: int
    name: str
    incarnation: int
    view: int = field(compare=False)


class Visits:
    """All visits that were ever begun, by number."""

    def __init__(self) -> None:
        self._visits: list[Visit] = []

    def __getitem__(self, number: int) -> Visit:
        return self._visits[number]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._visits)

    def add(self, visit: Visit) -> int:
        """Return the number of a new one."""
        self._visits.append(visit)
        return len(self._visits) - 1


class VisitedModel(TallyModel):
    """Blocks ``b/0-1`` ... whose state is one array, named like the block.

    The number of blocks is another one with every worker more or less, and never more than there are submodels.

    Attributes
    ----------
    alone : bool
        Each block is trained by the member alone where it starts.
    chance : Random or None
        Chance of Z steps that leave something to improve, where the ring rests when nothing is left; None: never.
    """

    family = "visited"

    def __init__(self, submodels: int, laps: int, *, alone: bool = False) -> None:
        super().__init__(submodels, laps)
        self._submodels = submodels
        self._laps = laps
        self.alone = alone
        self.chance: Random | None = None

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        return (Block("origin", laps=1), *self.blocks(signature, 1))

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        return tuple(
            Block(name, self._laps, alone=self.alone)
            for name in names("b", self._submodels, groups)
        )

    def groups_for(self, members: int) -> int:
        return 2 + members % (self._submodels - 1)

    def slices_for(self, points: int, members: int) -> int:
        return 1 + points % 2

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        """Give each block the visits of those of which it has submodels."""
        old = [name for name in params if name.startswith("b/")]
        new = {name: value for name, value in params.items() if name not in old}
        for block in self.blocks(Signature(2), groups):
            mine = rows(block.name)
            theirs = [n for n in old if rows(n).start < mine.stop and mine.start < rows(n).stop]
            new[block.name] = np.concatenate([params[name] for name in theirs])
        return new

    def start(
        self, block: Block, signature: Signature, params: Any, age: int
    ) -> dict[str, np.ndarray]:
        return {block.name: np.zeros(0, np.int64)}

    def iterations_for(self, points: int) -> int:
        return 2 + points % 5

    def train(self, job: Train, visit: Visit, visits: Visits) -> dict[str, np.ndarray]:
        """Do a job of the ring: add the visit, if it is to be one."""
        (name,) = job.token.tensors
        state = job.token.tensors[name]
        return {name: np.append(state, visits.add(visit)) if job.visits else state}

    def improve(self, points: int) -> tuple[Objective, bool]:
        """Do a Z step; return also whether it leaves nothing to improve."""
        return Objective(points=points), self.chance is None or self.chance.random() > UNSETTLED


class VisitedCopies(VisitedModel):
    """The same for consensus: a block is a copy, whose parameters ``w/b/0-0`` are the number of steps in it.

    A step adds 1, and averages move ones from copy to copy: so their sum is the number of all steps.

    Attributes
    ----------
    visit : callable
        Returns the number of a new visit, of the block that is trained where the model is.
    """

    visit: Callable[[Block], int]

    def initial_blocks(self, signature: Signature) -> tuple[Block, ...]:
        return (Block("origin", laps=1),)

    def blocks(self, signature: Signature, groups: int) -> tuple[Block, ...]:
        return tuple(Block(name, 1, alone=True) for name in names("b", groups, groups))

    def groups_for(self, members: int) -> int:
        return members

    def slices_for(self, points: int, members: int) -> int:
        return 1

    def regrouped(self, params: Mapping[str, Array], groups: int) -> Mapping[str, Array]:
        new = {name: value for name, value in params.items() if not name.startswith("b/")}
        return new | {b.name: np.zeros(0, np.int64) for b in self.blocks(Signature(2), groups)}

    def start(self, block: Block, signature: Signature, params: Any, age: int) -> Tensors:
        return {**super().start(block, signature, params, age), f"w/{block.name}": np.zeros(1)}

    def train(self, job: Train, visit: Visit, visits: Visits) -> Tensors:
        tensors = job.token.tensors
        if not job.visits:
            return dict(tensors)
        name = job.token.block
        return {**tensors, name: np.append(tensors[name], visits.add(visit))}

    def copy_in(self, block: Block, state: Mapping[str, Array]) -> Array:
        return state[f"w/{block.name}"]

    def trained(self, block: Block, w: Array) -> Tensors:
        return {block.name: np.array([self.visit(block)]), f"w/{block.name}": w}

    def combined(self, params: Mapping[str, Array]) -> Mapping[str, Array]:
        return {name: value for name, value in params.items() if not name.startswith("w/")}
