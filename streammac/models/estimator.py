"""Scikit-learn estimators of codes round the serial trainer, for notebooks and pipelines.

The same models that a cluster trains, on data in memory: `fit` learns from a matrix, `partial_fit` follows a
stream of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from streammac.models.arrays import ArrayShard
from streammac.models.base import Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.learner_codes import LearnerCodesModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.registry import create
from streammac.models.renewal import Begin, Renewal
from streammac.models.serial import w_step

DRIFT = 1.25
"""New points whose mean error is so many times that of the points that are kept are of another kind."""


CodesModel: TypeAlias = BinaryAutoencoderModel | LearnerCodesModel


class _Codes(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # sklearn has no types
    """What the estimators of codes are; subclasses say of which model, and explain the parameters."""

    bits: int
    epochs: int
    partial_epochs: int = 1
    window: int | None
    minibatch: int = 512
    random_state: int | None

    @abstractmethod
    def _of(self, seed: int) -> CodesModel:
        """Return the model that the parameters ask for."""

    def _begin(self) -> tuple[CodesModel, VisitPlan]:
        for name in ("epochs", "partial_epochs", "minibatch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if self.window is not None and self.window < 1:
            raise ValueError(f"window: expected 1 or more, or None, got {self.window}")
        seed = self.random_state or 0
        return self._of(seed), VisitPlan(seed=seed, minibatch=self.minibatch)

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn from an (n, D) matrix. ``y`` is ignored."""
        x = validate_data(self, X, dtype=np.float32)
        self._model, self._plan = self._begin()
        self._shard = ArrayShard(x, self._model.coordinate_shape())
        self._epoch = self._age = 0
        self._renewal = Renewal()
        self._renewal.begun("fresh", len(x), len(x))
        self._train(fresh=True)
        for _ in range(self.epochs - 1):
            self._train()
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Go on learning with (n, D) new points. ``y`` is ignored.

        They enter with z = h(x) and are trained on together with the points that are kept, as in a cluster: the
        hash functions with each quarter of new points, and from new statistics when the points have doubled or all been
        replaced, or while a drift replaces them (`streammac.models.renewal`).
        """
        if not hasattr(self, "params_"):
            return self.fit(X)
        x = validate_data(self, X, dtype=np.float32, reset=False)
        first = len(self._shard)
        self._shard.extend(x)
        errors: list[float] = []
        watched = self._model.watched
        enter(
            self._model,
            self.params_,
            self._shard,
            first,
            observe=lambda _, outcomes: errors.extend(outcomes[watched]),
        )
        if self.window is not None:
            self._shard.keep_last(self.window)
        begin = self._due(float(np.mean(errors)))
        if begin is None:
            for _ in range(self.partial_epochs):
                self._train()
            return self
        if begin == "fresh":
            self._train(fresh=True)
        self._age = min(self._age, self._model.warm_age)
        while not self._model.rests(self._age):
            self._train()
        return self

    def _due(self, error: float) -> Begin | None:
        """Return how training is to begin again, if it is, after new points with that mean error."""
        points, rule = len(self._shard), self._renewal
        ever = self._shard.number(points)
        if error > DRIFT * self.objective_:
            rule.drifted(points, ever)
        begin = rule.due(points, ever)
        if begin is not None:
            rule.begun(begin, points, ever)
        return begin

    def _train(self, *, fresh: bool = False) -> None:
        """Train for one epoch; a fresh one makes a new model from the points alone."""
        model, shard = self._model, self._shard
        before: Tensors = {} if fresh else self.params_
        groups = model.groups_for(1)
        self.params_: Tensors = w_step(
            model, {"w1": shard}, before, self._plan, self._epoch, self._age, groups
        )
        if fresh:
            self._age = 0
            enter(model, self.params_, shard, 0)
        self.objective_ = z_pass(model, self.params_, shard, model.mu(self._age)).error
        self._age += not fresh
        self._epoch += 1

    def transform(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Return the (n, bits) codes of (n, D) points: 0 or 1, uint8."""
        check_is_fitted(self, "params_")
        x = validate_data(self, X, dtype=np.float32, reset=False)
        return self._model.coordinates(self.params_, np.array(x))

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the (n, D) reconstructions of (n, bits) codes."""
        check_is_fitted(self, "params_")
        z = np.asarray(X)
        if z.ndim != 2 or z.shape[1] != self.bits:
            raise ValueError(f"X: expected codes of shape (n, {self.bits}), got {z.shape}")
        return self._model.decode(self.params_, z)

    @property
    def _n_features_out(self) -> int:
        return self.bits

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are bits, whatever the type of the inputs
        return tags

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the bits."""
        check_is_fitted(self, "params_")
        return np.array([f"bit{i}" for i in range(self.bits)], dtype=object)


