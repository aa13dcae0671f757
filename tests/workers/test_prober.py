"""A worker's part in a probe, without sockets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.wire.messages import OpenProbe, ProbeQuestion
from tests.patience import wait_for
from workers.prober import CHUNK, Prober

MODEL = BinaryAutoencoderModel(bits=16)
MEASURES = MODEL.measures()
X = load_digits().data.astype(np.float32)
QUERIES = X[:100]
STORED = np.concatenate([X[100:]] * 2)
PARAMS = MODEL.linear(
    X.mean(axis=0), np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)
)


@pytest.fixture
def prober():
    prober = Prober("w1", 64, 0, ArrayShard(STORED, MODEL.coordinate_shape()))
    yield prober
    prober.stop()
    assert not prober._thread.is_alive()


def answer_of(prober):
    wait_for(lambda: not prober.answers.empty())
    (answer,) = prober.take()
    return answer


def question(probe, number, survey, params=PARAMS):
    tensors = {f"model/{name}": value for name, value in params.items()}
    tensors |= {f"key/{name}": value for name, value in MEASURES.agree([survey]).items()}
    return ProbeQuestion(probe, number, '{"family": "binary_autoencoder", "bits": 16}', tensors)


def test_it_surveys_its_points_and_answers_questions_as_one_who_has_them_in_memory(prober):
    assert len(STORED) > CHUNK
    prober.handle(OpenProbe(7, 1.0, {"x": QUERIES}))
    prober.start(MODEL)  # what was asked before has waited
    survey = answer_of(prober)
    assert (survey.name, survey.probe, survey.number, survey.points) == ("w1", 7, 0, len(STORED))
    prober.handle(question(7, 1, survey.tensors))
    answer = answer_of(prober)
    assert (answer.probe, answer.number, answer.reason) == (7, 1, "")
    own = MEASURES.survey(QUERIES, lambda: [STORED.copy()])
    key = MEASURES.agree([own.told])
    expected = MEASURES.answer(PARAMS, QUERIES, lambda: [STORED.copy()], own.kept, key)
    for name, counts in expected.items():
        np.testing.assert_array_equal(answer.tensors[name], counts)


def test_its_sample_is_a_random_one_and_the_same_every_time(prober):
    prober.start(MODEL)
    tensors = []
    for number in (1, 2):
        prober.handle(OpenProbe(number, 0.25, {"x": QUERIES}))
        survey = answer_of(prober)
        assert survey.points == round(0.25 * len(STORED))
        tensors.append(survey.tensors)
    np.testing.assert_array_equal(tensors[0]["distances"], tensors[1]["distances"])
    assert tensors[0]["sum"] / tensors[0]["count"] == pytest.approx(
        (STORED - np.median(QUERIES, axis=0)).mean(axis=0), abs=1.0
    )


def test_what_is_asked_of_a_former_probe_is_not_answered(prober):
    prober.start(MODEL)
    prober.handle(OpenProbe(1, 1.0, {"x": QUERIES}))
    survey = answer_of(prober)
    prober.handle(OpenProbe(9, 1.0, {"x": QUERIES}))
    assert answer_of(prober).probe == 9
    prober.handle(question(1, 1, survey.tensors))
    prober.handle(question(9, 2, survey.tensors))
    answer = answer_of(prober)
    assert (answer.probe, answer.number) == (9, 2)


def test_a_model_that_makes_no_sense_is_answered_with_the_reason(prober):
    prober.start(MODEL)
    prober.handle(OpenProbe(1, 1.0, {"x": QUERIES}))
    survey = answer_of(prober)
    prober.handle(question(1, 1, survey.tensors, {"input/mean": X[0]}))
    answer = answer_of(prober)
    assert answer.tensors == {}
    assert "KeyError" in answer.reason
    prober.handle(question(1, 2, survey.tensors))
    assert answer_of(prober).reason == ""


def test_queries_of_another_stream_are_ignored(prober):
    prober.start(MODEL)
    for wrong in ({}, {"x": X[0]}, {"x": X[:, :5]}):
        prober.handle(OpenProbe(1, 1.0, wrong))
    prober.handle(OpenProbe(2, 1.0, {"x": QUERIES}))
    assert answer_of(prober).probe == 2
