"""Members with a network between them in which messages of one sender to one receiver keep their order, and no others.

What happens next is chosen by whoever runs it. Parameters are (value, count): a step adds 1 to the count alone, so the
sum of all values is to stay what it is, and that of all counts is the number of steps.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np

from streammac.consensus.graph import Graph
from streammac.consensus.member import FOR_EVER, Member, Phase
from streammac.consensus.messages import Action, Done, Received, Send, Step, Stepped
from streammac.consensus.rules import Rule

Choose = Callable[[int], int]
"""Returns a number below the one it gets."""


class Cluster:
    def __init__(
        self,
        names: Sequence[str],
        graph: Callable[[Sequence[str]], Graph],
        rule: Rule,
        iterations: range = FOR_EVER,
    ):
        links = graph(names)
        self.members = {
            name: Member(name, np.array([number + 1.0, 0.0]), rule, links, iterations)
            for number, name in enumerate(names)
        }
        self.links: dict[tuple[str, str], deque] = defaultdict(deque)
        self.steps: dict[str, Step] = {}
        self.weights: dict[int, dict[str, dict[str, float]]] = defaultdict(dict)
        """Of each iteration and member."""
        self.made = 0
        self.done: set[str] = set()
        for name in names:
            self.links["", name].append(None)  # each begins when it comes to it

    def can_happen(self, last: float) -> list[tuple[str, str]]:
        """Links with a message, and members whose step can end, of iterations before the last, as ("step", name)."""
        found = [link for link, queue in self.links.items() if queue]
        steps = [name for name, step in self.steps.items() if step.iteration < last]
        return sorted(found + [("step", name) for name in steps])

    def happen(self, what: tuple[str, str]) -> None:
        sender, name = what
        if sender == "step":
            w = self.steps.pop(name).w + np.array([0.0, 1.0])
            self.made += 1
            self.do(name, self.members[name].handle(Stepped(w)))
            return
        message = self.links[what].popleft()
        member = self.members[name]
        self.do(name, member.handle(Received(sender, message)) if sender else member.begin())

    def do(self, name: str, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send(to, message):
                    self.links[name, to].append(message)
                case Step(iteration, _, weights):
                    assert name not in self.steps, "one step at a time"
                    self.steps[name] = action
                    if weights:
                        self.weights[iteration - 1][name] = dict(weights)
                case Done(_, weights):
                    assert name not in self.done, "it ends once"
                    self.done.add(name)
                    if weights:
                        self.weights[-1][name] = dict(weights)

    def run(self, choose: Choose, events: int, last: float = math.inf) -> int:
        """Let so many things happen, or all there are; return how many did."""
        for done in range(events):
            possible = self.can_happen(last)
            if not possible:
                return done
            self.happen(possible[choose(len(possible))])
        return events

    def settle(self, choose: Choose) -> None:
        """Let nobody go on who is ahead, until no edge is averaged at one end alone."""
        last = max(member.iteration for member in self.members.values())
        for more in range(50):
            self.run(choose, 100_000, last + more)
            assert not self.can_happen(last + more)
            assert all(member.iteration >= last for member in self.members.values())
            if all(member.phase is not Phase.AGREEING for member in self.members.values()):
                return
        raise AssertionError("they do not come to an agreement")

    def total(self) -> np.ndarray:
        return sum(member.w for member in self.members.values())
