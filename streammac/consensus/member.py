"""One member of a consensus: events in, actions out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from streammac.consensus.graph import Graph
from streammac.consensus.messages import (
    Action,
    Done,
    Event,
    Heard,
    Message,
    Offer,
    Received,
    Send,
    Step,
    Stepped,
)
from streammac.consensus.period import Period
from streammac.consensus.rules import Rule
from streammac.consensus.weights import metropolis, moves
from streammac.models.base import Floats

FOR_EVER = range(sys.maxsize)


class Phase(Enum):
    """What a member is at; the table in `streammac.consensus` says until when."""

    NEW = "has not begun"
    STEPPING = "makes its step"
    WAITING = "waits for offers"
    AGREEING = "waits for word of those it has heard"
    DONE = "has made all its iterations"


@dataclass(slots=True)
class _Other:
    """What another member has told."""

    offer: Offer | None = None
    past: int = -1
    """The last iteration that has ended there, as far as is known."""
    heard_me: int = -1
    """The last one that ended there after it had heard this member,"""
    heard: int = 0
    """and how many it had heard."""


class Member:
    """A member that trains its own copy of the parameters and averages with its neighbours.

    Parameters
    ----------
    name : str
        Its own.
    w : (D,) float array
        The parameters that it begins with.
    rule : Rule
        How long it waits; the same for all.
    graph : Graph
        Who averages with whom; the same for all.
    iterations : range
        The first one that it makes, and the first one that nobody makes any more.
    """

    def __init__(
        self, name: str, w: Floats, rule: Rule, graph: Graph, iterations: range = FOR_EVER
    ) -> None:
        self.name = name
        self.w = w
        self.rule = rule
        self.graph = graph
        self.phase = Phase.NEW
        self.iteration = iterations.start
        self._end_of_all = iterations.stop
        self.period = Period()
        self._past = iterations.start - 1
        self._others: dict[str, _Other] = {}
        self._heard: dict[str, Offer] = {}
        """Agreeing: the offers that the iteration ended with."""
        self._actions: list[Action] = []

    @property
    def neighbours(self) -> tuple[str, ...]:
        """With whom it averages."""
        return self.graph.targets.get(self.name, ())

    def begin(self) -> list[Action]:
        """Return what is to be done first: a step."""
        self._step({})
        return self._taken()

    def handle(self, event: Event) -> list[Action]:
        """Take in what has happened; return what is to be done, in this order."""
        match event:
            case Stepped(w) if self.phase is Phase.STEPPING:
                self.w = w
                self._stepped()
            case Received(sender, message) if self.phase is not Phase.DONE:
                assert isinstance(message, Offer | Heard), message
                self._take(sender, message)
        return self._taken()

    def _taken(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    # -- events ---------------------------------------------------------------------------

    def _stepped(self) -> None:
        """Offer what the step has made, or go on alone where nobody can take it any more."""
        latest = self._latest()
        if self._past >= self.iteration or (
            self.neighbours and all(self._other(n).past >= self.iteration for n in self.neighbours)
        ):
            if latest == self.iteration and not self._awaited(latest + 1):  # it was just late
                self._past = latest
                self._next(self.w, {})
                return
            # it is slow: its next step would be late as well, and this one is as good in the others' iteration
            self._past, self.iteration = latest, latest + 1
        self._wait()

    def _take(self, sender: str, message: Message) -> None:
        other = self._other(sender)
        match message:
            case Offer(iteration):
                if other.offer is None or other.offer.iteration < iteration:
                    other.offer = message
                other.past = max(other.past, message.iteration - 1)
            case Heard():
                other.past = max(other.past, message.iteration)
                if self.name in message.names and message.iteration > other.heard_me:
                    other.heard_me, other.heard = message.iteration, len(message.names)
        self._learn(message.period)
        self._look()

    # -- one iteration --------------------------------------------------------------------

    def _look(self) -> None:
        """Go as far as what is known allows."""
        if self.phase is Phase.STEPPING and self.rule.follows:
            self._follow()
        if self.phase is Phase.WAITING:
            heard = self._offers()
            missing = [n for n in self.neighbours if self._other(n).past < self.iteration]
            missing = [n for n in missing if n not in heard]
            over = self._latest() >= self.iteration and (self.rule.follows or not missing)
            if over and not heard and self._latest() > self.iteration:
                self._catch_up()
            elif over or self.rule.ends(heard, missing, self._wanted()):
                self._end()
        if self.phase is Phase.AGREEING and not self._owing():
            self._average()

    def _wait(self) -> None:
        """Offer what there is."""
        if self.iteration >= self._end_of_all:
            self._finish({})
            return
        self.phase = Phase.WAITING
        self.period = self.period.after(self.graph.edges, self.iteration)
        self._offer()
        self._look()

    def _follow(self) -> None:
        """Tell that iterations are over in which this member has no part: it is still at its step."""
        latest = self._latest()
        if latest > self._past and latest >= self.iteration:
            self._past = latest
            self._tell(Heard(latest, (), self.period), self.neighbours)

    def _catch_up(self) -> None:
        """Take the offer to the iteration that the others are in."""
        self._past = self._latest()
        self._tell(Heard(self._past, (), self.period), self.neighbours)
        self.iteration = self._past + 1
        self._wait()

    def _end(self) -> None:
        """End the iteration with the offers there are, and tell so: what both ends have heard is averaged."""
        self.phase = Phase.AGREEING
        self._past = self.iteration
        self._heard = self._offers()
        word = Heard(self.iteration, tuple(sorted(self._heard)), self.period)
        self._tell(word, self.neighbours)
        self._look()

    def _average(self) -> None:
        others = {name: self._other(name) for name in sorted(self._heard)}
        weights = {
            name: metropolis(len(self._heard), other.heard)
            for name, other in others.items()
            if other.heard_me == self.iteration
        }
        for name, edge in self.graph.along(self.name).items():
            if name in weights and self._first_of(name):
                self._learn(self.period.with_used(edge), tell=True)
        pairs = [(weight, self._heard[name].w) for name, weight in weights.items()]
        self._next(self.w + moves(self.w, pairs), weights)

    def _next(self, w: Floats, weights: Mapping[str, float]) -> None:
        """Begin the next iteration from these parameters."""
        self.w = w
        self._heard = {}
        self.iteration += 1
        self._step(weights)

    def _finish(self, weights: Mapping[str, float]) -> None:
        """End: nobody is to wait for what comes no more."""
        self.phase = Phase.DONE
        self._tell(Heard(self.iteration - 1, (), self.period), self.neighbours)
        self._actions.append(Done(self.w, weights))

    def _step(self, weights: Mapping[str, float]) -> None:
        if self.iteration >= self._end_of_all:
            self._finish(weights)
            return
        self.phase = Phase.STEPPING
        self._actions.append(Step(self.iteration, self.w, weights))
        self._look()

    # -- what is known --------------------------------------------------------------------

    def _other(self, name: str) -> _Other:
        return self._others.setdefault(name, _Other())

    def _latest(self) -> int:
        """Return the last iteration that is known to have ended anywhere round here."""
        return max([self._past, *(self._other(name).past for name in self.neighbours)])

    def _awaited(self, iteration: int) -> bool:
        """Return whether somebody has an offer in an iteration already."""
        offers = (self._other(name).offer for name in self.neighbours)
        return any(offer is not None and offer.iteration >= iteration for offer in offers)

    def _offers(self) -> dict[str, Offer]:
        """Return the offers of this iteration whose senders have not ended it without this member."""
        found = {}
        for name in self.neighbours:
            other = self._other(name)
            gone = other.past >= self.iteration and other.heard_me != self.iteration
            if other.offer is not None and other.offer.iteration == self.iteration and not gone:
                found[name] = other.offer
        return found

    def _owing(self) -> list[str]:
        """Return whom this member has heard, and who has not yet said whom it has heard itself."""
        return [name for name in self._heard if self._other(name).past < self.iteration]

    def _wanted(self) -> list[str]:
        """Return with whom to average brings the period nearer to its end; once it is complete, anybody is as good."""
        along, edges = self.graph.along(self.name), self.graph.edges
        if self.period.complete(edges):
            return list(self.neighbours)
        return [name for name, edge in along.items() if self.period.wants(edge)]

    def _first_of(self, name: str) -> bool:
        """Return whether this member counts the edge to one beside it: of two, one might do so a period late."""
        members = self.graph.members
        return members.index(self.name) < members.index(name)

    def _learn(self, period: Period, tell: bool = False) -> None:
        """Put together what is known of the period, and tell others, who may wait for it, if nothing else will soon."""
        known = self.period.merged(period).after(self.graph.edges, self.iteration)
        if known == self.period:
            return
        self.period = known
        if tell or self.phase is Phase.WAITING:
            self._tell(Heard(self._past, (), known), self.neighbours)

    # -- to others ------------------------------------------------------------------------

    def _offer(self) -> None:
        """Offer what there is to those who have not ended the iteration."""
        ready = [name for name in self.neighbours if self._other(name).past < self.iteration]
        self._tell(Offer(self.iteration, self.w, self.period), ready)

    def _tell(self, message: Message, names: Iterable[str]) -> None:
        self._actions += [Send(name, message) for name in sorted(names)]
