"""A worker's side of the ring: views, tokens and finished jobs in, actions out.

The worker process feeds one `Member` with what arrives and does what it answers. See the package's
docstring for the life of a token, of an epoch and of a view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from msgspec.structs import replace

from streammac.models.base import Array, Block, NestedModel, Tensors
from streammac.models.shuffling import ring_order
from streammac.ring.itinerary import next_stop, without
from streammac.ring.member_actions import (
    Action,
    Answer,
    Done,
    OpenEpoch,
    Report,
    Send,
    Train,
    TrainDone,
    ZStep,
    ZStepDone,
)
from streammac.wire.messages import (
    Copy,
    EpochPlan,
    Holdings,
    ModelState,
    RestartContinuation,
    Resume,
    Token,
    View,
)

MAX_WAITING = 10_000
"""Tokens that may wait for their epoch or view; more can only come from a peer gone wrong."""

Event: TypeAlias = View | Resume | Token | ModelState | RestartContinuation | Done


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
        self.state: Literal["joining", "training", "z_step", "resting"] = "joining"
        # -- the view
        self.view = 0
        self.members: tuple[str, ...] = ()
        self.frozen = True
        """A view has been announced (or none yet): nothing is passed on before `Resume`."""
        self.leaving = False
        self.outside = False
        """A newer view does without us: we were given up while we left, and nothing that we have counts any more."""
        self.resumed = 0
        """The last view that resumed here."""
        self.resume: Resume | None = None
        """How the view began; it tells about one epoch that not all members train in."""
        # -- the epoch
        self.epoch = 0
        self.plan = EpochPlan()
        self.following: EpochPlan | None = None
        self.trainers: tuple[str, ...] = ()
        self.order: tuple[str, ...] = ()
        self.blocks: dict[str, Block] = {}
        self.base: Mapping[str, Array] | None = None
        """The model with which the epoch began; None where it has not come yet."""
        self.params: Mapping[str, Array] = {}
        self.final: dict[str, Tensors] = {}
        self.copies: dict[str, Token] = {}
        """Of each block, the newest that was held here: not trained yet, or as it was passed on."""
        self.former: Mapping[str, Token] = {}
        """The final copies of the epoch before, for those who are still at it."""
        self.closed: set[str] = set()
        """Blocks whose copy has an empty itinerary because the lap was closed here."""
        self.holding: dict[str, Train] = {}
        self.trained: dict[str, int] = {}
        """The newest lap in which each block of this epoch was trained here: never twice in one lap."""
        self.z_step_done: ZStepDone | None = None
        """The Z step is done, but the view has not begun yet."""
        # -- beyond
        self.waiting: list[Token | ModelState] = []
        """What came before its view or epoch was opened here."""
        self.restart: RestartContinuation | None = None
        self.dropped = 0
        """Tokens that were dropped: of an older view, or twice delivered."""
        self.progress = 0
        """Counts what moves the ring on: visits, copies, Z steps."""

    def handle(self, event: Event) -> list[Action]:
        """Take one event; return what is to be done, in order."""
        match event:
            case View():
                return self._install(event)
            case Resume():
                return self._resume(event)
            case Token():
                return self._receive(event)
            case ModelState():
                return self._catch_up(event)
            case RestartContinuation():
                self.restart = event
                return []
            case TrainDone():
                return self._train_done(event)
            case ZStepDone():
                return self._z_step_done(event)

    @property
    def working(self) -> bool:
        """Return whether a job of the current epoch is under way here."""
        return bool(self.holding) or (self.state == "z_step" and self.z_step_done is None)

    @property
    def released(self) -> bool:
        """Return whether the ring needs nothing more of a member that leaves."""
        return self.outside or (self.leaving and not self.frozen and not self.holding)

    def signs(self, *, busy: bool) -> dict[str, float]:
        """Return what the coordinator watches the ring by; ``busy``: a job waits or is being done."""
        return {
            "frozen": float(self.frozen),
            "working": float(self.working or busy),
            "resting": float(self.state == "resting"),
            "progress": float(self.progress),
        }

    # -- views ----------------------------------------------------------------------------

    def _install(self, view: View) -> list[Action]:
        again = view.number == self.view and self.frozen
        if view.number > self.view:
            members = {m.name for m in view.members}
            leaving = {m.name for m in view.leaving}
            self.outside = self.name not in members | leaving
            if self.outside:
                return []
            self.view = view.number
            self.members = tuple(sorted(members))
            self.leaving = self.name in leaving
            self.frozen = True
            self.waiting = [message for message in self.waiting if message.view >= self.view]
        elif not again:
            return []
        return [Answer(self._holdings())]

    def _holdings(self) -> Holdings:
        copies = tuple(
            Copy(name, token.lap, token.final, token.itinerary, name in self.holding, token.view)
            for name, token in sorted(self.copies.items())
        )
        return Holdings(
            self.view,
            self.name,
            self.state,
            self.epoch,
            self.plan,
            self.trainers,
            copies,
            self.resumed,
            bool(self.former),
        )

    def _resume(self, resume: Resume) -> list[Action]:
        if resume.view != self.view or not self.frozen:
            return []
        self.frozen = False
        self.resumed = resume.view
        self.resume = resume
        actions = self._give(resume)
        if resume.cold:
            self.params, self.former = dict(resume.tensors), {}
            return self._open(resume.epoch, resume.plan)
        if self.name in resume.joining:
            return actions + self._join(resume)
        if self.epoch == resume.epoch:
            return actions + self._go_on(resume)
        return actions + self._lag(resume)

    def _give(self, resume: Resume) -> list[Action]:
        """Send what the coordinator wants others to have from here.

        Who joins needs the model with which the epoch began; who is an epoch behind, that epoch's last
        copies.
        """
        needy = [name for name, donor in sorted(resume.donors.items()) if donor == self.name]
        if not needy or self.base is None or self.epoch != resume.epoch:
            return []
        model = ModelState(self.view, self.epoch, dict(self.base))
        actions: list[Action] = []
        for name in needy:
            if name in resume.joining:
                actions.append(Send(name, model))
                continue
            for token in self.former.values():
                actions.append(Send(name, replace(token, view=self.view, itinerary=(name,))))
        return actions

    def _join(self, resume: Resume) -> list[Action]:
        """Have no part in this epoch but to collect copies of its blocks; wait for the model."""
        self.state = "joining"
        self.base, self.former = None, {}
        self._begin(resume.epoch, resume.plan)
        return self._take_waiting()

    def _lag(self, resume: Resume) -> list[Action]:
        """Stay in the epoch before: others are done with it, and send the copies that are missing here.

        Our own are kept: those others may die before.
        """
        self.holding.clear()
        # a name that is back joins the newer epoch: in this one it has no part any more
        self._line_up(set(self.trainers) - set(resume.joining))
        return self._finish() + self._take_waiting()

    def _go_on(self, resume: Resume) -> list[Action]:
        """Carry on with the blocks whose most advanced copy is here, start those that nobody holds."""
        self._line_up(resume.trainers)
        if self.state == "resting":
            return []
        # the other copies stay as they are: struck off theirs, a visit of one that leaves would not show
        mine = {name for name, holder in resume.holders.items() if holder == self.name}
        for name in mine & self.copies.keys():
            self.copies[name] = self._edited(self.copies[name])
        self.holding = {name: job for name, job in self.holding.items() if name in mine}
        # what was trained here and is lost may be trained again
        self.trained = {
            name: token.lap - (self.name in token.itinerary) for name, token in self.copies.items()
        }
        actions: list[Action] = []
        for name in sorted(mine):
            if name in self.copies and name not in self.holding:
                actions += self._settle(name)
        return actions + self._start() + self._finish() + self._take_waiting()

    def _edited(self, token: Token) -> Token:
        """Return a token of this epoch with the itinerary that the view allows."""
        assert self.resume is not None
        left = set(token.itinerary)
        if token.final:
            left = (left & set(self.members)) | (set(self.resume.absent) - {self.name})
        else:
            left &= set(self.resume.trainers)
        return replace(token, view=self.view, itinerary=tuple(sorted(left)))

    def _catch_up(self, model: ModelState) -> list[Action]:
        """Take the model with which the epoch began that is under way where we join."""
        if self._too_early(model.view):
            self.waiting.append(model)
            return []
        current = (model.view, model.epoch) == (self.view, self.epoch)
        if not current or self.state != "joining" or self.base is not None:
            return []
        self.params = self.base = dict(model.tensors)
        if self.name in self.trainers or self._is_beyond(self.epoch):
            return self._open(self.epoch, self.plan)
        return self._complete()

    # -- epochs ---------------------------------------------------------------------------

    def _open(self, epoch: int, plan: EpochPlan) -> list[Action]:
        self.base = self.params
        self._begin(epoch, plan)
        if self._is_beyond(epoch):
            self.state = "resting"
            return []
        self.state = "training"
        actions: list[Action] = [OpenEpoch(self.view, epoch, plan, self.params)]
        return actions + self._start() + self._take_waiting()

    def _is_beyond(self, epoch: int) -> bool:
        return self.epochs > 0 and epoch >= self.epochs

    def _begin(self, epoch: int, plan: EpochPlan) -> None:
        self.epoch, self.plan, self.following = epoch, plan, None
        resume = self.resume
        partly = resume is not None and resume.epoch == epoch
        self._line_up(resume.trainers if resume is not None and partly else self.members)
        blocks = self.model.initial_blocks(self.dim) if plan.fresh else self.model.blocks(self.dim)
        self.blocks = {block.name: block for block in blocks}
        self.final, self.copies, self.holding, self.trained = {}, {}, {}, {}
        self.closed.clear()
        self.z_step_done = None

    def _line_up(self, trainers: Iterable[str]) -> None:
        """Set who trains in this epoch; those who only get copies stand at the end."""
        members = set(self.members)
        self.trainers = tuple(sorted(members & set(trainers)))
        order = ring_order(self.trainers, self.seed, self.epoch)
        self.order = (*order, *sorted(members - set(self.trainers)))

    def _start(self) -> list[Action]:
        """Start the blocks that begin here: the first trainer the first block, and so on."""
        resume = self.resume
        held = resume.holders if resume is not None and resume.epoch == self.epoch else {}
        actions: list[Action] = []
        for number, block in enumerate(self.blocks.values()):
            starter = self.order[number % len(self.trainers)] if self.trainers else ""
            if starter == self.name and block.name not in held:
                assert self.base is not None
                state = self.model.start(block, self.dim, self.base, self.plan.age)
                actions += self._receive(self._new_token(block, state))
        return actions

    def _new_token(self, block: Block, state: Tensors) -> Token:
        return Token(
            view=self.view,
            epoch=self.epoch,
            block=block.name,
            lap=0,
            itinerary=self.trainers,
            final=False,
            plan=None,
            tensors=state,
        )

    # -- tokens ---------------------------------------------------------------------------

    def _take_waiting(self) -> list[Action]:
        waiting, self.waiting = self.waiting, []
        actions: list[Action] = []
        for message in waiting:
            actions += self.handle(message)
        return actions

    def _too_early(self, view: int) -> bool:
        """Return whether a message of that view has to wait for it."""
        ahead = view > self.view or (view == self.view and self.frozen)
        return ahead and len(self.waiting) < MAX_WAITING

    def _receive(self, token: Token) -> list[Action]:
        if self._too_early(token.view) or (
            token.view == self.view and self._is_ahead(token) and len(self.waiting) < MAX_WAITING
        ):
            self.waiting.append(token)
            return []
        if not self._is_mine(token):
            self.dropped += 1
            return []
        self.copies[token.block] = token
        self.closed.discard(token.block)
        return self._copy(token) if token.final else self._work(token)

    def _is_ahead(self, token: Token) -> bool:
        """Return whether a token is of an epoch that is still to be opened here."""
        catching_up = self.state == "joining" and self.name in self.trainers
        return token.epoch > self.epoch or (catching_up and token.epoch == self.epoch)

    def _is_mine(self, token: Token) -> bool:
        return (
            token.view == self.view
            and token.epoch == self.epoch
            and (self.state == "training" or (self.state == "joining" and token.final))
            and token.block in self.blocks
            and self.name in token.itinerary
            and token.block not in self.holding
            and token.block not in self.final
            and (token.final or token.lap > self.trained.get(token.block, -1))
        )

    def _work(self, token: Token, *, visits: bool = True) -> list[Action]:
        assert self.base is not None
        job = Train(
            token,
            self.blocks[token.block],
            self.base,
            fresh=self.plan.fresh,
            ends_lap=without(token.itinerary, self.name) == (),
            visits=visits,
        )
        self.holding[token.block] = job
        return [job]

    def _train_done(self, done: TrainDone) -> list[Action]:
        name = done.job.token.block
        if self.holding.get(name) is not done.job:
            return []  # a new view has come meanwhile, and somebody else went on with the block
        del self.holding[name]
        self.progress += 1
        token = self.copies[name]  # its itinerary may have been edited since the job began
        self.trained[name] = token.lap
        left = without(token.itinerary, self.name)
        self.copies[name] = replace(token, itinerary=left, tensors=done.tensors)
        if done.job.ends_lap:
            self.closed.add(name)
        return [] if self.frozen else self._settle(name)

    def _settle(self, name: str) -> list[Action]:
        """Send the copy of a block on to whom it has to go next; nothing is left to do on it here."""
        token = self.copies[name]
        if token.final or token.itinerary:
            return self._pass_on(token)
        if name not in self.closed:
            return self._work(token, visits=False)
        if token.lap + 1 < self.blocks[name].laps:
            return self._pass_on(replace(token, lap=token.lap + 1, itinerary=self.trainers))
        first_block = next(iter(self.blocks))
        if name == first_block:
            self.following = self._decide()
        others = without(self.members, self.name)
        plan = self.following if name == first_block else None
        return self._copy(replace(token, itinerary=others, final=True, plan=plan))

    def _copy(self, token: Token) -> list[Action]:
        self.progress += 1
        self.final[token.block] = token.tensors
        if token.plan is not None:
            self.following = token.plan
        left = without(token.itinerary, self.name)
        return self._pass_on(replace(token, itinerary=left)) + self._complete()

    def _pass_on(self, token: Token) -> list[Action]:
        self.copies[token.block] = token
        self.closed.discard(token.block)
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
        """End the W step if a final copy of every block is here."""
        if len(self.final) < len(self.blocks) or self.base is None or self.leaving:
            return []
        params: dict[str, Array] = {} if self.plan.fresh else dict(self.base)
        for tensors in self.final.values():
            params.update(tensors)
        self.params = params
        if self.state == "joining":
            return self._open_next()
        self.state = "z_step"
        return [ZStep(self.view, self.epoch, self.plan, params)]

    def _z_step_done(self, done: ZStepDone) -> list[Action]:
        if (done.epoch, self.state) != (self.epoch, "z_step"):
            return []  # it was of an epoch that has been given up
        self.z_step_done = done
        self.progress += 1
        return [] if self.frozen else self._finish()

    def _finish(self) -> list[Action]:
        """Report the epoch and open the next one, if the Z step is done."""
        done = self.z_step_done
        if done is None or self.leaving:
            return []
        assert self.following is not None, "the first block's last round carries the next plan"
        report = Report(
            self.view,
            self.epoch,
            self.plan,
            self.following,
            self.trainers,
            done.objective,
            self.params if self.order[0] == self.name else None,
        )
        return [report, *self._open_next()]

    def _open_next(self) -> list[Action]:
        assert self.following is not None, "the first block's last round carries the next plan"
        self.former = self.copies
        return self._open(self.epoch + 1, self.following)
