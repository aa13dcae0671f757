"""A worker's part in a probe, without sockets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from streammac.wire.messages import OpenProbe, ProbeQuestion
from tests.patience import wait_for
from workers.probe_thread import CHUNK, ProbeThread

MODEL = BinaryAutoencoderModel(bits=16)
MEASURES = MODEL.measures()
X = load_digits().data.astype(np.float32)
QUERIES = X[:100]
STORED = np.concatenate([X[100:]] * 2)
PARAMS = MODEL.linear(
    X.mean(axis=0), np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)
)


@pytest.fixture
def asked():
    asked = ProbeThread("w1", Signature(64), 0, ArrayShard(STORED, MODEL.coordinate_shape()))
    yield asked
    asked.stop()
    assert not asked._thread.is_alive()


def answer_of(asked):
    wait_for(lambda: not asked.answers.empty())
    (answer,) = asked.take()
    return answer


def question(probe, number, survey, params=PARAMS):
    tensors = {f"model/{name}": value for name, value in params.items()}
    tensors |= {f"key/{name}": value for name, value in MEASURES.agree([survey]).items()}
    return ProbeQuestion(probe, number, '{"family": "binary_autoencoder", "bits": 16}', tensors)


def test_it_surveys_its_points_and_answers_questions_as_one_who_has_them_in_memory(asked):
    assert len(STORED) > CHUNK
    asked.handle(OpenProbe(7, 1.0, {"x": QUERIES}))
    asked.start(MODEL)  # what was asked before has waited
    survey = answer_of(asked)
    assert (survey.name, survey.probe, survey.number, survey.points) == ("w1", 7, 0, len(STORED))
    asked.handle(question(7, 1, survey.tensors))
    answer = answer_of(asked)
    assert (answer.probe, answer.number, answer.reason) == (7, 1, "")
    own = MEASURES.survey(PointBlock(QUERIES), lambda: [PointBlock(STORED.copy())])
    key = MEASURES.agree([own.told])
    asking, stored = PointBlock(QUERIES), PointBlock(STORED.copy())
    expected = MEASURES.answer(PARAMS, asking, lambda: [stored], own.kept, key)
    for name, counts in expected.items():
        np.testing.assert_array_equal(answer.tensors[name], counts)


def test_its_sample_is_a_random_one_and_the_same_every_time(asked):
    asked.start(MODEL)
    tensors = []
    for number in (1, 2):
        asked.handle(OpenProbe(number, 0.25, {"x": QUERIES}))
        survey = answer_of(asked)
        assert survey.points == round(0.25 * len(STORED))
        tensors.append(survey.tensors)
    np.testing.assert_array_equal(tensors[0]["distances"], tensors[1]["distances"])
    assert tensors[0]["sum"] / tensors[0]["count"] == pytest.approx(
        (STORED - np.median(QUERIES, axis=0)).mean(axis=0), abs=1.0
    )


def test_what_is_asked_of_a_former_probe_is_not_answered(asked):
    asked.start(MODEL)
    asked.handle(OpenProbe(1, 1.0, {"x": QUERIES}))
    survey = answer_of(asked)
    asked.handle(OpenProbe(9, 1.0, {"x": QUERIES}))
    assert answer_of(asked).probe == 9
    asked.handle(question(1, 1, survey.tensors))
    asked.handle(question(9, 2, survey.tensors))
    answer = answer_of(asked)
    assert (answer.probe, answer.number) == (9, 2)


def test_a_model_that_makes_no_sense_is_answered_with_the_reason(asked):
    asked.start(MODEL)
    asked.handle(OpenProbe(1, 1.0, {"x": QUERIES}))
    survey = answer_of(asked)
    asked.handle(question(1, 1, survey.tensors, {"input/mean": X[0]}))
    answer = answer_of(asked)
    assert answer.tensors == {}
    assert "KeyError" in answer.reason
    asked.handle(question(1, 2, survey.tensors))
    assert answer_of(asked).reason == ""


def test_queries_and_points_come_with_their_targets():
    seen = []

    class Looking(BinaryAutoencoderModel):
        def measures(self):
            seen.append(self)
            return LookingMeasures(self)

    class LookingMeasures(type(MEASURES)):
        def survey(self, queries, chunks):
            assert (queries.y == queries.x[:, :1]).all()
            for points in chunks():
                assert (points.y == points.x[:, :1]).all()
            return super().survey(queries, chunks)

    shard = ArrayShard(STORED, MODEL.coordinate_shape(), STORED[:, :1])
    asked = ProbeThread("w1", Signature(64, 1), 0, shard)
    asked.start(Looking(bits=16))
    asked.handle(OpenProbe(1, 1.0, {"x": QUERIES}))
    asked.handle(OpenProbe(2, 1.0, {"x": QUERIES, "y": QUERIES[:, :1]}))
    answer = answer_of(asked)
    asked.stop()
    assert (answer.probe, answer.reason) == (2, "")
    assert seen


def test_queries_of_another_stream_are_ignored(asked):
    asked.start(MODEL)
    for wrong in ({}, {"x": X[0]}, {"x": X[:, :5]}):
        asked.handle(OpenProbe(1, 1.0, wrong))
    asked.handle(OpenProbe(2, 1.0, {"x": QUERIES}))
    assert answer_of(asked).probe == 2
