"""How far training has come, and what a restarted cluster goes on from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from streammac.coordinator.epoch_reports import EpochResult
from streammac.coordinator.progress import Progress, resumed
from streammac.coordinator.verdict import Verdict
from streammac.models.renewal import Renewal
from streammac.settings.schema import Training
from streammac.wire.messages import EpochPlan, RestartContinuation, Resume

PARAMS = {"w": np.ones(2)}
RESULT = EpochResult(
    epoch=4,
    plan=EpochPlan(age=4),
    following=EpochPlan(age=5),
    mu=0.5,
    sums={},
    seconds={},
    imbalance=1.0,
    params=PARAMS,
)


def test_training_begins_with_a_fresh_epoch():
    progress = Progress(Training())
    assert (progress.epoch, progress.plan, progress.params) == (0, EpochPlan(fresh=True), {})


def test_a_complete_epoch_is_what_the_next_one_goes_on_from():
    progress = Progress(Training())
    assert progress.advance(RESULT)
    assert (progress.epoch, progress.plan, progress.params) == (5, EpochPlan(age=5), PARAMS)


def test_an_epoch_whose_model_is_lost_counts_for_its_figures_alone():
    progress = Progress(Training())
    lost = replace(RESULT, params={})
    assert not progress.advance(lost)
    assert (progress.epoch, progress.result) == (0, lost)


def test_a_restarted_cluster_goes_on_where_it_was():
    former = Progress(Training())
    former.advance(RESULT)
    former.continuation.grown(100, 100, EpochPlan())
    former.continuation.vote("w1", 4, 1.0, shards={"w1": 100}, ever=100)
    state = json.loads(json.dumps(former.durable()))
    assert Progress(Training(), state, PARAMS).durable() == state


def test_training_goes_on_after_the_version_that_there_is_and_numbers_only_grow():
    state = {"epoch": 9, "plan": {"age": 3}, "restart": 2, "cluster": "c"}
    older = {"epoch": 5, "plan": {"age": 1, "fresh": False, "restart": 1}}
    assert resumed(state, older) == state | {"plan": older["plan"]}
    newer = {"epoch": 11, "plan": {"age": 0, "fresh": False, "restart": 4}}
    assert resumed(state, newer) == state | newer | {"restart": 4}
    assert resumed({}, newer) == {}, "without a state training begins anew"
    assert resumed(state, {}) == state


def test_what_a_newer_release_remembered_besides_is_left_out():
    former = Progress(Training())
    former.advance(RESULT)
    state = json.loads(json.dumps(former.durable()))
    newer = state | {part: state[part] | {"wings": 2} for part in ("plan", "renewal")}
    assert Progress(Training(), newer, PARAMS).durable() == state


def test_a_model_without_what_was_remembered_of_it_is_not_gone_on_from():
    progress = Progress(Training(), {}, PARAMS)
    assert (progress.epoch, progress.plan, progress.params) == (0, EpochPlan(fresh=True), {})


def test_without_a_model_only_numbers_are_kept():
    former = Progress(Training())
    former.advance(RESULT)
    former.continuation.vote("w1", 4, 1.0, shards={"w1": 100}, ever=100)
    now = Progress(Training(), former.durable())
    assert (now.epoch, now.plan.fresh, now.continuation.rule) == (0, True, Renewal())
    assert now.continuation.drifts == 1
    assert now.continuation.number == 1, "the next restart has a new number"


def test_whoever_plans_without_the_newest_restart_has_missed_it():
    rule = Progress(Training()).continuation
    assert rule.missed(EpochPlan()) is None
    rule.vote("w1", 4, 1.0, shards={"w1": 100}, ever=100)
    assert rule.missed(EpochPlan()) == RestartContinuation(1, fresh=False)
    assert rule.missed(EpochPlan(restart=1)) is None


def test_points_that_are_left_out_are_told_of_when_there_are_many_more():
    progress = Progress(Training())
    epochs = [replace(RESULT, sums={"left_out": float(n)}) for n in (0, 1, 1, 2, 3, 0, 4, 4)]
    told = [progress.has_more_outliers(result) for result in epochs]
    assert told == [False, True, False, True, False, False, True, False]


def test_the_objective_of_no_points_is_unknown():
    assert replace(RESULT, sums={"points": 0.0, "nested": 0.0}).per_point("nested") is None
    assert replace(RESULT, sums={"points": 4.0, "nested": 2.0}).per_point("nested") == 0.5


BETTER = {"w": np.full(2, 9.0)}


def verdict(restart: int = 0, version: int = 3, newest: int = 5) -> Verdict:
    return Verdict(restart, version, False, BETTER, newest)


def rested() -> Progress:
    progress = Progress(Training())
    progress.advance(RESULT)
    return progress


def test_a_verdict_is_carried_out_once():
    progress, ours = rested(), verdict()
    assert not progress.judge(None)
    assert progress.judge(ours)
    assert progress.params == BETTER
    resume = Resume(2, 5, EpochPlan(age=5), ("w1",), cold=True, tensors=BETTER)
    assert progress.resumed(resume) is ours
    assert not progress.judge(ours)
    assert progress.resumed(resume) is None


def test_what_the_ring_has_is_not_adopted():
    assert not rested().judge(verdict(version=5))


def test_a_verdict_on_a_continuation_that_is_over_comes_too_late():
    progress = rested()
    progress.advance(replace(RESULT, epoch=5, following=EpochPlan(fresh=True, restart=1)))
    assert not progress.judge(verdict(restart=0))


def test_an_epoch_that_ends_while_the_ring_is_brought_to_a_stop_is_let_go():
    progress = rested()
    progress.judge(verdict())
    progress.advance(replace(RESULT, epoch=5, following=EpochPlan(age=6)))
    assert (progress.epoch, progress.params) == (6, BETTER)


def test_a_ring_that_has_begun_anew_meanwhile_adopts_nothing():
    progress = rested()
    progress.judge(verdict())
    progress.advance(replace(RESULT, epoch=5, following=EpochPlan(age=4, restart=1)))
    assert progress.params == PARAMS
    assert progress.resumed(Resume(2, 6, EpochPlan(age=4, restart=1), ("w1",))) is None
