"""What codes and scores are worth, alone and in River's pipelines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import anomaly, compose, datasets, linear_model, preprocessing
from sklearn.metrics import roc_auc_score

from streammac.river import BinaryCodes, ReconstructionScorer, codes

SEGMENTS = list(datasets.ImageSegments())


def bits_of(model, xs):
    return np.array([list(model.transform_one(x).values()) for x in xs])


def test_bits_keep_their_meaning_when_a_model_is_made_from_scratch(monkeypatch):
    monkeypatch.setattr(codes, "BETTER", math.inf)  # each new model is used
    xs = [x for x, _ in SEGMENTS[:400]]
    changed = {}
    for named in (True, False):
        if not named:
            monkeypatch.setattr(BinaryCodes, "_followed", lambda self, new: new)
        model = preprocessing.StandardScaler() | BinaryCodes(bits=16, window=400, every=200)
        for x in xs[:200]:
            model.learn_one(x)
        before = bits_of(model, xs)
        for x in xs[200:]:
            model.learn_one(x)
        changed[named] = (bits_of(model, xs) != before).mean()
    assert changed[False] > 0.4, "it was made from scratch"
    assert changed[True] < 0.6 * changed[False]


def test_bits_stay_as_they_are_until_others_are_better(monkeypatch):
    monkeypatch.setattr(codes, "BETTER", 0.8)  # six inputs are not much: the tenth may be chance
    rng = np.random.default_rng(0)
    model = BinaryCodes(bits=4, window=600, every=300)
    used = []
    for scale in (1, 1, 5):
        for x in rng.normal(size=(600, 6)) * [scale, 2, 1, 1, 1, 1]:
            model.learn_one(dict(enumerate(x.tolist())))
        used.append(model._trained)
    assert used[0] is used[1]
    assert used[1] is not used[2]


def test_codes_stand_beside_other_features():
    both = BinaryCodes(bits=8, window=100, every=50) + compose.FuncTransformer(dict)
    model = preprocessing.StandardScaler() | both | linear_model.SoftmaxRegression()
    for x, y in SEGMENTS[:120]:
        model.learn_one(x, y)
    assert len(model["TransformerUnion"].transform_one(x)) == 8 + len(x)
    assert model.clone().predict_one(x) is None
    assert model.predict_one(x) is not None


def unusual(count: int) -> list[tuple[dict, bool]]:
    """Segments of three kinds; one in twenty is of another one."""
    usual = [x for x, y in SEGMENTS if y in ("brickface", "sky", "foliage")]
    others = [x for x, y in SEGMENTS if y not in ("brickface", "sky", "foliage")]
    return [(others[n // 20], True) if n % 20 == 19 else (usual[n], False) for n in range(count)]


def test_what_is_unusual_is_scored_above_the_rest_and_better_than_by_trees():
    found = {}
    for model in (
        preprocessing.StandardScaler() | ReconstructionScorer(),
        preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1),
    ):
        scores, labels = [], []
        for x, label in unusual(900):
            scores.append(model.score_one(x))
            labels.append(label)
            model.learn_one(x)
        found[str(model)] = roc_auc_score(labels[250:], scores[250:])
    ours, trees = found.values()
    assert ours > max(0.75, trees + 0.1), found


def test_a_score_is_0_before_the_first_model_and_half_at_the_usual_error():
    model = ReconstructionScorer(bits=8, window=200, every=100)
    xs = [
        {n: float(v) for n, v in enumerate(row)}
        for row in np.random.default_rng(0).normal(size=(200, 6))
    ]
    assert model.score_one(xs[0]) == 0.0
    for x in xs:
        model.learn_one(x)
    errors = [score / (1 - score) for score in map(model.score_one, xs)]
    assert np.mean(errors) == pytest.approx(1, rel=0.05)
    assert 0.99 < model.score_one({0: math.inf}) <= 1
    assert 0.99 < model.score_one({0: 1e6}) <= 1
    assert 0 <= model.score_one({}) < 0.7


@pytest.mark.parametrize("to", [1e6, 0.0])
def test_scores_stay_numbers_and_come_down_again_when_a_feed_jumps(to):
    model = ReconstructionScorer(bits=4, window=60, every=20)
    rng = np.random.default_rng(0)
    for n in range(240):
        scale, offset = (1, 0) if n < 100 else (min(to, 1), to)
        x = dict(enumerate((offset + scale * rng.normal(size=3)).tolist()))
        score = model.score_one(x)
        assert 0 <= score <= 1
        model.learn_one(x)
    assert score < 0.95
