"""Prequential figures: each point is predicted once, by the model there is before anything is trained on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import datasets, evaluate, metrics, naive_bayes, stream

from streammac.models.arrays import ArrayShard
from streammac.models.local import VisitPlan
from streammac.models.signature import Signature
from streammac.ring.member_actions import OpenEpoch, Train
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.wire.messages import EpochPlan, Points, StreamSchema, Token
from tests.ring.tally import TallyModel
from workers.learner import Learner
from workers.prequential import NewRows, Prequential
from workers.shards import WorkerShards

LATER = EpochPlan(age=1)


class OfRiver(TallyModel):
    """One of River's classifiers, which learns at a visit what it has not learned yet."""

    def __init__(self, classifier) -> None:
        super().__init__(blocks=1, laps=1)
        self.classifier = classifier
        self._learned = 0

    def visit(self, block, params, state, lap, batches):
        for batch in batches:
            for row, x, y in zip(batch.rows, batch.x, batch.y, strict=True):
                if row >= self._learned:
                    self.classifier.learn_one(dict(enumerate(x.tolist())), int(y[0]))
        self._learned = len(batch.data)
        return state

    def outcomes(self, params, points):
        said = [self.classifier.predict_one(dict(enumerate(x.tolist()))) for x in points.x]
        right = np.array(said) == points.y[:, 0]
        return {"error": np.zeros(len(points), np.float32), "accuracy": right.astype(np.float32)}


def test_the_figure_is_that_of_rivers_progressive_validation():
    bananas = [(list(x.values()), int(y)) for x, y in datasets.Bananas().take(300)]
    x = np.array([x for x, _ in bananas], np.float32)
    y = np.array([y for _, y in bananas])
    model = OfRiver(naive_bayes.GaussianNB())
    shard = ArrayShard(x[:1], model.coordinate_shape(), y[:1])
    learner = Learner("w1", model, shard, VisitPlan())
    block = model.blocks(Signature(2, 1), 1)[0]
    state = model.start(block, Signature(2, 1), {}, 0)
    for n in range(len(x)):
        if n:
            shard.extend(x[n : n + 1], y[n : n + 1])
        # there is no model for the very first point; River's metric leaves it out, too
        plan = LATER if n else EpochPlan(fresh=True)
        learner.do(OpenEpoch(1, n, plan, {}))
        token = Token(1, n, block.name, 0, ("w1",), False, None, state)
        learner.do(Train(token, block, {}, fresh=False, ends_lap=True))
        learner._entered = n + 1
    accuracy = metrics.Accuracy()
    evaluate.progressive_val_score(
        stream.iter_array(x.tolist(), y.tolist()), naive_bayes.GaussianNB(), accuracy
    )
    predicted = learner.prequential.predicted
    assert predicted.points == len(x) - 1
    assert predicted.sums["accuracy"] / predicted.points == accuracy.get()


def test_a_point_counts_where_it_came_first():
    rows = NewRows(began=5)
    rows.leave_out(7, 12)
    rows.left_out(9)  # some were there already
    rows.leave_out(9, 10)
    rows.leave_out(14, 15)
    new = rows.among(np.arange(17))
    assert np.flatnonzero(new).tolist() == [5, 6, 10, 11, 12, 13, 15, 16]


@given(
    st.integers(0, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)))
)
def test_rows_that_a_worker_had_are_left_out_wherever_they_lie(began, batches):
    rows, end = NewRows(began), began
    expected = [False] * began
    for fresh, had, were_there in batches:
        end += fresh
        expected += [True] * fresh
        rows.leave_out(end, end + had + were_there)
        end += had
        expected += [False] * had
        rows.left_out(end)
    assert rows.among(np.arange(end)).tolist() == expected


def test_what_is_not_finite_does_not_count():
    figures = Prequential()
    outcomes = {"error": np.array([1.0, np.inf, 2.0]), "squared": np.array([np.nan, 1.0, 4.0])}
    figures.take(slice(3, 6), int, outcomes)
    assert figures.predicted.points == 1
    assert figures.predicted.sums == {"error": 2.0, "squared": 4.0}


def test_what_comes_again_after_a_step_that_failed_does_not_count_again():
    figures = Prequential()
    for rows in (slice(0, 4), slice(0, 6)):
        figures.take(rows, lambda position: 3 * position, {"error": np.ones(rows.stop)})
    assert figures.predicted.points == 6


@pytest.mark.parametrize("ack", ["memory", "file"])
def test_what_moves_here_or_was_here_before_is_not_predicted_again(tmp_path, ack):
    settings = Settings.model_validate({"store": {"ack": ack}})
    schema = StreamSchema(2, "float32")

    def points(sequence, count, **flags):
        return Points("i1", 1, sequence, False, {"x": np.ones((count, 2), np.float32)}, **flags)

    shards = WorkerShards("w1", RunDirectory(tmp_path), settings, schema)
    moving = points(20, 4, moved=True)
    shards.append([points(0, 3), points(10, 2), moving, points(30, 1)])
    shards.append([moving, points(40, 2), points(46, 3, again=True)])
    new = np.flatnonzero(shards.new_rows.among(np.arange(15))).tolist()
    assert new == [0, 1, 2, 3, 4, 9, 10, 11]
    shards.close()
    shards = WorkerShards("w1", RunDirectory(tmp_path), settings, schema)
    shards.append([points(50, 1)])
    assert np.flatnonzero(shards.new_rows.among(np.arange(16))).tolist() == [15]
    shards.close()
