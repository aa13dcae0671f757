"""The learner: snapshots, entering points, time budgets, cancellation, drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.base import Objective
from streammac.models.local import CHUNK, VisitPlan
from streammac.models.net_estimators import DeepNetClassifier
from streammac.models.signature import Signature
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.ring.member_actions import OpenEpoch, Train, TrainDone, ZStep, ZStepDone
from streammac.store import Retention, Schema, Shard
from streammac.wire.messages import EpochPlan, Token
from tests.ring.tally import TallyModel
from workers.drift import GROUP, DriftWatch
from workers.learner import LEAST_RECENT, Learner, Opened
from workers.pace import Even, Refreshing
from workers.snapshot import Recent

MODEL = TallyModel(blocks=1, laps=1)
FRESH = EpochPlan(fresh=True)
LATER = EpochPlan(age=1)


class CountingModel(TallyModel):
    """Coordinates are 1 plus the number of forward passes so far: they tell when a point entered."""

    passes = 0

    def coordinates(self, params, x):
        self.passes += 1
        return np.full((len(x), 1), self.passes, np.uint8)


class Clock:
    """Every look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def shard_of(points: int) -> ArrayShard:
    return ArrayShard(np.zeros((points, 2), np.float32), MODEL.coordinate_shape())


def train_job(model, epoch=1, *, fresh=False) -> Train:
    block = model.blocks(Signature(2), 1)[0]
    state = model.start(block, Signature(2), {}, 0)
    token = Token(1, epoch, block.name, 0, ("w1",), False, None, state)
    return Train(token, block, {}, fresh=fresh, ends_lap=True)


def visited(done) -> int:
    assert isinstance(done, TrainDone)
    return int(done.tensors["tally/0"][0])


class FailingModel(TallyModel):
    """Fails in one of its steps: raises, or makes a number that is not finite."""

    fails = ""
    error: Exception | None = None

    def _fail(self, step, state):
        if step == self.fails:
            if self.error is not None:
                raise self.error
            return {name: np.full(1, np.nan) for name in state}
        return state

    def visit(self, block, params, state, lap, batches):
        return self._fail("visit", super().visit(block, params, state, lap, batches))

    def end_lap(self, block, params, state, lap):
        return self._fail("end_lap", super().end_lap(block, params, state, lap))

    def z_step(self, params, points, z, mu):
        new, objective = super().z_step(params, points, z, mu)
        if self.fails == "z_step":
            self._fail("z_step", {})
            objective = replace(objective, nested=float("nan"))
        return new, objective


@pytest.mark.parametrize(
    "error", [None, np.linalg.LinAlgError("Eigenvalues did not converge"), OverflowError("large")]
)
class TestAStepThatFailsOnItsNumbers:
    def learner(self, fails, error):
        model = FailingModel(blocks=1, laps=1)
        model.fails, model.error = fails, error
        learner = Learner("w1", model, shard_of(10), VisitPlan())
        learner.do(OpenEpoch(1, 1, LATER, {}))
        return learner

    def said(self, learner, error):
        assert learner.failed_steps > 0
        assert str(error or "NaN or infinite numbers in") in learner.failed_step
        return learner.failed_step

    def test_leaves_the_block_as_it_came(self, error):
        learner = self.learner("visit", error)
        job = train_job(learner.model)
        done = learner.do(job)
        assert done.job is job
        assert visited(done) == 0
        assert "have no part in it" in self.said(learner, error)

    def test_keeps_a_block_that_nobody_could_go_on_from(self, error):
        learner = self.learner("end_lap", error)
        assert learner.do(train_job(learner.model)) is None
        assert "training waits" in self.said(learner, error)

    def test_reports_no_objective(self, error):
        learner = self.learner("z_step", error)
        assert learner.do(ZStep(1, 1, LATER, {})) == ZStepDone(1, 1, Objective())
        self.said(learner, error)


def test_other_errors_are_not_hidden():
    model = FailingModel(blocks=1, laps=1)
    model.fails, model.error = "visit", KeyError("a bug")
    learner = Learner("w1", model, shard_of(10), VisitPlan())
    learner.do(OpenEpoch(1, 1, LATER, {}))
    with pytest.raises(KeyError):
        learner.do(train_job(model))


