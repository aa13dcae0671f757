"""A worker's side of the ring: views, tokens and finished jobs in, actions out.

The worker process feeds one `Member` with what arrives and does what it answers. See the package's
docstring for the life of a token, of an epoch and of a view. `Member._settle` decides what becomes of a
block that is done here, `Member._pass_on` to whom it goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from msgspec.structs import replace

from streammac.models.base import Array, Block, NestedModel
from streammac.models.signature import Signature
from streammac.ring import admission, rejoin
from streammac.ring.admission import Drop
from streammac.ring.agenda import Agenda
from streammac.ring.current_view import CurrentView
from streammac.ring.epoch import Epoch, State, part_of, plan_after
from streammac.ring.itinerary import next_stop, without
from streammac.ring.member_actions import (
    Action,
    Answer,
    Done,
    GradientStepDone,
    NewPoints,
    OpenEpoch,
    Report,
    Send,
    Train,
    TrainDone,
    ZStep,
    ZStepDone,
)
from streammac.wire.messages import (
    EpochPlan,
    Heard,
    ModelState,
    Offer,
    RestartContinuation,
    Resume,
    Token,
    View,
    Wake,
)
from streammac.wire.reports import RingProgress

MAX_WAITING, KEPT_WAITING = 10_000, 9_000
"""Tokens that may wait for their epoch or view; more can only come from a peer gone wrong."""

Event: TypeAlias = (
    View
    | Resume
    | Token
    | ModelState
    | Wake
    | Offer
    | Heard
    | RestartContinuation
    | NewPoints
    | Done
)


class Member:
    """The state of one worker in the ring.

    Parameters
    ----------
    name : str
        This worker's name in the views.
    model : NestedModel
        What is trained.
    signature : Signature
        Inputs and targets of the points.
    seed : int
        Seed of the ring order, the same at all members.
    epochs : int
        Rest for good after so many epochs; 0: never.
    rests : bool
        Rest where nothing is left to train.

    Attributes
    ----------
    view : CurrentView
        The newest view that counts here.
    epoch : Epoch
        What is known and held of the epoch under way.
    dropped : Counter of Drop
        Tokens that were dropped, by reason.
    progress : int
        Counts what moves the ring on: visits, copies, Z steps.
    """

    def __init__(
        self,
        name: str,
        model: NestedModel,
        signature: Signature,
        seed: int,
        epochs: int = 0,
        *,
        rests: bool = False,
    ) -> None:
        self.name = name
        self.model = model
        self.signature = signature
        self.seed = seed
        self.epochs = epochs
        self.view = CurrentView()
        self.epoch = Epoch(0, EpochPlan(), "joining", blocks={})
        self.dropped: Counter[Drop] = Counter()
        self.progress = 0
        self.agenda = Agenda(rests)
        self.waiting: list[Token | ModelState | Wake] = []
        """What came before its view or epoch was opened here."""

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
            case Wake():
                return self._woken(event)
            case RestartContinuation():
                self.agenda.restart = event
                return self._wake_all()
            case NewPoints():
                self.agenda.new_points = True
                return self._wake_all()
            case TrainDone():
                return self._train_done(event)
            case ZStepDone():
                return self._z_step_done(event)
            case Offer() | Heard() | GradientStepDone():
                return []  # of copies that are averaged in training; that is another strategy's

    @property
    def working(self) -> bool:
        """Return whether a job of the current epoch is under way here."""
        epoch = self.epoch
        return bool(epoch.holding) or (epoch.state == "z_step" and epoch.z_step_done is None)

    @property
    def released(self) -> bool:
        """Return whether the ring needs nothing more of a member that leaves."""
        view = self.view
        return view.outside or (view.leaving and not view.frozen and not self.epoch.holding)

    def ring_progress(self, *, busy: bool) -> RingProgress:
        """Return what the coordinator watches the ring by; ``busy``: a job waits or is being done."""
        return RingProgress(
            ready=True,
            epoch=self.epoch.number,
            view=self.view.number,
            frozen=self.view.frozen,
            working=self.working or busy,
            resting=self.epoch.state == "resting",
            hops=self.progress,
            holding=tuple(sorted(self.epoch.holding)),
        )

    # -- views ----------------------------------------------------------------------------

    def _install(self, view: View) -> list[Action]:
        if view.number > self.view.number:
            self.view = self.view.followed_by(view, self.name)
            self.waiting = [m for m in self.waiting if m.view >= self.view.number]
        if view.number != self.view.number or not self.view.frozen:
            return []
        return [Answer(rejoin.holdings(self.epoch, self.view, self.name))]

    def _resume(self, resume: Resume) -> list[Action]:
        if resume.view != self.view.number or not self.view.frozen:
            return []
        self.view = self.view.resumed_by(resume)
        if resume.cold:
            return self._open(resume.epoch, resume.plan, dict(resume.tensors), former={}, anew=True)
        return [*rejoin.gifts(self.epoch, resume, self.name), *self._rejoin(resume)]

    def _rejoin(self, resume: Resume) -> list[Action]:
        if self.name in resume.joining:
            self.epoch = self._new_epoch(resume.epoch, resume.plan, "joining")
            return self._take_waiting()
        if self.epoch.number != resume.epoch:
            self.epoch = rejoin.lag(self.epoch, self.view.members, resume, self.seed)
            return self._finish() + self._take_waiting()
        self.epoch = rejoin.go_on(self.epoch, self.view.members, resume, self.seed, self.name)
        if self.epoch.state == "resting":
            return self._begin()
        actions: list[Action] = []
        for block, holder in sorted(resume.holders.items()):
            here = block in self.epoch.copies and block not in self.epoch.holding
            if holder == self.name and here:
                actions += self._settle(block)
        return actions + self._start() + self._finish() + self._take_waiting()

    def _catch_up(self, model: ModelState) -> list[Action]:
        """Take the model with which the epoch began that is under way where we join."""
        epoch = self.epoch
        if self.view.is_early(model.view):
            return self._wait(model)
        current = (model.view, model.epoch) == (self.view.number, epoch.number)
        if not current or epoch.state != "joining" or epoch.base is not None:
            return []
        epoch.base = dict(model.tensors)
        if self.name in epoch.trainers or self._is_beyond(epoch.number):
            return self._open(epoch.number, epoch.plan, epoch.base, epoch.former, anew=True)
        return self._complete()

    # -- epochs ---------------------------------------------------------------------------

    def _open(
        self,
        number: int,
        plan: EpochPlan,
        base: Mapping[str, Array],
        former: Mapping[str, Token],
        *,
        anew: bool = False,
    ) -> list[Action]:
        """Begin an epoch, with a model and the final copies of the one before.

        ``anew``: the model does not come from what was trained here before.
        """
        if not plan.fresh and not self._is_beyond(number):
            base = self.model.regrouped(base, plan.groups)
        self.epoch = self._new_epoch(number, plan, "resting", base, former)
        if not plan.rest:
            return self._begin(anew=anew)
        if anew:  # the points here are to get their coordinates
            return self._begin(anew=True) + self._tell_all()
        if self.view.resume_of(number) is not None:  # the others have begun it
            return self._begin()
        return self._take_waiting() + self._wake_all()

    def _begin(self, *, anew: bool = False) -> list[Action]:
        """Begin the epoch at hand, unless all epochs are done that were asked for."""
        epoch = self.epoch
        if self._is_beyond(epoch.number):
            return []
        assert epoch.base is not None
        epoch.state = "training"
        self.agenda.new_points = False
        number, trainers = epoch.number, len(epoch.trainers)
        opened = OpenEpoch(self.view.number, number, epoch.plan, epoch.base, anew, trainers)
        return [opened, *self._start(), *self._take_waiting()]

    def _wake_all(self) -> list[Action]:
        """Begin the epoch before which the ring rests, if there is something to do, and tell the others."""
        epoch = self.epoch
        if epoch.state != "resting" or self.view.frozen or self.view.outside:
            return []
        if self.agenda.is_empty(epoch.plan) or self._is_beyond(epoch.number):
            return []
        return self._begin() + self._tell_all()

    def _tell_all(self) -> list[Action]:
        wake = Wake(self.view.number, self.epoch.number)
        return [Send(name, wake) for name in without(self.view.members, self.name)]

    def _woken(self, wake: Wake) -> list[Action]:
        epoch = self.epoch
        if self.view.is_early(wake.view) or wake.epoch > epoch.number:
            return self._wait(wake)
        return self._begin() if self._is_to_begin(wake) else []

    def _is_to_begin(self, message: Token | Wake) -> bool:
        """Return whether somebody else has begun the epoch before which this member rests."""
        current = message.view == self.view.number and message.epoch == self.epoch.number
        return current and self.epoch.state == "resting" and not self.view.frozen

    def _is_beyond(self, number: int) -> bool:
        return 0 < self.epochs <= number

    def _new_epoch(
        self,
        number: int,
        plan: EpochPlan,
        state: State,
        base: Mapping[str, Array] | None = None,
        former: Mapping[str, Token] | None = None,
    ) -> Epoch:
        model, signature = self.model, self.signature
        fresh = plan.fresh
        blocks = model.initial_blocks(signature) if fresh else model.blocks(signature, plan.groups)
        by_name = {block.name: block for block in blocks}
        resume = self.view.resume_of(number)
        trainers = resume.trainers if resume is not None else self.view.members
        epoch = Epoch(number, plan, state, by_name, base, former or {})
        return epoch.lined_up(self.view.members, trainers, self.seed)

    def _start(self) -> list[Action]:
        """Start the blocks that begin here and are nowhere yet."""
        resume = self.view.resume_of(self.epoch.number)
        actions: list[Action] = []
        for block in self.epoch.starting(self.name):
            if resume is None or block.name not in resume.holders:
                actions += self._receive(self._new_token(block), starts=True)
        return actions

    def _new_token(self, block: Block) -> Token:
        epoch = self.epoch
        assert epoch.base is not None
        return Token(
            view=self.view.number,
            epoch=epoch.number,
            block=block.name,
            lap=0,
            itinerary=epoch.trainers,
            final=False,
            plan=None,
            tensors=self.model.start(
                block, self.signature, epoch.base, part_of(epoch.plan).progress
            ),
        )

    # -- tokens ---------------------------------------------------------------------------

    def _wait(self, message: Token | ModelState | Wake) -> list[Action]:
        """Keep what comes too early; if there is no room, what is furthest ahead goes: it was never meant."""
        self.waiting.append(message)
        if len(self.waiting) > MAX_WAITING:
            self.waiting.sort(key=lambda early: (early.view, early.epoch))
            self.dropped[Drop.NO_ROOM] += len(self.waiting) - KEPT_WAITING
            del self.waiting[KEPT_WAITING:]
        return []

    def _take_waiting(self) -> list[Action]:
        waiting, self.waiting = self.waiting, []
        return [action for message in waiting for action in self.handle(message)]

    def _receive(self, token: Token, *, starts: bool = False) -> list[Action]:
        begun = self._begin() if self._is_to_begin(token) else []
        return begun + self._admit(token, starts=starts)

    def _admit(self, token: Token, *, starts: bool) -> list[Action]:
        match admission.admit(token, self.view, self.epoch, self.name):
            case Drop() as reason:
                self.dropped[reason] += 1
                return []
            case "wait":
                return self._wait(token)
            case "take":
                self.epoch.keep(token)
                if token.final:
                    return self._copy(token)
                return self._work(token, visits=starts or not self.epoch.blocks[token.block].alone)

    def _work(self, token: Token, *, visits: bool = True) -> list[Action]:
        epoch = self.epoch
        assert epoch.base is not None
        job = Train(
            token,
            epoch.blocks[token.block],
            epoch.base,
            fresh=epoch.plan.fresh,
            ends_lap=without(token.itinerary, self.name) == (),
            visits=visits,
            part=epoch.part(epoch.blocks[token.block]),
        )
        epoch.holding[token.block] = job
        return [job]

    def _train_done(self, done: TrainDone) -> list[Action]:
        epoch, block = self.epoch, done.job.token.block
        if epoch.holding.get(block) is not done.job:
            return []  # a new view has come meanwhile, and somebody else went on with the block
        del epoch.holding[block]
        self.progress += 1
        self.agenda.points = done.points or self.agenda.points
        token = epoch.copies[block]  # its itinerary may have been edited since the job began
        epoch.trained[block] = token.lap
        left = without(token.itinerary, self.name)
        epoch.copies[block] = replace(token, itinerary=left, tensors=done.tensors)
        if done.job.ends_lap:
            epoch.closed.add(block)
        return [] if self.view.frozen else self._settle(block)

    def _settle(self, block: str) -> list[Action]:
        """Decide what becomes of the copy of a block, on which nothing is left to do here.

        It goes on in its lap or last round, ends the lap, begins the next one, or begins its last round.
        """
        epoch = self.epoch
        token = epoch.copies[block]
        if token.final or token.itinerary:
            return self._pass_on(token)
        if block not in epoch.closed:
            return self._work(token, visits=False)
        if token.lap + 1 < epoch.blocks[block].laps:
            return self._pass_on(replace(token, lap=token.lap + 1, itinerary=epoch.trainers))
        plan = None
        if epoch.is_first(block):
            plan = plan_after(epoch.plan, self.agenda, self.model, len(self.view.members))
        others = without(self.view.members, self.name)
        return self._copy(replace(token, itinerary=others, final=True, plan=plan))

    def _copy(self, token: Token) -> list[Action]:
        self.progress += 1
        left = without(token.itinerary, self.name)
        return self._pass_on(replace(token, itinerary=left)) + self._complete()

    def _pass_on(self, token: Token) -> list[Action]:
        """Send a token to the next stop of its itinerary, if there is one."""
        self.epoch.keep(token)
        stop = next_stop(self.epoch.order, self.name, token.itinerary)
        if stop is None:
            return []
        return self._receive(token) if stop == self.name else [Send(stop, token)]

    # -- the end of an epoch --------------------------------------------------------------

    def _complete(self) -> list[Action]:
        """End the W step if a final copy of every block is here."""
        epoch = self.epoch
        if not epoch.complete or self.view.leaving:
            return []
        if epoch.state == "joining":
            return self._open_next()
        epoch.state = "z_step"
        result, following = epoch.result(self.model), epoch.following
        return [ZStep(self.view.number, epoch.number, epoch.plan, result, following)]

    def _z_step_done(self, done: ZStepDone) -> list[Action]:
        if (done.epoch, self.epoch.state) != (self.epoch.number, "z_step"):
            return []  # it was of an epoch that has been given up
        self.epoch.z_step_done = done
        self.agenda.settled = done.settled
        self.progress += 1
        return [] if self.view.frozen else self._finish()

    def _finish(self) -> list[Action]:
        """Report the epoch and open the next one, if the Z step is done."""
        epoch = self.epoch
        done = epoch.z_step_done
        if done is None or self.view.leaving:
            return []
        report = Report(
            self.view.number,
            epoch.number,
            epoch.plan,
            epoch.following,
            epoch.trainers,
            done.objective,
            epoch.result(self.model) if epoch.order[0] == self.name else None,
        )
        return [report, *self._open_next()]

    def _open_next(self) -> list[Action]:
        epoch = self.epoch
        result, anew = epoch.result(self.model), epoch.state == "joining"
        return self._open(epoch.number + 1, epoch.following, result, epoch.copies, anew=anew)
