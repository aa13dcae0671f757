"""Measures of codes: shards together find what one process with all points finds by slow and obvious computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.code_measures import CodeMeasures
from streammac.models.retrieval import (
    baselines,
    entropies,
    linear_baselines,
    precisions,
    true_neighbours,
)
from streammac.points.block import PointBlock

BITS = 16
MODEL = BinaryAutoencoderModel(bits=BITS)
MEASURES = MODEL.measures()
X = np.random.default_rng(0).permutation(load_digits().data.astype(np.float32))
QUERIES, STORED = X[:200], X[200:1400]


def chunks_of(x, size=128):
    return lambda: (PointBlock(x[lo : lo + size].copy()) for lo in range(0, len(x), size))


def random_codes(seed=0, dim=64):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((BITS, dim)).astype(np.float32)
    return MODEL.linear(STORED.mean(axis=0), weight)


def probe(shards, params, queries=QUERIES):
    """Everything that a probe does, on shards of points."""
    surveys = [MEASURES.survey(PointBlock(queries), chunks_of(x)) for x in shards]
    told = [survey.told for survey in surveys]
    key = MEASURES.agree(told)
    answers = []
    for x, survey in zip(shards, surveys, strict=True):
        MEASURES.check_survey(survey.told, PointBlock(queries), len(x))
        answer = MEASURES.answer(params, PointBlock(queries), chunks_of(x), survey.kept, key)
        MEASURES.check_answer(answer, survey.told, len(x))
        answers.append(answer)
    total = {name: sum(answer[name] for answer in answers) for name in answers[0]}
    return told, MEASURES.conclude(total)


def direct(params, first, count):
    """The share of the true nearest among the first: without ties at the edges, that is all there is to it."""
    near = true_neighbours(STORED, QUERIES, count)
    codes = MODEL.encode(params, QUERIES.copy()), MODEL.encode(params, STORED.copy())
    return precisions(*codes, near, first) * first


def without_ties(count):
    """Queries whose neighbours are the same whatever the order: of grey values, many distances are equal."""
    distances = ((QUERIES[:, None] - STORED[None]) ** 2).sum(2)
    distances.sort(axis=1)
    return distances[:, count - 1] < distances[:, count]


def test_shards_together_find_what_one_has_found_who_has_all_points():
    params = random_codes()
    _, parted = probe([STORED[:300], STORED[300:305], STORED[305:]], params)
    _, whole = probe([STORED], params)
    assert set(parted.shares) == set(CodeMeasures.names)
    for name, share in whole.shares.items():
        np.testing.assert_array_equal(parted.shares[name], share, err_msg=name)
    assert parted.properties == pytest.approx(whole.properties)


def test_recall_and_precision_are_those_of_a_search_through_all_points():
    params = random_codes()
    _, scores = probe([STORED[:300], STORED[300:]], params)
    clear = without_ties(10)
    assert clear.mean() > 0.7
    for first in (10, 100, 1000):
        np.testing.assert_allclose(
            scores.shares[f"recall_{first}"][clear], direct(params, first, 10)[clear] / 10
        )
    clear = without_ties(100)
    np.testing.assert_allclose(
        scores.shares["precision_100"][clear], direct(params, 100, 100)[clear] / 100
    )


def test_balance_and_correlation_of_bits():
    params = random_codes()
    params["init/encoder"][3] = params["init/encoder"][2]
    params["init/encoder"][5] = 0.0
    _, scores = probe([STORED[:300], STORED[300:]], params)
    codes = MODEL.encode(params, STORED.copy())
    on = np.unpackbits(codes, axis=1, count=BITS)
    entropy = entropies(on.mean(axis=0))
    varying = np.delete(on, 5, axis=1)
    correlation = np.abs(np.corrcoef(varying, rowvar=False))
    others = correlation[~np.eye(BITS - 1, dtype=bool)].sum() / (BITS * (BITS - 1))
    expected = {"entropy": entropy.mean(), "least_entropy": 0.0}
    expected |= {"correlation": others, "largest_correlation": 1.0}
    assert scores.properties == pytest.approx(expected)


def test_baselines_are_fitted_on_the_stored_points_of_all_shards():
    told, _ = probe([STORED[:300], STORED[300:]], random_codes())
    shards = [STORED[:300], STORED[300:]]
    kept = [MEASURES.survey(PointBlock(QUERIES), chunks_of(x)).kept for x in shards]
    state = MEASURES.begin_fit(told, PointBlock(QUERIES), seed=0)
    for _ in range(MEASURES.rounds):
        answers = [
            MEASURES.fit(state, chunks_of(x), one) for x, one in zip(shards, kept, strict=True)
        ]
        for answer in answers:
            MEASURES.check_fit(answer, state)
        state = MEASURES.end_round(state, {"procrustes": sum(a["procrustes"] for a in answers)})
    fitted = MEASURES.baselines(state, seed=0)
    known = baselines(STORED, BITS, np.random.default_rng(0))
    codes = MODEL.encode(fitted["pca"][0], STORED.copy()), known["pca"](STORED)
    agreed = np.unpackbits(codes[0] ^ codes[1], axis=1).mean(axis=0)
    assert np.minimum(agreed, 1 - agreed).max() < 0.01

    def loss(weight):  # what ITQ minimises: the distance from the corners
        projected = (STORED - STORED.mean(axis=0)) @ weight.T
        return ((np.abs(projected) - 1) ** 2).mean() - (projected**2).mean()

    found = [loss(one["init/encoder"]) for one in fitted["itq"]]
    itq = linear_baselines(
        STORED.mean(axis=0), np.cov(STORED.T), STORED, BITS, np.random.default_rng(0)
    )["itq"]
    assert len(found) == 3
    assert np.mean(found) == pytest.approx(loss(itq), rel=0.02)
    with pytest.raises(ValueError, match="procrustes"):
        MEASURES.check_fit({"procrustes": np.zeros((3, BITS, BITS), np.int64)}, state)


def test_one_outlier_does_not_decide_what_the_baselines_are_worth():
    odd = np.concatenate([STORED[:300], np.full((1, 64), 1e12, np.float32), STORED[300:]])
    clean, _ = probe([STORED], random_codes())
    spoiled, _ = probe([odd], random_codes())
    assert spoiled[0]["count"] == clean[0]["count"] == len(STORED)
    np.testing.assert_allclose(spoiled[0]["products"], clean[0]["products"], rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("points", [1, 7, 99, 101])
def test_few_points(points):
    scores = probe([STORED[:points], STORED[:0]], random_codes())[1]
    assert all((share <= 1).all() for share in scores.shares.values())
    np.testing.assert_allclose(scores.shares["recall_1000"], 1.0)
    if points < 100:
        np.testing.assert_allclose(scores.shares["precision_100"], 1.0)


def test_points_that_are_all_the_same_are_all_true():
    x = np.ones((300, 64), np.float32)
    scores = probe([x[:100], x[100:]], random_codes(), x[:60])[1]
    assert (scores.shares["recall_100"] < 0.6).all()


def test_the_initial_model_is_what_was_before_anything_was_trained():
    trained = random_codes() | {"encoder/0/weight": np.zeros(1), "decoder/0/bias": np.zeros(1)}
    assert set(MEASURES.initial(trained)) == {"input/mean", "input/scale", "init/encoder"}
    assert MEASURES.initial({"encoder/0/weight": np.zeros(1)}) is None


class TestHostile:
    SURVEY = MEASURES.survey(PointBlock(QUERIES), chunks_of(STORED[:150]))
    ANSWER = MEASURES.answer(
        random_codes(),
        PointBlock(QUERIES),
        chunks_of(STORED[:150]),
        SURVEY.kept,
        MEASURES.agree([SURVEY.told]),
    )

    @settings(max_examples=100)
    @given(data=st.data())
    def test_what_is_no_answer_is_refused(self, data):
        name = data.draw(st.sampled_from(sorted(self.ANSWER)))
        wrong = dict(self.ANSWER)
        spoil = data.draw(st.sampled_from(["shape", "type", "negative", "more", "missing"]))
        match spoil:
            case "shape":
                wrong[name] = wrong[name][1:]
            case "type":
                wrong[name] = wrong[name].astype(np.float32)
            case "negative":
                wrong[name] = -1 - wrong[name]
            case "more":
                wrong[name] = wrong[name] + 151
            case "missing":
                del wrong[name]
        with pytest.raises(ValueError):
            MEASURES.check_answer(wrong, self.SURVEY.told, 150)

    def test_more_true_neighbours_than_there_can_be_are_refused(self):
        wrong = dict(self.ANSWER)
        wrong["near_10"] = wrong["near_100"] + 1
        with pytest.raises(ValueError, match="true neighbours"):
            MEASURES.check_answer(wrong, self.SURVEY.told, 150)
        many = self.ANSWER | {"near_100": self.ANSWER["points"]}  # 150
        with pytest.raises(ValueError, match="surveyed"):
            MEASURES.check_answer(many, self.SURVEY.told, 150)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("distances", np.zeros((200, 99), np.float32)),
            ("distances", np.full((200, 100), -1.0, np.float32)),
            ("distances", np.zeros((200, 100), np.int64)),
            ("count", np.array(151.0)),
            ("count", np.array(-1.0)),
            ("sum", np.zeros(63)),
            ("products", np.zeros((64, 63))),
            ("more", np.zeros(1)),
        ],
    )
    def test_what_is_no_survey_is_refused(self, name, value):
        with pytest.raises(ValueError):
            MEASURES.check_survey(self.SURVEY.told | {name: value}, PointBlock(QUERIES), 150)