def test_an_epoch_is_trained_on_the_points_that_were_there_when_it_opened():
    shard = shard_of(100)
    learner = Learner("w1", MODEL, shard, VisitPlan(minibatch=32))
    learner.do(OpenEpoch(1, 1, LATER, {}))
    frozen = ArrayShard(shard.x(slice(None)), MODEL.coordinate_shape())  # as views are
    learner._opened = Opened(frozen)
    shard.extend(np.zeros((50, 2), np.float32))
    assert visited(learner.do(train_job(MODEL))) == 100
    learner.do(OpenEpoch(1, 2, LATER, {}))
    assert visited(learner.do(train_job(MODEL, epoch=2))) == 150


def test_new_points_enter_with_the_forward_pass_and_old_ones_keep_theirs():
    model = CountingModel(blocks=1)
    shard = shard_of(10)
    learner = Learner("w1", model, shard, VisitPlan())
    learner.do(OpenEpoch(1, 1, LATER, {}))
    shard.extend(np.zeros((5, 2), np.float32))
    learner.do(OpenEpoch(1, 2, LATER, {}))
    assert shard.z(slice(None)).ravel().tolist() == [1] * 10 + [2] * 5


def test_after_a_fresh_epoch_all_points_enter_anew():
    model = CountingModel(blocks=1)
    shard = shard_of(10)
    learner = Learner("w1", model, shard, VisitPlan())
    learner.do(OpenEpoch(1, 1, LATER, {}))
    learner.do(OpenEpoch(1, 2, FRESH, {}))
    done = learner.do(ZStep(1, 2, FRESH, {}))
    assert isinstance(done, ZStepDone)
    assert shard.z(slice(None)).ravel().tolist() == [2] * 10


def test_points_that_retention_dropped_do_not_shift_what_has_entered(tmp_path):
    model = CountingModel(blocks=1)
    shard = Shard.open(
        tmp_path, Schema(2), segment_bytes=10 * 2 * 4, retention=Retention(points=20)
    )
    shard.coordinates(*model.coordinate_shape())
    learner = Learner("w1", model, shard, VisitPlan())

    def append(sequence):
        shard.append(PointBlock(np.zeros((10, 2), np.float32)), BatchId("s", 1, sequence), 0.0)

    for sequence in range(3):
        append(sequence)
    learner.do(OpenEpoch(1, 1, LATER, {}))
    append(3)
    assert shard.enforce_retention(0.0) == 20
    learner.do(OpenEpoch(1, 2, LATER, {}))
    assert shard.view().z(slice(None)).ravel().tolist() == [1] * 10 + [2] * 10


def test_a_time_budget_ends_a_visit_early():
    learner = Learner(
        "w1", MODEL, shard_of(3200), VisitPlan(minibatch=32), pace=Even(3.0), clock=Clock()
    )
    learner.do(OpenEpoch(1, 1, LATER, {}))
    assert 32 <= visited(learner.do(train_job(MODEL))) < 320


def test_where_points_must_not_wait_visits_begin_with_the_new_ones_and_end_with_the_epoch():
    shard, clock = shard_of(3200), Clock()
    seen: list[np.ndarray] = []

    class Seeing(TallyModel):
        def visit(self, block, params, state, lap, batches):
            batches = list(batches)
            seen.extend(batch.rows for batch in batches)
            return super().visit(block, params, state, lap, batches)

    model = Seeing(blocks=1, laps=1)
    pace = Refreshing(refresh_s=90.0)
    learner = Learner("w1", model, shard, VisitPlan(minibatch=32), pace=pace, clock=clock)
    learner.do(OpenEpoch(1, 1, FRESH, {}))
    learner.do(train_job(model, fresh=True))
    assert sum(len(rows) for rows in seen) == 3200, "a new model has no time to keep to"
    learner.do(ZStep(1, 1, FRESH, {}))
    shard.extend(np.zeros((320, 2), np.float32))
    learner.do(OpenEpoch(1, 2, LATER, {}))
    began = clock.now
    seen.clear()
    learner.do(train_job(model, 2))
    assert clock.now - began <= pace.epoch_s / 2 + 2
    rows = np.concatenate(seen)
    new = rows >= 3200
    assert abs(int(new.sum()) - int((~new).sum())) <= 64
    assert new.any()


def test_a_point_budget_bounds_a_visit():
    learner = Learner("w1", MODEL, shard_of(3200), VisitPlan(minibatch=32, budget=320))
    learner.do(OpenEpoch(1, 1, LATER, {}))
    assert visited(learner.do(train_job(MODEL))) == 320