class BinaryAutoencoder(_Codes):
    """Binary hash codes by a binary autoencoder (linear SVMs in, linear decoder out).

    Parameters
    ----------
    bits : int
        Length of the codes, L.
    epochs : int
        Epochs of `fit`; the first one makes the initial model (PCA and ITQ), and after about nine
        the continuation has ended.
    partial_epochs : int
        Epochs of a `partial_fit` that brings too little that is new to train the hash functions on.
    window : int or None
        `partial_fit` keeps the newest points, so many at most; None keeps all.
    minibatch : int
        Points per SGD step.
    laps : int
        SGD passes per epoch.
    random_state : int or None
        Seed of everything random; None is 0: the result never depends on chance alone.

    Attributes
    ----------
    params_ : dict of arrays
        Parameters, see `streammac.models.binary_autoencoder`.
    objective_ : float
        Mean squared error of the nested model per input, in units of the mean variance; points that are far from all
        others are left out.
    n_features_in_ : int
        Length of x, D.

    References
    ----------
    Carreira-Perpinan, Raziperchikolaei: Hashing with binary autoencoders, CVPR 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data
    >>> codes = BinaryAutoencoder(bits=16).fit_transform(X)
    >>> codes.shape, codes.dtype
    ((1797, 16), dtype('uint8'))
    """

    def __init__(
        self,
        bits: int = 32,
        *,
        epochs: int = 10,
        partial_epochs: int = 1,
        window: int | None = None,
        minibatch: int = 512,
        laps: int = 2,
        random_state: int | None = None,
    ) -> None:
        self.bits = bits
        self.epochs = epochs
        self.partial_epochs = partial_epochs
        self.window = window
        self.minibatch = minibatch
        self.laps = laps
        self.random_state = random_state

    def _of(self, seed: int) -> BinaryAutoencoderModel:
        return BinaryAutoencoderModel(bits=self.bits, laps=self.laps, seed=seed)


class LearnerCodes(_Codes):
    """Binary hash codes whose bits classifiers of scikit-learn or River predict (linear decoder out).

    Parameters
    ----------
    bits : int
        Length of the codes, L.
    learner : str
        Which kind of classifiers, see docs/learners.md.
    learner_options : dict or None
        Their parameters.
    options : dict or None
        Further hyper-parameters, see `streammac.models.learner_codes.LearnerCodesModel`: ``inputs``,
        ``visit_points`` and others.
    epochs, window, random_state
        See `BinaryAutoencoder`.

    Attributes
    ----------
    params_ : dict of arrays
        Parameters, see `streammac.models.learner_codes`.
    objective_, n_features_in_
        See `BinaryAutoencoder`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data[:500]
    >>> codes = LearnerCodes(bits=8, learner="perceptron", epochs=3).fit_transform(X)
    >>> codes.shape, codes.dtype
    ((500, 8), dtype('uint8'))
    """

    def __init__(
        self,
        bits: int = 32,
        learner: str = "sgd_classifier",
        *,
        learner_options: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        epochs: int = 10,
        window: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.bits = bits
        self.learner = learner
        self.learner_options = learner_options
        self.options = options
        self.epochs = epochs
        self.window = window
        self.random_state = random_state

    def _of(self, seed: int) -> LearnerCodesModel:
        own = {"bits": self.bits, "learner": self.learner, "seed": seed}
        given = {"learner_options": self.learner_options or {}, **(self.options or {})}
        model = create(LearnerCodesModel.family, **{**given, **own})
        assert isinstance(model, LearnerCodesModel)
        return model
