"""Consensus inside an epoch of the ring: a member whose copy of the model is averaged with others' in training.

To the ring, copies are blocks that are trained alone, each where it starts (`models.consensus_training`). Such a
`Train` job is not done by the compute thread at once: it is as many iterations of a `consensus.Member` as the epoch's
plan says, each of them a `GradientStep` for the compute thread, and messages to those who train a copy as well. When
they are made the job is done, and the ring goes on as with any block: all copies are with everybody in the end, and
their mean is the model.

**Who averages with whom** all know without asking: those at whom a block starts, in the epoch's order. They take part
from the first iteration to the last.

**A view** ends the averaging for the epoch that it finds. What others have of it nobody knows then; so each goes on
alone with what it has, for the iterations that are left, and the copies meet when they are done. What was sent in
another view or epoch is dropped, or waits for it. A link that does not carry is therefore waited for until the ring's
stall watch makes a view, and no longer.

**A member trains one copy in an epoch.** Where that of a dead one falls to somebody who has had one, it stays as it
is, which counts for nothing: the mean is of those that were trained. Who leaves ends its copy as far as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from streammac.consensus import member as consensus
from streammac.consensus import messages
from streammac.consensus.graph import Graph, suited
from streammac.consensus.period import Period
from streammac.consensus.rules import Rule
from streammac.models.base import Array, Floats
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.shuffling import LEAST_STEPS
from streammac.models.signature import Signature
from streammac.ring.admission import Drop
from streammac.ring.member import MAX_WAITING, Event, Member
from streammac.ring.member_actions import (
    Action,
    GradientStep,
    GradientStepDone,
    Send,
    Train,
    TrainDone,
)
from streammac.wire.messages import Heard, Offer
from streammac.wire.reports import RingProgress


@dataclass(slots=True)
class _Copy:
    """The copy that is trained here.

    Attributes
    ----------
    job : Train
        What the ring waits for.
    w : (D,) float array
        As it was when the averaging began, or ended.
    first : int
        The iteration with which it begins then.
    member : Member or None
        Who averages it; None: the averaging has still to begin, or a view is about to end it.
    step : GradientStep or None
        The one under way.
    points : int
        Those that are here, as far as is known.
    """

    job: Train
    w: Floats
    first: int = 0
    member: consensus.Member | None = None
    step: GradientStep | None = None
    points: int = 0

    def pause(self) -> None:
        """End the averaging. A step that is under way is made again."""
        if self.member is not None:
            stepping = self.member.phase is consensus.Phase.STEPPING
            self.w, self.first = self.member.w, self.member.iteration + (not stepping)
        self.member = self.step = None


class AveragingMember(Member):
    """The state of one worker that trains by consensus.

    Parameters
    ----------
    name, model, signature, seed, epochs, rests
        As of `Member`.
    rule : Rule
        How long an iteration waits; the same for all.

    Attributes
    ----------
    iterations : int
        Steps made so far.
    neighbours : int
        With how many others the copy was averaged, summed over them.
    """

    def __init__(
        self,
        name: str,
        model: ConsensusTraining,
        signature: Signature,
        seed: int,
        epochs: int = 0,
        *,
        rests: bool = False,
        rule: Rule,
    ) -> None:
        super().__init__(name, model, signature, seed, epochs, rests=rests)
        self.rule = rule
        self.iterations = self.neighbours = 0
        self._model = model
        self._own: _Copy | None = None
        self._had: Mapping[str, Array] | None = None
        """The model with which the newest epoch began in which a copy was trained here."""
        self._early: list[Offer | Heard] = []
        """What came before the copy was here, or its view or epoch."""

    def handle(self, event: Event) -> list[Action]:
        """Take one event; return what is to be done, in order."""
        match event:
            case Offer() | Heard():
                actions = self._hear(event)
            case GradientStepDone():
                actions = self._stepped(event)
            case _:
                actions = [a for action in super().handle(event) for a in self._taken_over(action)]
        return actions + self._go_on()

    @property
    def working(self) -> bool:
        """Return whether a job of the current epoch is under way here: who waits for others does nothing."""
        if self._own is None:
            return super().working
        return self._own.step is not None or len(self.epoch.holding) > 1

    def ring_progress(self, *, busy: bool) -> RingProgress:
        """See `Member.ring_progress`."""
        told = super().ring_progress(busy=busy)
        return replace(told, iterations=self.iterations, neighbours=self.neighbours)

    # -- a copy, from its job to its end ----------------------------------------------------

    def _taken_over(self, action: Action) -> list[Action]:
        """Return what is to be done about an action of the ring: to train a copy is no job for the compute thread."""
        if not (isinstance(action, Train) and action.visits and action.block.alone):
            return [action]
        if self._had is action.params:
            return [TrainDone(action, action.token.tensors)]
        self._had = action.params
        self._own = _Copy(action, self._model.copy_in(action.block, action.token.tensors))
        return []

    def _go_on(self) -> list[Action]:
        """Do as the ring's state asks."""
        copy = self._own
        if copy is None:
            return []
        if self.epoch.holding.get(copy.job.block.name) is not copy.job:
            self._own = None  # somebody else goes on with it, or nobody
        elif self.view.frozen or self.view.outside:
            copy.pause()
        elif copy.member is None:
            return self._end(copy) if self.view.leaving else self._begin_averaging(copy)
        return []

    def _begin_averaging(self, copy: _Copy) -> list[Action]:
        iterations = range(copy.first, max(copy.first, self._last))
        copy.member = consensus.Member(self.name, copy.w, self.rule, self._graph, iterations)
        actions = self._do(copy, copy.member.begin())
        early, self._early = self._early, []
        return actions + [action for message in early for action in self._hear(message)]

    @property
    def _last(self) -> int:
        """How many iterations the epoch has."""
        return self.epoch.plan.iterations or LEAST_STEPS

    @property
    def _graph(self) -> Graph:
        """Who averages with whom: those at whom a block starts; in an epoch that a view has found, nobody."""
        epoch = self.epoch
        resume = self.view.resume_of(epoch.number)
        if resume is not None and not resume.cold:
            return suited((self.name,))
        return suited(epoch.order[: min(len(epoch.blocks), len(epoch.trainers))])

    def _stepped(self, done: GradientStepDone) -> list[Action]:
        copy = self._own
        if copy is None or copy.member is None or copy.step is not done.step:
            return []
        self.progress += 1
        self.iterations += 1
        copy.step, copy.points = None, done.points
        return self._do(copy, copy.member.handle(messages.Stepped(done.w)))

    def _do(self, copy: _Copy, wanted: Iterable[messages.Action]) -> list[Action]:
        actions: list[Action] = []
        for action in wanted:
            match action:
                case messages.Send(to, message):
                    assert not isinstance(message, messages.Push)
                    actions.append(Send(to, self._on_the_wire(message)))
                case messages.Step(_, w, weights):
                    self.neighbours += len(weights)
                    copy.step = GradientStep(copy.job, w)
                    actions.append(copy.step)
                case messages.Done(w, weights):
                    self.neighbours += len(weights)
                    copy.w, copy.first = w, self._last
                    actions += self._end(copy)
        return actions

    def _end(self, copy: _Copy) -> list[Action]:
        """Tell the ring that the copy is trained, if it was."""
        self._own = None
        block = copy.job.block
        state = self._model.trained(block, copy.w) if copy.first else copy.job.token.tensors
        return [TrainDone(copy.job, state, copy.points)]

    # -- what others tell --------------------------------------------------------------------

    def _hear(self, message: Offer | Heard) -> list[Action]:
        view, epoch, copy = self.view, self.epoch, self._own
        if message.view < view.number:
            return self._drop(Drop.OLD_VIEW)
        if view.is_early(message.view) or message.epoch > epoch.number:
            return self._keep(message)
        if message.epoch < epoch.number:
            return self._drop(Drop.OLD_EPOCH)
        if copy is not None and copy.member is not None:
            found = _taken(message, copy.member, copy.w, self._last)
            return (
                self._drop(Drop.MISFIT)
                if found is None
                else self._do(copy, copy.member.handle(found))
            )
        # a copy that is done hears no more
        return [] if self._had is not None and self._had is epoch.base else self._keep(message)

    def _keep(self, message: Offer | Heard) -> list[Action]:
        # copies are large, and who begins late hears of all iterations: what is newer says all of it
        kept = [one for one in self._early if not _says_all_of(message, one)]
        if not any(_says_all_of(one, message) for one in kept):
            kept.append(message)
        self._early = kept
        if len(self._early) > MAX_WAITING:
            self.dropped[Drop.NO_ROOM] += 1
            del self._early[0]
        return []

    def _drop(self, reason: Drop) -> list[Action]:
        self.dropped[reason] += 1
        return []

    def _on_the_wire(self, message: messages.Message) -> Offer | Heard:
        view, epoch, period = self.view.number, self.epoch.number, message.period
        used = tuple(edge for edge in range(period.used.bit_length()) if period.used >> edge & 1)
        match message:
            case messages.Offer(iteration, w):
                return Offer(view, epoch, self.name, iteration, period.number, used, {"w": w})
            case messages.Heard(iteration, names):
                return Heard(view, epoch, self.name, iteration + 1, names, period.number, used)


