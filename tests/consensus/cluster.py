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
from streammac.consensus.member import Member, Phase
from streammac.consensus.messages import Event, Overdue, Received, Send, Step, Stepped, View
from streammac.consensus.rules import Rule

Choose = Callable[[int], int]
"""Returns a number below the one it gets."""


class Cluster:
    def __init__(self, names: Sequence[str], graph: Callable[[Sequence[str]], Graph], rule: Rule):
        self.topology, self.rule = graph, rule
        self.members: dict[str, Member] = {}
        self.links: dict[tuple[str, str], deque] = defaultdict(deque)
        self.steps: dict[str, Step] = {}
        self.hangs: set[str] = set()
        self.weights: dict[int, dict[str, dict[str, float]]] = defaultdict(dict)
        """Of each iteration and member."""
        self.views = 0
        self.made = 0
        for name in names:
            self.add(name)
        self.view()

    def add(self, name: str) -> None:
        value = np.array([float(len(self.members) + 1), 0.0])
        self.members[name] = Member(name, value, self.rule)

    def view(self) -> None:
        """Announce who is there; it comes to each as one message among others."""
        self.views += 1
        view = View(self.views, self.topology(tuple(self.members)))
        for name in self.members:
            self.links["", name].append(view)

    def lose(self, name: str) -> None:
        del self.members[name]
        self.steps.pop(name, None)
        self.hangs.discard(name)
        for link in [link for link in self.links if name in link]:
            del self.links[link]

    def can_happen(self, last: float) -> list[tuple[str, str]]:
        """Links with a message, and members whose step can end, of iterations before the last, as ("step", name)."""
        found = [link for link, queue in self.links.items() if queue and link[1] not in self.hangs]
        steps = [name for name, step in self.steps.items() if step.iteration < last]
        return sorted(found + [("step", name) for name in steps if name not in self.hangs])

    def happen(self, what: tuple[str, str]) -> None:
        sender, name = what
        if sender == "step":
            w = self.steps.pop(name).w + np.array([0.0, 1.0])
            self.made += 1
            self.feed(name, Stepped(w))
            return
        message = self.links[what].popleft()
        self.feed(name, message if sender == "" else Received(sender, message))

    def feed(self, name: str, event: Event) -> None:
        for action in self.members[name].handle(event):
            match action:
                case Send(to, message):
                    if to in self.members:
                        self.links[name, to].append(message)
                case Step(iteration, _, weights):
                    assert name not in self.steps, "one step at a time"
                    self.steps[name] = action
                    if weights:
                        self.weights[iteration - 1][name] = dict(weights)

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

    def overdue(self, name: str) -> None:
        self.feed(name, Overdue())

    def total(self) -> np.ndarray:
        return sum(member.w for member in self.members.values())
