"""What several machines learn apart: disjoint parts of the points, and a fitted learner as one vector of parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.models.base import Array, Tensors

Rows: TypeAlias = NDArray[np.int64]
LINEAR = ("coef_", "intercept_")


class NoVector(StreammacError, TypeError):
    """What a learner has learnt is no vector of numbers whose length is known."""


class TooFewPoints(StreammacError, ValueError):
    """There are not enough points for so many parts."""


def deal(labels: Array, parts: int, rng: np.random.Generator) -> list[Rows]:
    """Return disjoint random parts of n points, of all of them; each class is dealt evenly.

    >>> deal(np.array([0, 0, 0, 0, 1, 1]), 2, np.random.default_rng(0))
    [array([0, 3, 5]), array([1, 2, 4])]
    """
    mixed = rng.permutation(len(labels))
    by_class = mixed[np.argsort(labels[mixed], kind="stable")]
    return [np.sort(by_class[i::parts]) for i in range(parts)]


def vector_of(learner: Any) -> NDArray[np.float64]:
    """Return the parameters of a fitted learner one after the other, (d,).

    Raises
    ------
    NoVector
        If it has neither coefficients nor arrays.
    """
    found = [np.ravel(value) for value in _parameters(learner).values()]
    return np.concatenate(found).astype(np.float64)


def with_vector(learner: Any, vector: NDArray[np.float64]) -> Any:
    """Return a copy of a fitted learner that has these parameters, (d,).

    Raises
    ------
    NoVector
        If they are of another length, or the learner does not let them be set.
    """
    former = _parameters(learner)
    sizes = [value.size for value in former.values()]
    if sum(sizes) != vector.size:
        raise NoVector(f"expected {sum(sizes)} parameters, got {vector.size}")
    pieces = np.split(vector, np.cumsum(sizes)[:-1])
    values = {
        name: piece.astype(value.dtype).reshape(value.shape)
        for (name, value), piece in zip(former.items(), pieces, strict=True)
    }
    made = copy.deepcopy(learner)
    if hasattr(made, "arrays_"):
        made.arrays_ = {**made.arrays_, **values}
        return made
    try:
        for name, value in values.items():
            setattr(made, name, value if value.ndim else value.item())
    except AttributeError as error:
        raise NoVector(
            f"{type(learner).__name__} does not let its coefficients be set: use a linear model that does"
        ) from error
    return made


def _parameters(learner: Any) -> Tensors:
    arrays: Mapping[str, Array] | None = getattr(learner, "arrays_", None)
    if arrays is not None:  # what is counted in whole numbers is no parameter
        return {name: value for name, value in arrays.items() if value.dtype.kind == "f"}
    if all(hasattr(learner, name) for name in LINEAR):
        return {name: np.asarray(getattr(learner, name)) for name in LINEAR}
    raise NoVector(
        f"{type(learner).__name__} has no coef_ and intercept_: use a linear model, or a LearnerClassifier"
    )
