"""ParMAC on P simulated machines, one after the other: the algorithm as in the paper, and nothing else.

To be read beside the ParMAC paper, section 3. The rings of threads and of processes must yield the very same
parameters (see the tests): this is what they are checked against.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from streammac.models.base import Array, Block, LocalData, NestedModel, Objective, Tensors
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.local import VisitKey, VisitPlan, endless, enter, minibatches, z_pass
from streammac.models.shuffling import Part, ring_order
from streammac.models.signature import Signature


def w_step(
    model: NestedModel,
    shards: Mapping[str, LocalData],
    params: Mapping[str, Array],
    plan: VisitPlan,
    epoch: int,
    age: float,
    groups: int,
) -> Tensors:
    """Train every block for its laps round the ring; return the new parameters.

    Without parameters the epoch is a fresh one. ``groups`` is the layout of the blocks, and ``plan.part`` the slice of
    the shards.
    """
    some = next(iter(shards.values()))
    signature = Signature(some.dim, some.targets)
    order = ring_order(list(shards), plan.seed, epoch)
    fresh = not params
    blocks: tuple[Block, ...] = (
        model.initial_blocks(signature) if fresh else model.blocks(signature, groups)
    )
    params = model.regrouped(params, groups)
    new: Tensors = dict(params)
    if isinstance(model, ConsensusTraining) and not fresh:
        starting = zip(order, blocks, strict=False)
        copies = {
            member: (block, model.start(block, signature, params, age))
            for member, block in starting
        }
        new.update(consensus(model, shards, params, plan, epoch, copies))
        return dict(model.combined(new))
    memos: dict[str, dict[Any, Any]] = {member: {} for member in order}
    for number, block in enumerate(blocks):
        start = number % len(order)
        state = model.start(block, signature, params, age)
        visited, its = (*order[start:], *order[:start]), plan
        if block.alone:
            visited = visited[:1]
            its = replace(plan, part=plan.part.of_block(number, len(blocks), len(order)))
        for lap in range(block.laps):
            for member in visited:
                batches = minibatches(
                    shards[member],
                    its,
                    VisitKey(epoch, lap, member),
                    sample=block.sample,
                    fresh=fresh,
                    memo=memos[member],
                )
                state = model.visit(block, params, state, lap, batches)
            state = model.end_lap(block, params, state, lap)
        new.update(state)
    return dict(model.combined(new))


def consensus(
    model: ConsensusTraining,
    shards: Mapping[str, LocalData],
    params: Mapping[str, Array],
    plan: VisitPlan,
    epoch: int,
    starting: Mapping[str, tuple[Block, Tensors]],
) -> Tensors:
    """Train the copy of each member from its start, where all are neighbours and wait for all; return the copies."""
    batches = {
        member: endless(shards[member], plan, VisitKey(epoch, 0, member)) for member in starting
    }
    copies = {member: model.copy_in(*start) for member, start in starting.items()}
    share = 1 / len(copies)
    for _ in range(plan.iterations):
        for member in starting:
            for batch in itertools.islice(batches[member], 1):
                copies[member] = model.stepped(params, copies[member], batch, plan.part.age)
        apart = {
            member: sum(
                (share * (copies[other] - own) for other in sorted(copies) if other != member),
                own * 0,
            )
            for member, own in copies.items()
        }
        copies = {member: own + apart[member] for member, own in copies.items()}
    new: Tensors = {}
    for member, (block, _) in starting.items():
        new |= model.trained(block, copies[member])
    return new


def parmac(
    model: NestedModel, shards: Mapping[str, LocalData], plan: VisitPlan
) -> Iterator[tuple[Mapping[str, Array], Objective]]:
    """Yield the parameters and the objective after every epoch, without end.

    Parameters
    ----------
    model : NestedModel
        What is trained.
    shards : mapping of str to LocalData
        The data and coordinates of each machine, by its name.
    plan : VisitPlan
        Seed, minibatch.
    """
    members = sorted(shards)
    groups = model.groups_for(len(members))
    params = w_step(model, shards, {}, plan, epoch=0, age=0, groups=groups)
    for data in shards.values():
        enter(model, params, data, 0)
    part, iterations = Part(), 0
    for epoch in itertools.count():
        if epoch:
            params = w_step(
                model,
                shards,
                params,
                replace(plan, part=part, iterations=iterations),
                epoch,
                part.progress,
                groups,
            )
        # whoever ends the first block plans the next epoch
        last = ring_order(members, plan.seed, epoch)[-1]
        slices = model.slices_for(len(shards[last]), len(members))
        following = part.following(slices) if epoch else Part(slices=slices)
        total = Objective()
        for name, data in shards.items():
            rows = following.rows(len(data), plan.seed, name)
            total += z_pass(model, params, data, model.mu(part.progress), rows=rows)
        yield params, total
        part, iterations = following, model.iterations_for(len(shards[last]))
