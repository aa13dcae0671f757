"""The compute side of a worker: does the jobs of the ring's state machine on one shard.

`Learner.do` takes a job (`OpenEpoch`, `Train`, `ZStep`) and returns what the state machine wants to hear of
it. It runs in the worker's compute thread, and inside the in-process ring.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from streammac.errors import StreammacError
from streammac.models.base import Array, Batch, Floats, NestedModel, Objective, Tensors
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.local import VisitKey, VisitPlan, endless, enter, minibatches, z_pass
from streammac.models.signature import Signature
from streammac.points.range import told_not_finite
from streammac.ring.epoch import part_of
from streammac.ring.member_actions import (
    Done,
    GradientStep,
    GradientStepDone,
    Job,
    OpenEpoch,
    Train,
    TrainDone,
    ZStep,
    ZStepDone,
)
from streammac.settings.schema import Settings, visit_budget
from streammac.store import Shard
from workers.drift import DriftWatch
from workers.pace import Pace, pace_of
from workers.prequential import NewRows, Prequential
from workers.snapshot import Recent, Snapshot, SnapshotSource

log = logging.getLogger(__name__)

LEAST_RECENT = 1000
"""A drift is told of with its first points: so many of the newest have a part in training, whatever their kind."""


NUMERICAL = (ArithmeticError, np.linalg.LinAlgError)
"""What a step of training raises that cannot go on with its numbers."""


SETTLED = 1e-3
"""A Z step that changes no larger share of the coordinates has nothing left to improve. What users search by rests by
then, and decoders that are fitted to a sample of the points let a few coordinates change their minds for ever."""


class NotFinite(StreammacError, ArithmeticError):
    """A step of training has made numbers that are not finite: they go no further."""


def _check_finite(tensors: Mapping[str, Array]) -> None:
    wild = told_not_finite(tensors)
    if wild:
        raise NotFinite(wild)


@dataclass(slots=True)
class PhaseTimes:
    """Seconds of work in the current epoch."""

    train: float = 0.0
    z_step: float = 0.0
    enter: float = 0.0

    @property
    def busy(self) -> float:
        """All of it."""
        return self.train + self.z_step + self.enter


@dataclass(frozen=True, slots=True)
class Opened:
    """The points of an epoch, and what visiting blocks have found out about them (`Batch.memo`)."""

    data: Snapshot
    memo: dict[Any, Any] = field(default_factory=dict)
    newest: int | None = None
    """From this position on points are new in it; None: that is of no consequence."""
    steps: dict[str, Iterator[Batch]] = field(default_factory=dict)
    """What the copy of a block is trained on from now on."""


@dataclass(slots=True)
class Sweep:
    """How far Z steps have come that may not get through all points at a time.

    Attributes
    ----------
    resume : int
        Number of the row at which the next one goes on.
    calm : int
        Rows gone through since one changed much.
    error : float
        Mean error of the points that the last one went through, by the newest model; 0: there was none.
    """

    resume: int = 0
    calm: int = 0
    error: float = 0.0

    def start(self, data: Snapshot) -> int:
        """Return the position at which a Z step begins."""
        position = data.position(self.resume)
        return position if position < len(data) else 0

    def went(self, data: Snapshot, start: int, objective: Objective, *, over: bool) -> bool:
        """Take what a Z step came to that began there; return whether nothing is left to improve.

        ``over``: so is the continuation.
        """
        seen = objective.points + objective.left_out
        self.error = objective.error if objective.points else self.error
        self.resume = data.number((start + seen) % max(1, len(data)))
        is_calm = over and objective.changed <= SETTLED * objective.points
        self.calm = self.calm + seen if is_calm else 0
        return self.calm >= len(data)


@dataclass(slots=True)
class Learner:
    """One worker's learning.

    Parameters
    ----------
    name : str
        The worker's name: part of the seed of its minibatches.
    model : NestedModel
        What is trained.
    shard : SnapshotSource
        The points.
    plan : VisitPlan
        How visits sample the shard.
    pace : Pace or None
        Time budget of visits and Z steps.
    drift : DriftWatch or None
        Watches the error of new points, as they enter.
    prequential : Prequential
        Sums up how the model does on them.
    cancelled : callable
        Returns True once the process is about to end: visits stop after the current minibatch.

    Attributes
    ----------
    failed_steps, failed_step : int, str
        Jobs that failed on their numbers; the newest of them, and what came of it.
    """

    name: str
    model: NestedModel
    shard: SnapshotSource
    plan: VisitPlan
    pace: Pace | None = None
    drift: DriftWatch | None = None
    prequential: Prequential = field(default_factory=Prequential)
    cancelled: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    times: PhaseTimes = field(default_factory=PhaseTimes)
    failed_steps: int = 0
    failed_step: str = ""
    _opened: Opened | None = None
    _entered: int = 0  # rows of smaller numbers have coordinates
    _sweep: Sweep = field(default_factory=Sweep)

    def do(self, job: Job) -> Done | None:
        """Do one job; of one that fails on its numbers is told, and the ring goes on without it."""
        try:
            return self._do(job)
        except NUMERICAL as error:
            self._failed(job, error, "the points here have no part in it")
            return self._without(job)

    def _do(self, job: Job) -> Done | None:
        begin = self.clock()
        match job:
            case OpenEpoch():
                self._open(job)
                self.times = PhaseTimes(enter=self.clock() - begin)
                return None
            case Train() | GradientStep():
                done = self._train(job) if isinstance(job, Train) else self._step(job)
                self.times.train += self.clock() - begin
                return done
            case ZStep():
                z_step_done = self._z_step(job)
                self.times.z_step += self.clock() - begin
                return z_step_done

    def _failed(self, job: Job, error: Exception, consequence: str) -> None:
        trains = job.job if isinstance(job, GradientStep) else job
        step = f"training {trains.token.block}" if isinstance(trains, Train) else type(job).__name__
        epoch = trains.token.epoch if isinstance(trains, Train) else trains.epoch
        self.failed_steps += 1
        self.failed_step = (
            f"{step} in epoch {epoch}: {type(error).__name__}: {error} - {consequence}"
        )
        log.warning("%s", self.failed_step)

    def _without(self, job: Job) -> Done | None:
        """Return what comes of a job that failed: that of a worker without points."""
        match job:
            case OpenEpoch():
                return None
            case ZStep():
                return ZStepDone(job.view, job.epoch, Objective())
            case GradientStep():
                return GradientStepDone(job, job.w, len(self._epoch.data))
            case Train():
                try:
                    return TrainDone(job, self._train(replace(job, visits=False)).tensors)
                except NUMERICAL as error:
                    self._failed(job, error, "training waits until the cluster is started again")
                    return None

    def _open(self, job: OpenEpoch) -> None:
        began, before = self.clock(), self._entered
        data = self.shard.view()
        self._opened = Opened(data)
        first = data.position(before)
        # also before a new model is made: what has come may be of another kind
        if not job.plan.fresh or (job.params and not job.anew):
            if job.anew:
                self._new_model()
                enter(self.model, job.params, data, 0, stop=first)
            enter(self.model, job.params, data, first, observe=partial(self._observe, data.number))
            self._entered = data.number(len(data))
        points = self._recent(data, job.params)
        self._opened = Opened(points, newest=self._keep_pace(job, began, points, before))

    def _keep_pace(self, job: OpenEpoch, began: float, points: Snapshot, before: int) -> int | None:
        """Begin an epoch's time; return the position of its first new point, if visits are to begin with those."""
        if self.pace is None or job.plan.fresh:
            return None
        signature = Signature(points.dim, points.targets)
        laps = [block.laps for block in self.model.blocks(signature, job.plan.groups)]
        self.pace.begin(began, sum(laps), max(sum(laps), job.trainers * max(laps)))
        return points.position(before) if self.pace.hurries else None

    def _recent(self, data: Snapshot, params: Mapping[str, Array]) -> Snapshot:
        """Return what has a part in training: after a drift what has come since, until that is as much as there was.

        A model of both kinds is good for neither, and what users search for is of the new one.
        """
        watch = self.drift
        if watch is None or not watch.since:
            return data
        watch.before = watch.before or len(data) - watch.since
        if watch.since < watch.before:
            return Recent(data, max(0, len(data) - max(LEAST_RECENT, watch.since)))
        # those from before have had no part meanwhile
        enter(self.model, params, data, 0, stop=max(0, len(data) - watch.since))
        watch.since = watch.before = 0
        return data

    def _observe(
        self, number: Callable[[int], int], rows: slice, outcomes: Mapping[str, Floats]
    ) -> None:
        self.prequential.take(rows, number, outcomes)
        if self.drift is not None and self._sweep.error > 0:
            self.drift.observe(outcomes[self.model.watched], self._sweep.error)

    def _new_model(self) -> None:
        if self.drift is not None:
            self.drift.reset()

    @property
    def _epoch(self) -> Opened:
        assert self._opened is not None, "an epoch is opened before anything is trained in it"
        return self._opened

    def _train(self, job: Train) -> TrainDone:
        token = job.token
        state: Tensors = token.tensors
        if job.visits:
            batches = minibatches(
                self._epoch.data,
                replace(self.plan, part=job.part),
                VisitKey(token.epoch, token.lap, self.name, self._epoch.newest),
                sample=job.block.sample,
                fresh=job.fresh,
                expired=self._timer(fresh=job.fresh),
                memo=self._epoch.memo,
            )
            state = self.model.visit(job.block, job.params, state, token.lap, batches)
        if job.ends_lap:
            state = self.model.end_lap(job.block, job.params, state, token.lap)
        _check_finite(state)
        return TrainDone(job, state, len(self._epoch.data))

    def _step(self, step: GradientStep) -> GradientStepDone:
        """Make a step of a copy, on the next minibatch of its job."""
        assert isinstance(self.model, ConsensusTraining)
        job, data = step.job, self._epoch.data
        batches = self._epoch.steps.get(job.block.name)
        if batches is None:
            plan, key = replace(self.plan, part=job.part), VisitKey(job.token.epoch, 0, self.name)
            batches = endless(data, plan, key, self._epoch.memo)
            self._epoch.steps[job.block.name] = batches
        w = step.w
        for batch in islice(batches, 1):
            w = self.model.stepped(job.params, w, batch, job.part.age)
        _check_finite({"w": w})
        return GradientStepDone(step, w, len(data))

    def _z_step(self, job: ZStep) -> ZStepDone:
        data = self._epoch.data
        if job.plan.fresh:
            self._new_model()
            enter(self.model, job.params, data, 0)
            self._entered = data.number(len(data))
        mu = self.model.mu(part_of(job.plan).progress)
        rows = part_of(job.following).rows(len(data), self.plan.seed, self.name)
        start = self._sweep.start(data) if rows is None else 0
        expired = self._timer(fresh=job.plan.fresh)
        objective = z_pass(
            self.model, job.params, data, mu, first=start, rows=rows, expired=expired
        )
        _check_finite({name: np.asarray(value) for name, value in objective.sums().items()})
        over = self.model.rests(job.plan.age)
        settled = self._sweep.went(data, start, objective, over=over)
        return ZStepDone(job.view, job.epoch, objective, settled)

    def _timer(self, *, fresh: bool) -> Callable[[], bool]:
        if self.pace is None or (fresh and self.pace.hurries):  # a new model takes what it takes
            return self.cancelled
        now = self.clock()
        end = now + self.pace.next_s(now)
        return lambda: self.clock() > end or self.cancelled()


