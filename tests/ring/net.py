"""A ring of real members over a network that delivers in any order, and a coordinator that changes views."""

from __future__ import annotations

import random
from collections.abc import Collection

import numpy as np

from streammac.models.base import Objective
from streammac.models.signature import Signature
from streammac.ring.member import Member
from streammac.ring.member_actions import (
    Answer,
    OpenEpoch,
    Report,
    Send,
    Train,
    TrainDone,
    ZStep,
    ZStepDone,
)
from streammac.ring.view_change import ViewChange
from streammac.wire.messages import EpochPlan, Holdings, MemberAddress, Resume, Token, View
from tests.ring.tally import TallyModel

COORDINATOR = ""


def addresses(names: Collection[str]) -> tuple[MemberAddress, ...]:
    return tuple(MemberAddress(name, f"at {name}") for name in sorted(names))


def begin(member: Member, names: Collection[str], number: int = 1, **more) -> list:
    """Put a member into its first view; return what it does then."""
    member.handle(View(number, addresses(names)))
    plan = EpochPlan(fresh=True)
    return member.handle(Resume(number, 0, plan, tuple(sorted(names)), cold=True, **more))


class Net:
    """Members, messages in flight and jobs in progress; `step` lets one random thing happen."""

    def __init__(self, names, epochs, seed, laps=2, blocks=3, *, rests=False) -> None:
        self.rng = random.Random(seed)
        self.epochs = epochs
        self.rests = rests
        self.unsettled: dict[str, int] = {}
        """How many Z steps of a member still change something."""
        self.model = TallyModel(blocks, laps)
        self.members: dict[str, Member] = {}
        self.messages: list[tuple[str, object]] = []
        self.jobs: dict[str, list[object]] = {}
        self.visits: list[tuple[int, str, int, str]] = []
        self.reports: list[tuple[str, Report]] = []
        self.sent = 0
        self.change: ViewChange | None = None
        self.ring: dict[str, int] = {}
        for name in names:
            self.add(name)
        self.view(names)

    def add(self, name) -> None:
        self.members[name] = Member(
            name, self.model, Signature(2), seed=5, epochs=self.epochs, rests=self.rests
        )
        self.jobs[name] = []

    def view(self, names, leaving=()) -> None:
        """Announce a view."""
        number = self.change.view.number + 1 if self.change else 1
        everybody = dict.fromkeys((*names, *leaving), 1)
        self.change = ViewChange(
            View(number, addresses(names), addresses(leaving)),
            everybody,
            frozenset(everybody.keys() & self.ring.keys()),
        )
        self.ring = self.change.ring
        self.messages += [(name, self.change.view) for name in everybody]
        self.settle()

    def settle(self) -> None:
        if self.change is None or not self.change.answered or self.change.resume is not None:
            return
        resume = self.change.settle(0, EpochPlan(fresh=True), {})
        self.ring = self.change.ring
        self.messages += [(name, resume) for name in self.change.members]

    def kill(self, name) -> None:
        """A process dies, with all that is under way to it and what it had not handed over yet."""
        del self.members[name], self.jobs[name]
        self.ring.pop(name, None)
        self.messages = [m for m in self.messages if m[0] != name]

    def feed(self, name, event) -> None:
        if name == COORDINATOR:
            if self.change is not None and isinstance(event, Holdings):
                self.change.answer(event)
                self.settle()
            return
        if name not in self.members:
            return
        for action in self.members[name].handle(event):
            match action:
                case Send():
                    self.sent += 1
                    self.messages.append((action.to, action.message))
                case Answer():
                    self.messages.append((COORDINATOR, action.holdings))
                case Report():
                    self.reports.append((name, action))
                case OpenEpoch() | Train() | ZStep():
                    self.jobs[name].append(action)
        self.check()

    def check(self) -> None:
        """At most one training token of a block anywhere: under way, or held by one member."""
        newest = max(m.view.number for m in self.members.values())
        places: dict[tuple[int, str], int] = {}
        tokens = [t for _, t in self.messages]
        for member in self.members.values():
            if not member.view.frozen and member.view.number == newest:
                tokens += [member.epoch.copies[name] for name in member.epoch.holding]
            tokens += member.waiting
        for token in tokens:
            if isinstance(token, Token) and token.view == newest and not token.final:
                key = (token.epoch, token.block)
                places[key] = places.get(key, 0) + 1
        assert all(count == 1 for count in places.values()), places

    def work(self, name) -> None:
        job = self.jobs[name].pop(0)
        member = self.members[name]
        if isinstance(job, Train):
            token = job.token
            state = dict(token.tensors)
            if job.visits:
                if member.epoch.holding.get(token.block) is job:
                    self.visits.append((token.epoch, token.block, token.lap, name))
                state = {k: v + np.eye(len(v), dtype=v.dtype)[0] for k, v in state.items()}
            if job.ends_lap:
                state = self.model.end_lap(job.block, job.params, state, token.lap)
            self.feed(name, TrainDone(job, state))
        elif isinstance(job, ZStep):
            left = self.unsettled[name] = max(0, self.unsettled.get(name, 0) - 1)
            done = ZStepDone(job.view, job.epoch, Objective(points=1), settled=left == 0)
            self.feed(name, done)

    def step(self) -> bool:
        busy = [name for name, jobs in self.jobs.items() if jobs]
        choices = len(self.messages) + len(busy)
        if choices == 0:
            return False
        pick = self.rng.randrange(choices)
        if pick < len(self.messages):
            to, message = self.messages[pick]
            if isinstance(message, View | Resume):  # the coordinator's line keeps the order
                pick = next(
                    i
                    for i, (other, m) in enumerate(self.messages)
                    if other == to and isinstance(m, View | Resume)
                )
            self.feed(*self.messages.pop(pick))
        else:
            self.work(busy[pick - len(self.messages)])
        return True

    def run(self, limit=100_000) -> None:
        while self.step():
            limit -= 1
            assert limit, "the ring does not come to rest"
