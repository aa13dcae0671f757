"""From dicts of features to matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.errors import StreammacError
from streammac.points.range import largest, within
from streammac.river import features
from streammac.river.features import MOST_FEATURES, columns_of, matrix, row_of

NAMES = st.one_of(st.text("abc", max_size=2), st.integers(0, 3), st.tuples(st.integers(0, 2)))
VALUES = st.one_of(st.none(), st.booleans(), st.floats(width=32), st.integers(-9, 9))
POINTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=6)


@settings(max_examples=40)
@given(POINTS, st.randoms())
def test_the_order_of_features_says_nothing(points, random):
    shuffled = [dict(random.sample(list(x.items()), len(x))) for x in points]
    rows, others = [row_of(x) for x in points], [row_of(x) for x in shuffled]
    columns = columns_of(rows)
    assert columns == columns_of(others)
    np.testing.assert_array_equal(matrix(rows, columns), matrix(others, columns))


@settings(max_examples=40)
@given(POINTS)
def test_whatever_comes_is_in_the_range_that_training_carries(points):
    rows = [row_of(x) for x in points]
    x = matrix(rows, columns_of(rows))
    assert within(x).all()
    assert largest(x.shape[1] or 1) >= features.LARGEST


def test_what_is_missing_none_or_nan_is_0():
    rows = [row_of(x) for x in ({"a": 1, "b": 2}, {"b": 3}, {"a": None, "b": math.nan}, {})]
    assert matrix(rows, ("a", "b")).tolist() == [[1, 2], [0, 3], [0, 0], [0, 0]]
    assert rows[2].names == ()


def test_points_with_the_same_features_share_their_names():
    first = row_of({"a": 1, "b": 2})
    assert row_of({"a": 3, "b": 4}, like=first).names is first.names
    assert row_of({"b": 3, "a": 4}, like=first).names == ("b", "a")


def test_of_too_many_features_the_commonest_count():
    common = [{f"word{number:04}": 1 for number in range(MOST_FEATURES - 1)}] * 2
    rare = [{f"rare{number}": 1} for number in range(9)]
    columns = columns_of([row_of(x) for x in common + rare])
    assert len(columns) == MOST_FEATURES
    assert [name for name in columns if name.startswith("rare")] == ["rare0"]


@pytest.mark.parametrize("value", ["Rome", "1.5", [1], object()])
def test_a_feature_that_is_no_number_is_named(value):
    with pytest.raises(
        StreammacError, match=r"feature 'city': expected a number, got .*OneHotEncoder"
    ):
        row_of({"x": 1, "city": value})