def test_time_boxed_z_steps_go_on_where_the_last_one_stopped():
    class Touching(TallyModel):
        def z_step(self, params, points, z, mu):
            _, objective = super().z_step(params, points, z, mu)
            return z + 1, objective

    model = Touching(blocks=1)
    shard = shard_of(5 * CHUNK)
    learner = Learner("w1", model, shard, VisitPlan(), pace=Even(2.5), clock=Clock())
    learner.do(OpenEpoch(1, 1, LATER, {}))
    for _ in range(5):
        learner.do(ZStep(1, 1, LATER, {}))
    touched = shard.z(slice(None)).ravel()
    assert touched.min() >= 1, "every point got its turn"
    assert touched.max() - touched.min() <= 1, "and none got two before another got one"


class ChangingModel(TallyModel):
    """Its Z steps change a share of the coordinates."""

    def __init__(self, changed: float) -> None:
        super().__init__()
        self.changed = changed

    def z_step(self, params, points, z, mu):
        return z, Objective(points=len(points), changed=self.changed * len(points))


@pytest.mark.parametrize(
    ("changed", "age", "settled"),
    [(0.0, 3, True), (0.0005, 3, True), (0.002, 3, False), (0.0, 2, False)],
)
def test_a_z_step_that_hardly_changes_anything_at_the_end_of_a_continuation_is_settled(
    changed, age, settled
):
    learner = Learner("w1", ChangingModel(changed), shard_of(3 * CHUNK), VisitPlan())
    plan = EpochPlan(age)
    learner.do(OpenEpoch(1, 1, plan, {}))
    done = learner.do(ZStep(1, 1, plan, {}))
    assert done.settled == settled


def test_a_time_boxed_z_step_is_settled_when_all_points_have_been_gone_through():
    model, plan = ChangingModel(0.0), EpochPlan(3)
    learner = Learner("w1", model, shard_of(5 * CHUNK), VisitPlan(), pace=Even(2.5), clock=Clock())
    learner.do(OpenEpoch(1, 1, plan, {}))
    settled = [learner.do(ZStep(1, 1, plan, {})).settled for _ in range(3)]
    assert settled == [False, True, True]
    model.changed = 1.0
    assert not learner.do(ZStep(1, 1, plan, {})).settled
    model.changed = 0.0
    assert not learner.do(ZStep(1, 1, plan, {})).settled, "points were left that had changed"


def test_a_cancelled_visit_stops_after_one_minibatch():
    learner = Learner("w1", MODEL, shard_of(3200), VisitPlan(minibatch=32), cancelled=lambda: True)
    learner.do(OpenEpoch(1, 1, LATER, {}))
    assert visited(learner.do(train_job(MODEL))) == 32


def test_the_times_of_an_epoch_begin_anew_with_it():
    learner = Learner("w1", MODEL, shard_of(64), VisitPlan(minibatch=32), clock=Clock())
    learner.do(OpenEpoch(1, 1, LATER, {}))
    learner.do(train_job(MODEL))
    assert learner.times.train > 0
    learner.do(OpenEpoch(1, 2, LATER, {}))
    assert learner.times.train == 0


