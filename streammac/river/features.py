"""From River's dicts of features to matrices: which features are columns, and what is not there.

A feature that is missing counts as 0, as in River's linear models, and so do None and NaN, which is what data frames
have in its place. Names may be anything that a dict takes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.models.base import Floats
from streammac.points.range import largest

Name: TypeAlias = Hashable
MOST_FEATURES = 1024
"""The first model needs the covariance of all columns: of more features, those that are there most often count."""
LARGEST = largest(MOST_FEATURES)
"""Numbers beyond are cut to it: infinity is far from everything, and float32 can still add up squares."""


class FeatureError(StreammacError, ValueError):
    """A feature is no number."""


class Row(NamedTuple):
    """One point: what is there of it, in any order. Points with the same features share the names."""

    names: tuple[Name, ...]
    values: Floats


def row_of(x: Mapping[Any, Any], like: Row | None = None) -> Row:
    """Return a point; with the names of another one where they are the same.

    Raises
    ------
    FeatureError
        If a feature is no number.

    Examples
    --------
    >>> row_of({"a": 1, "b": None, "c": True})
    Row(names=('a', 'c'), values=array([1., 1.], dtype=float32))
    """
    there = {}
    for name, value in x.items():
        if value is None:
            continue
        number = _number(name, value)
        if not math.isnan(number):
            there[name] = min(max(number, -LARGEST), LARGEST)
    names = tuple(there)
    if like is not None and like.names == names:
        names = like.names
    return Row(names, np.fromiter(there.values(), np.float32, len(there)))


def _number(name: Name, value: SupportsFloat) -> float:
    if not isinstance(value, str):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise FeatureError(
        f"feature {name!r}: expected a number, got {value!r} - preprocessing.OneHotEncoder makes numbers of "
        "categories, compose.SelectType(float, int) leaves the others out"
    )


def columns_of(rows: Iterable[Row]) -> tuple[Name, ...]:
    """Return the features of these points, the commonest `MOST_FEATURES` of them, in an order of their own."""
    sets = Counter(row.names for row in rows)
    counts: Counter[Name] = Counter()
    for names, times in sets.items():
        counts.update(dict.fromkeys(names, times))
    common = sorted(counts, key=lambda name: (-counts[name], repr(name)))[:MOST_FEATURES]
    return tuple(sorted(common, key=repr))


def matrix(rows: Sequence[Row], columns: tuple[Name, ...]) -> Floats:
    """Return points as an (n, D) float32 matrix: 0 where a feature is missing; others than ``columns`` are left out.

    >>> matrix([row_of({"b": 2, "a": 1}), row_of({"a": 3, "new": 4})], ("a", "b")).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    place = {name: number for number, name in enumerate(columns)}
    beside = len(columns)  # one column more, for what is in none
    x = np.zeros((len(rows), beside + 1), np.float32)
    names: tuple[Name, ...] = ()
    places: NDArray[np.intp] = np.zeros(0, np.intp)
    for out, row in zip(x, rows, strict=True):
        if row.names is not names:
            names = row.names
            places = np.array([place.get(name, beside) for name in names], np.intp)
        out[places] = row.values
    return np.ascontiguousarray(x[:, :beside])
