"""The Radon machine: a learner is trained apart on many small parts, and the middle of what came of it is the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from streammac.models.base import Array
from streammac.models.hypotheses import TooFewPoints, deal, vector_of, with_vector
from streammac.models.radon import iterated_radon_point, radon_number

POINTS_PER_PARAMETER = 10
"""Parts have so many, where nothing else is asked for; of fewer, what a learner makes of a part is far off."""
PROBE = 200
"""A learner that has seen so many points tells how many parameters it has."""


Method: TypeAlias = Callable[["RadonMachine", ArrayLike], NDArray[Any]]


def _has(method: str) -> Callable[[Method], Method]:
    def check(machine: RadonMachine) -> bool:
        return hasattr(getattr(machine, "estimator_", machine.estimator), method)

    marked: Callable[[Method], Method] = available_if(check)
    return marked


class RadonMachine(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Any learner whose parameters are a vector, trained in parallel on disjoint parts without a word between them.

    With d parameters, r = d + 2: the learner is trained on each of r^height parts, and ``height`` times each r
    vectors of parameters are replaced by their Radon point (`streammac.models.radon`).

    Parameters
    ----------
    estimator : estimator
        A classifier or a regressor of one output, with ``coef_`` and ``intercept_``, or a `LearnerClassifier`. Its d is
        to be some hundreds at most.
    height : int or None
        Rounds of Radon points; 0: the learner itself on all points. None: as many as the points suffice for.
    least_points : int or None
        Each part has so many points at least. None: ten for each parameter where the height is left to choose, or one.
    n_jobs : int or None
        Processes that train, as everywhere in scikit-learn.
    random_state : int or None
        Seed of how the points are dealt; None is 0.

    Attributes
    ----------
    estimator_ : estimator
        The learner with the parameters that were found.
    height_ : int
        Rounds.
    hypotheses_ : (r^height, d) array
        The parameters from each part.

    References
    ----------
    Kamp, Boley, Missura, Gaertner: Effective parallelisation for machine learning, NeurIPS 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import RidgeClassifier
    >>> X, y = make_classification(3000, 4, n_redundant=0, random_state=0)
    >>> machine = RadonMachine(RidgeClassifier()).fit(X, y)
    >>> machine.height_, machine.hypotheses_.shape
    (2, (49, 5))
    >>> bool(abs(machine.score(X, y) - RidgeClassifier().fit(X, y).score(X, y)) < 0.01)
    True
    """

    def __init__(
        self,
        estimator: Any,
        height: int | None = None,
        *,
        least_points: int | None = None,
        n_jobs: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.height = height
        self.least_points = least_points
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> RadonMachine:
        """Learn from an (n, D) matrix and (n,) classes or numbers.

        Raises
        ------
        TooFewPoints
            If they do not suffice for the height that was asked for.
        NoVector
            If the learner has no vector of parameters.
        """
        for name, least in (("height", 0), ("least_points", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: expected {least} or more, or None, got {value}")
        classes = is_classifier(self.estimator)
        x, targets = validate_data(self, X, y, y_numeric=not classes)
        labels = np.zeros(len(x), np.int64)
        if classes:
            check_classification_targets(targets)
            labels = np.unique(targets, return_inverse=True)[1]
        rng = np.random.default_rng(self.random_state or 0)
        rarest = int(np.bincount(labels).min())
        rows = deal(labels, max(1, min(len(x) // PROBE, rarest // 2)), rng)[0]
        probe = clone(self.estimator).fit(x[rows], targets[rows])
        with_vector(probe, vector_of(probe))
        r = radon_number(len(vector_of(probe)))
        self.height_ = self._height(r, len(x), rarest)
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_vector)(clone(self.estimator), x[part], targets[part])
            for part in deal(labels, r**self.height_, rng)
        )
        self.hypotheses_ = np.array(fitted)
        self.estimator_ = with_vector(probe, iterated_radon_point(fitted, self.height_))
        return self

    def _height(self, r: int, points: int, rarest: int) -> int:
        """Return the number of rounds, with so many points in all and of the rarest class."""
        least = self.least_points or (1 if self.height is not None else _usual(r))
        fits = 0
        while r ** (fits + 1) <= min(points // least, rarest):
            fits += 1
        if self.height is None or self.height <= fits:
            return fits if self.height is None else self.height
        raise TooFewPoints(
            f"height: {self.height} makes {r}^{self.height} = {r**self.height} parts of at least {least} points "
            f"and of every class; there are {points} points, {rarest} of the rarest class, which suffice for "
            f"height={fits} - use that or None, a learner with fewer parameters, or more points"
        )

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class or the number of each point, (n,)."""
        return self._asked("predict", X)

    @_has("predict_proba")
    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probabilities of the classes, (n, C)."""
        return self._asked("predict_proba", X)

    @_has("decision_function")
    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the scores by which classes are told, (n,) or (n, C)."""
        return self._asked("decision_function", X)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Return the accuracy, or R^2, on (n, D) points and their targets."""
        check_is_fitted(self, "estimator_")
        x = validate_data(self, X, reset=False)
        return float(self.estimator_.score(x, y))

    def _asked(self, method: str, X: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self, "estimator_")
        x = validate_data(self, X, reset=False)
        found: NDArray[Any] = getattr(self.estimator_, method)(x)
        return found

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, of a classifier."""
        found: NDArray[Any] = self.estimator_.classes_
        return found

    def __sklearn_tags__(self) -> Any:
        tags, its = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = its.estimator_type
        tags.classifier_tags, tags.regressor_tags = its.classifier_tags, its.regressor_tags
        tags.target_tags.required = True
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = False
        return tags


def _usual(r: int) -> int:
    return POINTS_PER_PARAMETER * (r - 2)


def _vector(learner: Any, x: Array, y: Array) -> NDArray[np.float64]:
    return vector_of(learner.fit(x, y))
