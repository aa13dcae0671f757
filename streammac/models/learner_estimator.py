"""A scikit-learn classifier of two classes round any kind of learner that has a converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from streammac.models.base import Tensors
from streammac.models.learners.converter import Converter
from streammac.models.learners.registry import converter


class LearnerClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Two classes by a learner of the registry, as `learner_codes` has them predict bits.

    Parameters
    ----------
    kind : str
        Name of the learner, see docs/learners.md.
    options : mapping or None
        Its hyper-parameters.
    passes : int
        Passes over the points.
    minibatch : int
        Points that it learns from at once, 2 or more.
    random_state : int or None
        Seed of everything random; None is 0.

    Attributes
    ----------
    arrays_ : dict of arrays
        What it has learnt.
    classes_ : (2,) array
        The classes.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> bool(LearnerClassifier("gaussian_nb").fit(X, y).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        kind: str = "sgd_classifier",
        options: Mapping[str, Any] | None = None,
        *,
        passes: int = 5,
        minibatch: int = 512,
        random_state: int | None = None,
    ) -> None:
        self.kind = kind
        self.options = options
        self.passes = passes
        self.minibatch = minibatch
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> LearnerClassifier:
        """Learn from an (n, D) matrix and (n,) classes, of which there are two."""
        x, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        self.classes_ = unique_labels(labels)
        if len(self.classes_) != 2:
            count = len(self.classes_)
            raise ValueError(
                f"Only binary classification is supported, y has {count} class{'es' * (count > 1)}"
            )
        if self.passes < 1 or self.minibatch < 2:
            raise ValueError("passes, minibatch: expected 1 or more, 2 or more")
        bits = np.searchsorted(self.classes_, labels).astype(np.uint8)
        made = self._converter()
        learner, rng = made.learner({}), np.random.default_rng(self.random_state or 0)
        for _ in range(self.passes):
            order = rng.permutation(len(x))
            # learners want to see both classes first
            ends = [np.flatnonzero(bits[order] == bit)[0] for bit in (0, 1)]
            order = np.r_[order[ends], np.delete(order, ends)]
            for rows in np.array_split(order, -(-len(x) // self.minibatch)):
                made.learn(learner, x[rows], bits[rows])
        self.arrays_: Tensors = made.arrays(learner)
        return self

    def _converter(self) -> Converter:
        return converter(self.kind, self.options or {}, self.random_state or 0)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of each point, (n,)."""
        check_is_fitted(self, "arrays_")
        x = validate_data(self, X, dtype=np.float32, reset=False)
        found: NDArray[Any] = self.classes_[self._converter().predict(self.arrays_, x)]
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