class TestDrift:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_jump_of_the_error_raises_an_alarm_once(self, seed):
        rng = np.random.default_rng(seed)
        watch = DriftWatch(delta=0.002)
        watch.observe(rng.gamma(4.0, 0.1, 12_800).astype(np.float32))
        assert watch.take() is None
        watch.observe(rng.gamma(4.0, 0.2, 640).astype(np.float32))
        assert watch.take() is not None, "before the next model is there, for which nothing changed"
        assert watch.take() is None

    def test_small_parts_are_put_together(self):
        whole, parts = DriftWatch(0.002), DriftWatch(0.002)
        errors = np.concatenate([np.full(100 * GROUP, 0.1), np.full(100 * GROUP, 0.9)])
        errors = errors.astype(np.float32)
        whole.observe(errors)
        for part in np.array_split(errors, 777):
            parts.observe(part)
        assert whole.take() == parts.take() is not None

    def test_an_error_that_falls_is_no_alarm(self):
        rng = np.random.default_rng(0)
        watch = DriftWatch(delta=0.002)
        watch.observe(rng.gamma(4.0, 0.2, 400 * GROUP).astype(np.float32))
        watch.observe(rng.gamma(4.0, 0.1, 400 * GROUP).astype(np.float32))
        assert watch.take() is None

    def test_what_training_does_to_all_points_is_no_drift(self):
        rng = np.random.default_rng(0)
        watch = DriftWatch(delta=0.002)
        for usual in np.linspace(0.4, 0.8, 20):
            errors = usual * rng.gamma(4.0, 0.25, 40 * GROUP)
            watch.observe(errors.astype(np.float32), usual)
        assert watch.take() is None
        watch.observe(rng.gamma(4.0, 0.3, 200 * GROUP).astype(np.float32), 0.8)
        assert watch.take() is not None

    def test_errors_of_another_model_tell_nothing(self):
        rng = np.random.default_rng(0)
        watch = DriftWatch(delta=0.002)
        watch.observe(rng.gamma(4.0, 0.1, 400 * GROUP).astype(np.float32))
        watch.reset()
        watch.observe(rng.gamma(4.0, 0.2, 400 * GROUP).astype(np.float32))
        assert watch.take() is None

    def test_it_counts_the_points_since_the_change(self):
        rng = np.random.default_rng(0)
        watch = DriftWatch(delta=0.002)
        watch.observe(rng.gamma(4.0, 0.1, 12_800).astype(np.float32))
        assert watch.since == 0
        for _ in range(20):
            watch.observe(rng.gamma(4.0, 0.2, 101).astype(np.float32))
        assert watch.since == pytest.approx(2020, abs=8 * GROUP)
        watch.reset()
        watch.observe(rng.gamma(4.0, 0.1, 500).astype(np.float32))
        assert watch.since == pytest.approx(2520, abs=8 * GROUP), "of another model, too"


class WatchedModel(TallyModel):
    """The error of a point is its first number, its coordinate says with which parameters it entered."""

    def errors(self, params, points):
        return points.x[:, 0]

    def coordinates(self, params, x):
        return np.full((len(x), 1), params["now"], np.uint8)


def test_with_another_model_all_points_enter_anew_and_the_watch_with_it():
    model = WatchedModel(blocks=1)
    data, watch = shard_of(GROUP - 1), DriftWatch(0.002)
    learner = Learner("w1", model, data, VisitPlan(), drift=watch)
    learner._sweep.error = 1.0
    learner.do(OpenEpoch(1, 1, LATER, {"now": 1}))
    learner.do(OpenEpoch(1, 2, LATER, {"now": 2}))
    assert set(data.view().z(slice(None)).ravel()) == {1}
    assert len(watch._rest) == GROUP - 1
    learner.do(OpenEpoch(2, 3, LATER, {"now": 3}, anew=True))
    assert set(data.view().z(slice(None)).ravel()) == {3}
    assert len(watch._rest) == 0


class FarFromMean(TallyModel):
    """Knows nothing of y, as codes do: the error of a point is how far it is from the mean of x."""

    def errors(self, params, points):
        return np.linalg.norm(points.x - params["mean"], axis=1)

    def z_step(self, params, points, z, mu):
        error = float(self.errors(params, points).sum())
        return z, Objective(points=len(points), nested=error)


def test_classes_that_swap_their_meaning_are_a_drift_though_x_stays_the_same():
    digits = load_digits(n_class=2)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(digits.target)), 9))
    x, y = digits.data[order].astype(np.float32), digits.target[order]
    net = DeepNetClassifier([4], passes=4).fit(x[:1000], y[:1000])
    raised = {}
    for name, model, params in (
        ("loss", net._model, net.params_),
        ("error", FarFromMean(blocks=1), {"mean": x.mean(axis=0)}),
    ):
        shard = ArrayShard(x[:1000], model.coordinate_shape(), y[:1000])
        watch = DriftWatch(0.002)
        learner = Learner("w1", model, shard, VisitPlan(), drift=watch)
        learner.do(OpenEpoch(1, 1, LATER, params))
        learner.do(ZStep(1, 1, LATER, params))
        shard.extend(x[1000:2000], y[1000:2000])
        learner.do(OpenEpoch(1, 2, LATER, params))
        assert watch.take() is None, "points as before"
        shard.extend(x[2000:], 1 - y[2000:])
        learner.do(OpenEpoch(1, 3, LATER, params))
        assert model.watched == name
        raised[name] = watch.take() is not None
    assert raised == {"loss": True, "error": False}
    tried = learner.prequential.predicted
    assert tried.points == len(x)


