"""A ring in virtual time: the real state machines, with seconds of computing and of the network put in for both.

Each worker does its jobs one after the other, as a compute thread does; its messages leave one after the other, as from
a network card, while it computes. Nothing is trained and nothing is left to chance but the ring order of each epoch.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from streammac.models.base import Objective
from streammac.planning.constants import Constants, HopCost
from streammac.planning.workload import Workload
from streammac.ring.member import Event, Member
from streammac.ring.member_actions import (
    Action,
    GradientStep,
    Job,
    OpenEpoch,
    Report,
    Send,
    Train,
    TrainDone,
    ZStep,
    ZStepDone,
)
from streammac.wire.messages import EpochPlan, MemberAddress, Resume, Token, View

WARM_UP = 1
"""Epochs before the first that counts: all begin the very first one at the same time."""
EPOCHS = 3


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds and bytes at one worker.

    Attributes
    ----------
    visits : mapping of str to float
        Seconds of a visit, by block.
    sizes : mapping of str to (float, float)
        Bytes of a block, in training and on its last round.
    z_step_s : float
        Seconds of a Z step.
    once_s : float
        Seconds that the first visit of hash functions in an epoch takes beside its own.
    hop : HopCost
        Between any two.
    """

    visits: Mapping[str, float]
    sizes: Mapping[str, tuple[float, float]]
    z_step_s: float
    once_s: float
    hop: HopCost

    @classmethod
    def of(cls, workload: Workload, constants: Constants, workers: int) -> Costs:
        """Return those of a ring of so many, with equal shards."""
        points, pieces = workload.shard_points(workers), workload.pieces(workers)
        return cls(
            {piece.block.name: constants.visit_s(piece, points) for piece in pieces},
            {
                piece.block.name: (
                    constants.token_bytes(piece, final=False),
                    constants.token_bytes(piece, final=True),
                )
                for piece in pieces
            },
            constants.z_step_s(points),
            constants.once_s(points),
            constants.hop,
        )

    def job_s(self, job: Job) -> float:
        """Return the seconds of a job."""
        match job:
            case Train():
                return self.visits[job.token.block] if job.visits else 0.0
            case ZStep():
                return self.z_step_s
        return 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a ring did, per epoch.

    Attributes
    ----------
    epoch_s : float
        Seconds from the end of one epoch to the end of the next.
    busy : float
        Share of the time in which a worker computes, mean of all.
    hops : float
        Messages that are sent.
    sent_bytes : float
        Bytes of all of them.
    """

    epoch_s: float
    busy: float
    hops: float
    sent_bytes: float


@dataclass(slots=True)
class _Worker:
    member: Member
    jobs: deque[Job] = field(default_factory=deque)
    computes: bool = False
    busy_s: float = 0.0
    met: int = 0
    """The newest epoch of which hash functions have visited."""
    sends_until: float = 0.0


def _meets(job: Job) -> TypeGuard[Train]:
    """Return whether hash functions are trained on points."""
    return isinstance(job, Train) and job.visits and job.token.block.startswith("encoder")


class _Ring:
    def __init__(self, workload: Workload, workers: int, costs: Costs, epochs: int) -> None:
        width = len(str(workers))
        names = [f"w{number:0{width}}" for number in range(1, workers + 1)]
        model, signature = workload.model, workload.signature
        self._model = model
        self._costs = costs
        self._epochs = epochs
        self._finished = 0
        self.workers = {name: _Worker(Member(name, model, signature, seed=0)) for name in names}
        self._queue: list[tuple[float, int, str, Event | Job]] = []
        self._count = 0
        self._now = 0.0
        self.hops = 0
        self.sent_bytes = 0.0
        self.ends: dict[int, float] = {}
        """When the last worker has finished an epoch."""

    def run(self) -> None:
        """Let time pass until all have finished all epochs."""
        names = tuple(self.workers)
        view = View(1, tuple(MemberAddress(name, name) for name in names))
        # no fresh epoch: the ring goes on from a model
        plan = EpochPlan(age=1, groups=self._model.groups_for(len(names)))
        resume = Resume(1, 1, plan, names, cold=True, tensors={})
        for name in names:
            self._feed(name, view)
            self._feed(name, resume)
        while self._finished < self._epochs * len(names):
            self._now, _, name, event = heapq.heappop(self._queue)
            if isinstance(event, OpenEpoch | Train | GradientStep | ZStep):
                self._ended(name, event)
            else:
                self._feed(name, event)

    def _at(self, when: float, name: str, event: Event | Job) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, name, event))

    def _feed(self, name: str, event: Event) -> None:
        for action in self.workers[name].member.handle(event):
            self._do(name, action)

    def _do(self, name: str, action: Action) -> None:
        worker = self.workers[name]
        match action:
            case Send():
                self._send(worker, action)
            case Report():
                self._finished += 1
                self.ends[action.epoch] = self._now
            case OpenEpoch() | Train() | ZStep():
                worker.jobs.append(action)
                self._compute(name)

    def _send(self, worker: _Worker, send: Send) -> None:
        assert isinstance(send.message, Token), "nobody joins"
        size = self._costs.sizes[send.message.block][send.message.final]
        hop = self._costs.hop
        worker.sends_until = max(self._now, worker.sends_until) + size * hop.byte_s
        if send.message.epoch <= self._epochs:
            self.hops += 1
            self.sent_bytes += size
        self._at(worker.sends_until + hop.latency_s, send.to, send.message)

    def _compute(self, name: str) -> None:
        worker = self.workers[name]
        if worker.jobs and not worker.computes:
            job = worker.jobs.popleft()
            seconds = self._costs.job_s(job)
            if _meets(job) and worker.met < job.token.epoch:
                seconds += self._costs.once_s
                worker.met = job.token.epoch
            worker.computes = True
            worker.busy_s += seconds
            self._at(self._now + seconds, name, job)

    def _ended(self, name: str, job: Job) -> None:
        self.workers[name].computes = False
        match job:
            case Train():
                self._feed(name, TrainDone(job, {}))
            case ZStep():
                self._feed(name, ZStepDone(job.view, job.epoch, Objective()))
        self._compute(name)


def simulate(workload: Workload, constants: Constants, workers: int) -> Simulated:
    """Let a ring of so many workers make some epochs."""
    every = WARM_UP + EPOCHS
    ring = _Ring(workload, workers, Costs.of(workload, constants, workers), every)
    ring.run()
    end = ring.ends[every]
    busy = sum(worker.busy_s for worker in ring.workers.values()) / (end * workers)
    epoch_s = (end - ring.ends[WARM_UP]) / EPOCHS
    return Simulated(epoch_s, min(1.0, busy), ring.hops / every, ring.sent_bytes / every)