def model_of(settings: Settings) -> NestedModel:
    """Return what a cluster's settings have its workers train."""
    from streammac.models.registry import configured  # slow to import, and not needed before
    from streammac.models.strategies import trained_by

    training, spec = settings.training, settings.model
    model = configured(spec.family, spec.options, spec.bits, settings.stream.classes)
    points, _ = visit_budget(training.visit_budget)
    return trained_by(
        training.strategy,
        model,
        height=training.height,
        minibatch=training.minibatch,
        budget=points,
    )


def check_strategy(settings: Settings, signature: Signature) -> None:
    """Check whether points are such that they can be learnt from as the settings ask for.

    Raises
    ------
    StreammacError
        If not; it names a setting.
    """
    from streammac.models.strategies import check

    check(model_of(settings), signature, settings.training.start_points)


def learner_for(
    name: str,
    settings: Settings,
    shard: Shard,
    cancelled: Callable[[], bool],
    new_rows: NewRows | None = None,
) -> Learner:
    """Return the learner that a cluster's settings ask for; the shard is made ready for its coordinates."""
    training, model = settings.training, model_of(settings)
    shape, dtype = model.coordinate_shape()
    shard.coordinates(shape, dtype)
    points, _ = visit_budget(training.visit_budget)
    watch = settings.drift.enabled and not training.deterministic
    return Learner(
        name,
        model,
        shard,
        VisitPlan(settings.cluster.seed, training.minibatch, points, training.recency),
        pace=None if training.deterministic else pace_of(training),
        drift=DriftWatch(settings.drift.delta) if watch else None,
        prequential=Prequential(new_rows),
        cancelled=cancelled,
    )
