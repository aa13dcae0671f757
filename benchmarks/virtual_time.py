"""Members of a consensus in virtual time: the real state machines and real steps, with seconds put in for both.

A worker makes one step after the other; its messages leave one after the other, as from a network card, while it is at
its step. Small messages are as long as a large one of `SMALL` bytes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeAlias

import numpy as np

from streammac.consensus.messages import (
    Action,
    Event,
    Offer,
    Push,
    Received,
    Send,
    Step,
    Stepped,
)
from streammac.models.base import Floats
from streammac.planning.constants import HopCost

SMALL = 100


class Machine(Protocol):
    """A member: what it trains, how far it is, and what it makes of events."""

    iteration: int

    @property
    def w(self) -> Floats:
        """Return its parameters."""
        ...

    def begin(self) -> list[Action]:
        """Return what is to be done first."""
        ...

    def handle(self, event: Event) -> list[Action]:
        """Take in what has happened."""
        ...


Work: TypeAlias = Callable[[str, int, Floats], tuple[Floats, float]]
"""Of a worker, an iteration and parameters: the parameters after a step, and the seconds that it takes."""


class VirtualTime:
    """Members that run in virtual time.

    Parameters
    ----------
    members : mapping of str to Machine
        By name; all are there from the beginning.
    work : callable
        Makes a step.
    hop : HopCost
        Between any two.
    """

    def __init__(self, members: Mapping[str, Machine], work: Work, hop: HopCost) -> None:
        self.members = members
        self._work = work
        self._hop = hop
        self.now = 0.0
        self.sent_bytes = 0
        self.steps = 0
        self.averaged = 0
        """Neighbours with which steps were averaged."""
        self._sends_until = dict.fromkeys(members, 0.0)
        self._queue: list[tuple[float, int, str, Event]] = []
        self._count = 0
        for name in members:
            self._do(name, members[name].begin())

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while self._queue and self._queue[0][0] <= until_s:
            self.now, _, name, event = heapq.heappop(self._queue)
            self._feed(name, event)
        self.now = until_s

    def run_iterations(self, count: int) -> None:
        """Let time pass until each member has come to its iteration ``count``."""
        while min(member.iteration for member in self.members.values()) < count:
            self.run(self._queue[0][0])

    def mean(self) -> Floats:
        """Return the mean of all copies."""
        total: Floats = np.stack([member.w for member in self.members.values()]).mean(axis=0)
        return total

    def _feed(self, name: str, event: Event) -> None:
        self._do(name, self.members[name].handle(event))

    def _do(self, name: str, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(to, message):
                    large = isinstance(message, Offer | Push)
                    size = SMALL + (self.members[name].w.nbytes if large else 0)
                    begin = max(self.now, self._sends_until[name])
                    self._sends_until[name] = begin + size * self._hop.byte_s
                    self.sent_bytes += size
                    self._at(
                        self._sends_until[name] + self._hop.latency_s, to, Received(name, message)
                    )
                case Step(iteration, w, weights):
                    self.steps += 1
                    self.averaged += len(weights)
                    after, seconds = self._work(name, iteration, w)
                    self._at(self.now + seconds, name, Stepped(after))

    def _at(self, when: float, name: str, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, name, event))
