"""Whatever the order of pushes: no weight and no sum is lost or made, and all come to the same average."""

from __future__ import annotations

import random
from collections import defaultdict, deque

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.consensus.graph import pushed, ring
from streammac.consensus.messages import Received, Send, Step, Stepped
from streammac.consensus.push_sum import PushSum


class Pushing:
    def __init__(self, count: int, graph, ahead: int) -> None:
        names = [f"w{number}" for number in range(count)]
        links = graph(names)
        self.members = {
            n: PushSum(n, np.array([float(i)]), links, ahead) for i, n in enumerate(names)
        }
        self.links: dict[tuple[str, str], deque] = defaultdict(deque)
        self.steps: dict[str, Step] = {}
        self.moved = 0.0
        for name in names:
            self.do(name, self.members[name].begin())

    def feed(self, name: str, event) -> None:
        self.do(name, self.members[name].handle(event))

    def do(self, name: str, actions) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.links[name, action.to].append(action.message)
            else:
                assert name not in self.steps
                self.steps[name] = action

    def run(self, chance: random.Random, events: int, step: float = 0.0) -> None:
        for _ in range(events):
            possible = [link for link, queue in self.links.items() if queue]
            link = chance.choice(sorted([*possible, *(("", name) for name in self.steps)]))
            if link[0]:
                self.feed(link[1], Received(link[0], self.links[link].popleft()))
            else:
                self.moved += step
                self.feed(link[1], Stepped(self.steps.pop(link[1]).w + step))

    def total(self) -> tuple[float, float]:
        """The sum of all, with what is on its way, and the weight."""
        under_way = [push for queue in self.links.values() for push in queue]
        members = list(self.members.values())
        x = sum(float(m.x[0]) for m in members) + sum(float(p.x[0]) for p in under_way)
        return x, sum(m.weight for m in members) + sum(p.weight for p in under_way)


@settings(max_examples=25)
@given(st.integers(1, 7), st.sampled_from([pushed, ring]), st.integers(0, 3), st.integers())
def test_sums_and_weights_stay(count: int, graph, ahead: int, seed: int):
    made = Pushing(count, graph, ahead)
    made.run(random.Random(seed), 400, step=0.25)
    x, weight = made.total()
    np.testing.assert_allclose([x, weight], [count * (count - 1) / 2 + made.moved, count])
    assert all(member.weight > 0 for member in made.members.values())


@settings(max_examples=10)
@given(st.integers(2, 7), st.integers(0, 2), st.integers())
def test_all_agree_in_the_end(count: int, ahead: int, seed: int):
    made = Pushing(count, pushed, ahead)
    made.run(random.Random(seed), 400 * count)
    iterations = [member.iteration for member in made.members.values()]
    assert min(iterations) > 20, "nobody waits for ever"
    assert max(iterations) - min(iterations) <= count * (1 + ahead)
    for member in made.members.values():
        np.testing.assert_allclose(member.w, (count - 1) / 2, atol=0.01)