def drifting() -> tuple[Learner, ArrayShard]:
    """A learner whose points are of another kind since the two thousandth of three thousand."""
    data, watch = shard_of(2000), DriftWatch(0.002)
    learner = Learner("w1", WatchedModel(blocks=1, laps=1), data, VisitPlan(), drift=watch)
    learner._sweep.error = 1.0
    learner.do(OpenEpoch(1, 1, LATER, {"now": 1}))
    data.extend(np.ones((1000, 2), np.float32))
    learner.do(OpenEpoch(1, 2, LATER, {"now": 1}))
    watch.since = 1000  # whatever it is believed to be at first
    return learner, data


def test_after_a_drift_training_is_on_what_has_come_since():
    learner, data = drifting()
    data.extend(np.ones((500, 2), np.float32))
    learner.do(OpenEpoch(1, 3, LATER, {"now": 2}))
    assert visited(learner.do(train_job(learner.model, 3))) == 1500
    assert learner.do(ZStep(1, 3, LATER, {"now": 2})).objective.points == 1500
    learner.do(OpenEpoch(1, 4, FRESH, {"now": 2}))
    assert visited(learner.do(train_job(learner.model, 4, fresh=True))) == 1500
    learner.do(ZStep(1, 4, FRESH, {"now": 3}))
    assert data.z(slice(1990, 2010)).ravel().tolist() == [1] * 10 + [3] * 10


def test_as_soon_as_as_many_have_come_as_there_were_all_points_count_again():
    learner, data = drifting()
    learner.do(OpenEpoch(1, 3, LATER, {"now": 3}))
    data.extend(np.ones((1000, 2), np.float32))
    learner.do(OpenEpoch(1, 4, LATER, {"now": 4}))
    assert visited(learner.do(train_job(learner.model, 4))) == 4000
    assert set(data.z(slice(0, 2000)).ravel()) == {4}, "by the model that there is now"
    data.extend(np.ones((10, 2), np.float32))
    learner.do(OpenEpoch(1, 5, LATER, {"now": 5}))
    assert visited(learner.do(train_job(learner.model, 5))) == 4010


def test_the_first_points_after_a_drift_are_not_alone():
    learner, _ = drifting()
    learner.drift.since = 100
    learner.do(OpenEpoch(1, 3, LATER, {"now": 2}))
    assert visited(learner.do(train_job(learner.model, 3))) == LEAST_RECENT


def test_points_that_enter_before_a_new_model_is_made_are_watched():
    data, watch = shard_of(100), DriftWatch(0.002)
    learner = Learner("w1", WatchedModel(blocks=1), data, VisitPlan(), drift=watch)
    learner._sweep.error = 1.0
    learner.do(OpenEpoch(1, 1, LATER, {"now": 1}))
    data.extend(np.full((50, 2), 7.0, np.float32))
    learner.do(OpenEpoch(1, 2, FRESH, {"now": 1}))
    assert watch.newest == 7.0
    data.extend(np.full((50, 2), 9.0, np.float32))
    learner.do(OpenEpoch(2, 3, FRESH, {}, anew=True))  # nothing is known of any model
    assert watch.newest == 7.0


@pytest.mark.parametrize("first", [0, 3, 10, 17, 29])
def test_the_newest_rows_are_the_same_wherever_they_lie(tmp_path, first):
    shard = Shard.open(tmp_path / "s", Schema(2), segment_bytes=100)
    shard.coordinates((3,), np.dtype(np.uint8))
    x = np.arange(60, dtype=np.float32).reshape(30, 2)
    for number, part in enumerate(np.array_split(x, 5)):
        shard.append(PointBlock(part), BatchId("s", 1, number), 0.0)
    recent = Recent(shard.view(), first)
    assert len(recent) == 30 - first
    np.testing.assert_array_equal(recent.x(slice(0, None)), x[first:])
    recent.set_z(slice(0, 1), np.ones((1, 3), np.uint8))
    stored = recent.stored()
    counts = np.diff(stored.starts)
    for parts, rows in ((stored.x, recent.x(slice(0, None))), (stored.z, recent.z(slice(0, None)))):
        whole = [part[:count] for part, count in zip(parts, counts, strict=True)]
        np.testing.assert_array_equal(np.concatenate(whole), rows)
    assert recent.position(recent.number(0)) == 0
    shard.close()
