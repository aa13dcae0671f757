"""When the estimators train, on what, and that nothing else matters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from streammac.river import BinaryCodes, FeatureError, ReconstructionScorer
from streammac.river.features import matrix


def points(count: int, dim: int = 5, seed: int = 0) -> list[dict]:
    x = np.random.default_rng(seed).normal(size=(count, dim)).cumsum(axis=1)
    return [{f"f{n}": float(v) for n, v in enumerate(row)} for row in x]


def taught(model, xs):
    for x in xs:
        model.learn_one(x)
    return model


def columns(model):
    return model._trained.columns if model._trained else None


def test_the_first_model_comes_after_as_many_points_as_are_asked_for():
    model = taught(BinaryCodes(bits=4, window=60, every=20), points(19))
    assert set(model.transform_one(points(1)[0]).values()) == {0}
    taught(model, points(1))
    assert any(any(model.transform_one(x).values()) for x in points(9))


def test_only_the_newest_points_are_kept():
    model = taught(BinaryCodes(bits=4, window=60, every=20), points(150))
    assert len(model._rows) == 60
    trained_on = model._autoencoder._shard.x(slice(None))
    np.testing.assert_array_equal(trained_on[10:], matrix(list(model._rows)[:50], columns(model)))


def test_new_features_count_once_there_are_twice_as_many_points_and_old_ones_go():
    model = taught(BinaryCodes(bits=4, window=60, every=20), points(20))
    new = [x | {"new": x["f0"] ** 2} for x in points(40, seed=1)]
    taught(model, new[:19])
    assert "new" not in columns(model)
    taught(model, new[19:])
    assert "new" in columns(model)
    taught(model, [{"other": n % 7.0, "new": n % 5.0} for n in range(120)])
    assert columns(model) == ("new", "other")


def test_points_without_features_ask_for_nothing():
    model = taught(BinaryCodes(bits=4, window=40, every=20), [{}] * 100)
    assert columns(model) is None
    taught(model, points(20))
    assert len(columns(model)) == 5


def test_a_point_with_a_feature_that_is_no_number_is_not_kept():
    model = BinaryCodes(bits=4)
    with pytest.raises(FeatureError, match="'colour'"):
        model.learn_one({"colour": "red"})
    assert len(model._rows) == 0


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    xs = points(60)
    codes = [
        [model.transform_one(x) for x in xs]
        for model in (
            taught(BinaryCodes(bits=8, window=60, every=30, seed=s), xs) for s in (1, 1, 2)
        )
    ]
    assert codes[0] == codes[1] != codes[2]


def test_a_data_frame_is_learned_as_its_points_with_nan_for_what_is_missing():
    xs = points(50)
    for n in range(0, 50, 3):
        del xs[n]["f1"]
    one = taught(BinaryCodes(bits=8, window=40, every=20), xs)
    many = BinaryCodes(bits=8, window=40, every=20)
    many.learn_many(pd.DataFrame(xs))
    frame = many.transform_many(pd.DataFrame(xs, index=range(7, 57)))
    assert list(frame.index) == list(range(7, 57))
    assert frame.to_dict("records") == [one.transform_one(x) for x in xs]


def test_a_data_frame_with_words_is_refused():
    with pytest.raises(FeatureError, match="expected numbers in all columns"):
        BinaryCodes().learn_many(pd.DataFrame({"city": ["Rome"]}))


@pytest.mark.parametrize("cls", [BinaryCodes, ReconstructionScorer])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": 0}, "every"),
        ({"window": 50}, "window"),
        ({"bits": 0}, "bits"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_parameter_is_named_at_once(cls, wrong, said):
    with pytest.raises(ValueError, match=f"{said}: expected"):
        cls(**wrong)
