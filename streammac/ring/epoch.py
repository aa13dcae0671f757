"""One epoch at one member: who trains in it, and how far each of its blocks is here.

An `Epoch` is replaced whole when the next one begins; of the former one only the final copies are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from streammac.models.base import Array, Block, NestedModel
from streammac.models.shuffling import Part, ring_order
from streammac.ring.agenda import Agenda
from streammac.ring.member_actions import Train, ZStepDone
from streammac.wire.messages import EpochPlan, Token

State: TypeAlias = Literal["joining", "training", "z_step", "resting"]


@dataclass(slots=True)
class Epoch:
    """What a member knows and holds of the epoch that it is at.

    Attributes
    ----------
    number, plan
        Which epoch it is, and what it is to be.
    state : {"joining", "training", "z_step", "resting"}
        What the member does in it, see the package's docstring.
    blocks : mapping of str to Block
        What travels, by name.
    base : mapping of str to array, or None
        The model with which the epoch began; None where it has not come yet.
    former : mapping of str to Token
        The final copies of the epoch before, for those who are still at it.
    trainers, order : tuple of str
        Who trains in it, sorted; all members in ring order, those who only get copies at the end.
    copies : dict of str to Token
        Of each block, the newest that was held here: not trained yet, or as it was passed on.
    closed : set of str
        Blocks whose copy has an empty itinerary because the lap was closed here.
    holding : dict of str to Train
        The job under way for each block that is here.
    trained : dict of str to int
        The newest lap in which each block was trained here: never twice in one lap.
    z_step_done : ZStepDone or None
        The Z step is done; its report waits for the view to resume.
    made : mapping of str to array, or None
        What `result` has made: final copies do not change.
    """

    number: int
    plan: EpochPlan
    state: State
    blocks: Mapping[str, Block]
    base: Mapping[str, Array] | None = None
    former: Mapping[str, Token] = field(default_factory=dict)
    trainers: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    copies: dict[str, Token] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    holding: dict[str, Train] = field(default_factory=dict)
    trained: dict[str, int] = field(default_factory=dict)
    z_step_done: ZStepDone | None = None
    made: Mapping[str, Array] | None = None

    def lined_up(self, members: Iterable[str], trainers: Iterable[str], seed: int) -> Epoch:
        """Return the same epoch with these members, of whom those train that are among the trainers."""
        everybody = set(members)
        training = tuple(sorted(everybody & set(trainers)))
        copying = sorted(everybody - set(training))
        order = (*ring_order(training, seed, self.number), *copying)
        return replace(self, trainers=training, order=order)

    def starting(self, name: str) -> list[Block]:
        """Return the blocks that start at a member: the first one at the first trainer, and so on."""
        count = len(self.trainers)
        blocks = enumerate(self.blocks.values())
        return [block for i, block in blocks if count and self.order[i % count] == name]

    def keep(self, token: Token) -> None:
        """Take a token for the newest copy of its block."""
        self.copies[token.block] = token
        self.closed.discard(token.block)

    def is_first(self, block: str) -> bool:
        """Return whether it is the block whose last round carries the plan of the next epoch."""
        return block == next(iter(self.blocks))

    def part(self, block: Block) -> Part:
        """Return what of a shard a block is trained on."""
        part = part_of(self.plan)
        if not block.alone or not self.trainers:
            return part
        return part.of_block([*self.blocks].index(block.name), len(self.blocks), len(self.trainers))

    @property
    def following(self) -> EpochPlan:
        """The plan of the next epoch, known where the final copies are."""
        plan = self.copies[next(iter(self.blocks))].plan
        assert plan is not None, "the first block's last round carries the next plan"
        return plan

    @property
    def complete(self) -> bool:
        """Whether the final copies of all blocks are here, and the model with which the epoch began."""
        final = [token for token in self.copies.values() if token.final]
        return len(final) == len(self.blocks) and self.base is not None

    def result(self, model: NestedModel) -> Mapping[str, Array]:
        """Return the model that the final copies make, of an epoch that is complete."""
        assert self.base is not None
        if self.made is None:
            params: dict[str, Array] = {} if self.plan.fresh else dict(self.base)
            for block in self.blocks:
                params.update(self.copies[block].tensors)
            self.made = model.combined(params)
        return self.made


def plan_after(plan: EpochPlan, agenda: Agenda, model: NestedModel, members: int) -> EpochPlan:
    """Return the plan of the next epoch, in which so many members are to train.

    The member that finishes the epoch's first block decides, and the decision rides on that block's last
    round: everybody must hold the block before going on, so all agree without a barrier. What is under way comes to
    its end before: where the feed replaces all points again and again, nothing else would ever be trained to the end.
    """
    restart, groups = agenda.restart, model.groups_for(members)
    known = agenda.points > 0
    slices = model.slices_for(agenda.points, members) if known else plan.slices
    iterations = model.iterations_for(agenda.points) if known else plan.iterations
    part = Part(slices=slices) if plan.fresh else part_of(plan).following(slices)
    if restart is None or restart.number <= plan.restart or not model.rests(part.age):
        rest = not plan.fresh and model.rests(plan.age) and agenda.is_empty(plan)
        return _plan(part, plan.restart, groups, iterations, rest=rest)
    if restart.fresh and model.begins_afresh:
        return EpochPlan(fresh=True, restart=restart.number, groups=groups)
    return _plan(Part(model.warm_age, slices=slices), restart.number, groups, iterations)


def part_of(plan: EpochPlan) -> Part:
    """Return what of the shards an epoch works on."""
    return Part(plan.age, plan.slice, plan.slices)


def _plan(
    part: Part, restart: int, groups: int, iterations: int, *, rest: bool = False
) -> EpochPlan:
    return EpochPlan(
        part.age,
        restart=restart,
        groups=groups,
        rest=rest,
        slice=part.slice,
        slices=part.slices,
        iterations=iterations,
    )