def _says_all_of(newer: Offer | Heard, older: Offer | Heard) -> bool:
    """Return whether one message tells a member that has still to begin all that another one of its sender does."""
    if (newer.view, newer.epoch, newer.name) != (older.view, older.epoch, older.name):
        return False
    match newer, older:
        case Offer(), Offer():
            return newer.iteration >= older.iteration
        case Heard(), Heard():
            return newer.ended >= older.ended
    return False


def _taken(
    message: Offer | Heard, member: consensus.Member, like: Floats, last: int
) -> messages.Received | None:
    """Return what a neighbour has told; None if it cannot be, of copies like this and so many iterations."""
    edges = member.graph.edges
    if message.name not in member.neighbours or message.period > last:
        return None
    if any(edge >= edges for edge in message.used):
        return None
    period = Period(message.period, sum(1 << edge for edge in set(message.used)))
    match message:
        case Offer(iteration=iteration, tensors=tensors):
            w = tensors.get("w")
            if len(tensors) != 1 or w is None or iteration >= last:
                return None
            if (w.shape, w.dtype) != (like.shape, like.dtype):
                return None
            return messages.Received(message.name, messages.Offer(iteration, w, period))
        case Heard(ended=ended, names=names):
            if ended > last or not set(names) <= set(member.graph.members):
                return None
            return messages.Received(message.name, messages.Heard(ended - 1, names, period))
