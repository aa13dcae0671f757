"""Deep nets with scikit-learn's conventions, round the serial trainer: a classifier and a regressor.

The same model that a cluster trains, on data in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from streammac.models.arrays import ArrayShard
from streammac.models.base import Array, Floats, Tensors
from streammac.models.deep_net import DeepNetModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.serial import w_step
from streammac.models.shuffling import Part


class _DeepNet(BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """What both estimators are."""

    def __init__(
        self,
        layers: Sequence[int] = (256, 128),
        *,
        activation: str = "relu",
        options: Mapping[str, Any] | None = None,
        passes: int = 8,
        slice_points: int = 1500,
        minibatch: int = 512,
        random_state: int | None = None,
    ) -> None:
        self.layers = layers
        self.activation = activation
        self.options = options
        self.passes = passes
        self.slice_points = slice_points
        self.minibatch = minibatch
        self.random_state = random_state

    def _begin(self, classes: int = 0) -> None:
        if self.minibatch < 1:
            raise ValueError(f"minibatch: expected 1 or more, got {self.minibatch}")
        seed = self.random_state or 0
        self._model = DeepNetModel.with_options(
            self.options,
            layers=tuple(self.layers),
            activation=self.activation,
            classes=classes,
            passes=self.passes,
            slice_points=self.slice_points,
            seed=seed,
        )
        self._plan = VisitPlan(seed=seed, minibatch=self.minibatch)
        self._epoch = 0
        self.passes_ = 0
        self.params_: Tensors = {}

    def _train(self, x: Floats, y: Array, passes: int) -> None:
        """Train for some passes over these points; without parameters a first net is made of them."""
        model, plan = self._model, self._plan
        shard = ArrayShard(x, model.coordinate_shape(), y)
        shards, slices = {"w1": shard}, model.slices_for(len(x), 1)
        if not self.params_:
            self.params_ = w_step(model, shards, {}, plan, 0, 0, 1)
        enter(model, self.params_, shard, 0)
        # steps have become as short as they get in the last pass of `fit`
        part = Part(min(self.passes_, self.passes - 1), 0, slices)
        for _ in range(passes * slices):
            mu, rows = model.mu(part.progress), part.rows(len(x), plan.seed, "w1")
            self.loss_ = z_pass(model, self.params_, shard, mu, rows=rows).error
            self._epoch += 1
            now = VisitPlan(plan.seed, plan.minibatch, part=part)
            self.params_ = w_step(model, shards, self.params_, now, self._epoch, part.progress, 1)
            part = part.following(slices)
            if part.age >= self.passes:
                part = Part(self.passes - 1, 0, slices)
        self.passes_ += passes

    def _seen(self, X: ArrayLike) -> Floats:
        check_is_fitted(self, "params_")
        return np.array(validate_data(self, X, dtype=np.float32, reset=False))


class DeepNetClassifier(ClassifierMixin, _DeepNet):  # type: ignore[misc]
    """Classes by a deep net that is trained by auxiliary coordinates, with a softmax loss.

    Parameters
    ----------
    layers : sequence of int
        Units of the hidden layers, from the inputs on.
    activation : str
        ``relu``, ``tanh``, ``sigmoid`` or ``step``.
    options : dict, optional
        Others of `streammac.models.deep_net.DeepNetModel`, such as ``{"stage_layers": 2, "multipliers": True}``:
        stochastic Block-ADMM.
    passes : int
        Passes of `fit` over the points.
    slice_points : int
        Points that an epoch works on: so often their coordinates are renewed.
    minibatch : int
        Points per step, at most.
    random_state : int or None
        Seed of everything random; None is 0: the result never depends on chance alone.

    Attributes
    ----------
    classes_ : (C,) array
        The classes.
    params_ : dict of arrays
        Parameters, see `streammac.models.deep_net`.
    loss_ : float
        Mean loss of the slice of the last epoch.
    passes_ : int
        Passes so far.

    References
    ----------
    Carreira-Perpinan, Wang: Distributed optimization of deeply nested systems, AISTATS 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = DeepNetClassifier([16], passes=30).fit(X, y)
    >>> bool(net.score(X, y) > 0.9)
    True
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> DeepNetClassifier:
        """Learn from an (n, D) matrix and (n,) classes."""
        x, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        self._start(unique_labels(labels))
        self._train(x, np.searchsorted(self.classes_, labels), self.passes)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None
    ) -> DeepNetClassifier:
        """Go on learning with one pass over (n, D) points; the first call needs to know all ``classes``."""
        first = not hasattr(self, "params_")
        x, labels = validate_data(self, X, y, dtype=np.float32, reset=first)
        check_classification_targets(labels)
        if first:
            if classes is None:
                raise ValueError("classes: expected all classes at the first call of partial_fit")
            self._start(unique_labels(classes))
        if not np.isin(labels, self.classes_).all():
            raise ValueError(f"y: expected classes among {self.classes_}")
        self._train(x, np.searchsorted(self.classes_, labels), 1)
        return self

    def _start(self, classes: NDArray[Any]) -> None:
        if len(classes) < 2:
            raise ValueError(f"y: expected two classes or more, got 1 class: {classes}")
        self.classes_ = classes
        self._begin(len(classes))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probabilities of the classes, (n, C)."""
        x = self._seen(X)
        return self._model.probabilities(self.params_, x)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest class of each point, (n,)."""
        x = self._seen(X)
        found: NDArray[Any] = self.classes_[self._model.predict(self.params_, x)]
        return found


class DeepNetRegressor(RegressorMixin, _DeepNet):  # type: ignore[misc]
    """Numbers by a deep net that is trained by auxiliary coordinates, with a squared loss.

    For parameters and attributes see `DeepNetClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = DeepNetRegressor([16], passes=30).fit(X, y)
    >>> bool(net.score(X, y) > 0.4)
    True
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> DeepNetRegressor:
        """Learn from an (n, D) matrix and (n,) or (n, K) numbers."""
        x, targets = validate_data(self, X, y, dtype=np.float32, multi_output=True, y_numeric=True)
        self._begin()
        self._single = targets.ndim == 1
        self._train(x, targets, self.passes)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> DeepNetRegressor:
        """Go on learning with one pass over (n, D) points."""
        first = not hasattr(self, "params_")
        x, targets = validate_data(
            self, X, y, dtype=np.float32, multi_output=True, y_numeric=True, reset=first
        )
        if first:
            self._begin()
            self._single = targets.ndim == 1
        self._train(x, targets, 1)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the numbers of each point, (n,) or (n, K)."""
        x = self._seen(X)
        found = self._model.predict(self.params_, x).astype(np.float64)
        return found[:, 0] if self._single else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
