"""A worker's side of the ring: views, tokens and finished jobs in, actions out.

The worker process feeds one `Member` with what arrives and does what it answers. See the package's
docstring for the life of a token and of an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from streammac.models.base import Array, Block, NestedModel, Tensors
from streammac.models.shuffling import ring_order
from streammac.ring.actions import (
    Action,
    Done,
    Improved,
    OpenEpoch,
    Report,
    Send,
    Train,
    Trained,
    ZStep,
)
from streammac.ring.itinerary import next_stop, without
from streammac.wire.messages import EpochPlan, Restart, Token, View

MAX_WAITING = 10_000
"""Tokens that may wait for their epoch or view; more can only come from a peer gone wrong."""


class Member:
    """The state of one worker in the ring.

    Parameters
    ----------
    name : str
        This worker's name in the views.
    model : NestedModel
        What is trained.
    dim : int
        Length of x.
    seed : int
        Seed of the ring order, the same at all members.
    epochs : int
        Rest after so many epochs; 0: never.
    """

    def __init__(self, name: str, model: NestedModel, dim: int, seed: int, epochs: int = 0) -> None:
        self.name = name
        self.model = model
        self.dim = dim
        self.seed = seed
        self.epochs = epochs
        self.state: Literal["idle", "training", "z_step", "resting"] = "idle"
        self.view = 0
        self.members: tuple[str, ...] = ()
        self.epoch = 0
        self.plan = EpochPlan()
        self.following: EpochPlan | None = None
        self.order: tuple[str, ...] = ()
        self.blocks: dict[str, Block] = {}
        self.params: Mapping[str, Array] = {}
        self.final: dict[str, Tensors] = {}
        self.holding: dict[str, Token] = {}
        self.trained: dict[str, int] = {}
        """The newest lap in which each block of this epoch was trained here: never twice in one lap."""
        self.waiting: list[Token] = []
        self.restart: Restart | None = None
        self.dropped = 0
        """Tokens that were dropped: of an older view, or twice delivered."""

    def handle(self, event: View | Token | Restart | Done) -> list[Action]:
        """Take one event; return what is to be done, in order."""
        match event:
            case View():
                return self._install(event)
            case Token():
                return self._receive(event)
            case Restart():
                self.restart = event
                return []
            case Trained():
                return self._trained(event)
            case Improved():
                return self._improved(event)

    # -- views and epochs -----------------------------------------------------------------

    def _install(self, view: View) -> list[Action]:
        names = tuple(m.name for m in view.members)
        if view.number <= self.view or self.name not in names:
            return []
        self.view = view.number
        self.members = tuple(sorted(names))
        self.params = dict(view.tensors)
        return self._open(view.epoch, view.plan)

    def _open(self, epoch: int, plan: EpochPlan) -> list[Action]:
        if self.epochs and epoch >= self.epochs:
            self.state = "resting"
            return []
        self.state = "training"
        self.epoch, self.plan, self.following = epoch, plan, None
        self.order = ring_order(self.members, self.seed, epoch)
        blocks = self.model.initial_blocks(self.dim) if plan.fresh else self.model.blocks(self.dim)
        self.blocks = {block.name: block for block in blocks}
        self.final, self.holding, self.trained = {}, {}, {}
        actions: list[Action] = [OpenEpoch(self.view, epoch, plan, self.params)]
        for number, block in enumerate(blocks):
            if self.order[number % len(self.order)] == self.name:
                state = self.model.start(block, self.dim, self.params, plan.age)
                actions += self._receive(self._new_token(block, state))
        waiting, self.waiting = self.waiting, []
        for token in waiting:
            actions += self._receive(token)
        return actions

    def _new_token(self, block: Block, state: Tensors) -> Token:
        return Token(
            view=self.view,
            epoch=self.epoch,
            block=block.name,
            lap=0,
            itinerary=self.members,
            final=False,
            plan=None,
            tensors=state,
        )

    # -- tokens ---------------------------------------------------------------------------

    def _receive(self, token: Token) -> list[Action]:
        ahead = (token.view, token.epoch) > (self.view, self.epoch)
        if ahead and len(self.waiting) < MAX_WAITING:
            self.waiting.append(token)
            return []
        if not self._is_mine(token):
            self.dropped += 1
            return []
        if token.final:
            return self._copy(token)
        self.holding[token.block] = token
        return [
            Train(
                token,
                self.blocks[token.block],
                self.params,
                fresh=self.plan.fresh,
                ends_lap=token.itinerary == (self.name,),
            )
        ]

    def _is_mine(self, token: Token) -> bool:
        return (
            token.view == self.view
            and token.epoch == self.epoch
            and self.state == "training"
            and token.block in self.blocks
            and self.name in token.itinerary
            and token.block not in self.holding
            and token.block not in self.final
            and (token.final or token.lap > self.trained.get(token.block, -1))
        )

    def _trained(self, done: Trained) -> list[Action]:
        token = done.token
        if self.holding.get(token.block) is not token:
            return []  # a new view has come meanwhile
        del self.holding[token.block]
        self.trained[token.block] = token.lap
        left = without(token.itinerary, self.name)
        token = replace(token, itinerary=left, tensors=done.tensors)
        if left:
            return self._pass_on(token)
        if token.lap + 1 < self.blocks[token.block].laps:
            return self._pass_on(replace(token, lap=token.lap + 1, itinerary=self.members))
        first_block = next(iter(self.blocks))
        if token.block == first_block:
            self.following = self._decide()
        self.final[token.block] = token.tensors
        plan = self.following if token.block == first_block else None
        last_round = replace(
            token, itinerary=without(self.members, self.name), final=True, plan=plan
        )
        return self._pass_on(last_round) + self._complete()

    def _copy(self, token: Token) -> list[Action]:
        self.final[token.block] = token.tensors
        if token.plan is not None:
            self.following = token.plan
        left = without(token.itinerary, self.name)
        return self._pass_on(replace(token, itinerary=left)) + self._complete()

    def _pass_on(self, token: Token) -> list[Action]:
        stop = next_stop(self.order, self.name, token.itinerary)
        if stop is None:
            return []
        return self._receive(token) if stop == self.name else [Send(stop, token)]

    def _decide(self) -> EpochPlan:
        """Return the plan of the next epoch.

        The member that finishes the epoch's first block decides, and the decision rides on that
        block's last round: everybody must hold the block before going on, so all agree without a
        barrier.
        """
        plan, order = self.plan, self.restart
        if order is not None and order.number > plan.restart:
            return EpochPlan(age=0, fresh=order.fresh, restart=order.number)
        return EpochPlan(age=0 if plan.fresh else plan.age + 1, restart=plan.restart)

    # -- the end of an epoch --------------------------------------------------------------

    def _complete(self) -> list[Action]:
        if len(self.final) < len(self.blocks):
            return []
        params: dict[str, Array] = {} if self.plan.fresh else dict(self.params)
        for tensors in self.final.values():
            params.update(tensors)
        self.params = params
        self.state = "z_step"
        return [ZStep(self.view, self.epoch, self.plan, params)]

    def _improved(self, done: Improved) -> list[Action]:
        if (done.view, done.epoch, self.state) != (self.view, self.epoch, "z_step"):
            return []  # a new view has come meanwhile
        assert self.following is not None, "the first block's last round carries the next plan"
        report = Report(
            self.view,
            self.epoch,
            self.plan,
            self.following,
            done.objective,
            self.params if self.order[0] == self.name else None,
        )
        return [report, *self._open(self.epoch + 1, self.following)]
