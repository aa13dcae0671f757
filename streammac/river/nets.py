"""Deep nets by auxiliary coordinates as River's classifiers and regressors, on a window of the newest points.

The same loop as the serial reference's (`streammac.models.serial`), on one shard that follows the stream.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from river import base
from river.utils.dataframe import into_frame, into_series, to_native_frame, to_native_series

from streammac.models.arrays import ArrayShard
from streammac.models.base import Array, Floats, Tensors
from streammac.models.deep_net import ActivationName, DeepNetModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.nets.losses import LOSSES, Loss, probabilities
from streammac.models.renewal import Renewal
from streammac.models.serial import w_step
from streammac.models.shuffling import Part
from streammac.river.correction import LONGEST, Correction
from streammac.river.features import FeatureError, Row, matrix, row_of
from streammac.river.learner import WindowLearner, rows_of

SHARD = "w1"


class Following:
    """A deep net on one shard, trained as a stream's points come and go.

    A quarter of new points begins a short continuation from the net there is; with fewer there is one more pass, of
    small steps. What the net has learned from points that are gone it keeps, as in a cluster.

    Parameters
    ----------
    net : DeepNetModel
        What is trained.
    points : (n, D) array
        Those to begin with.
    targets : (n,) array
        Their classes by number, or their numbers.
    window : int
        The newest points are kept, so many of them.
    """

    def __init__(self, net: DeepNetModel, points: Floats, targets: Array, window: int) -> None:
        self.net = net
        self._window = window
        self._shard = ArrayShard(points, net.coordinate_shape(), targets)
        self._renewal = Renewal()
        self._plan = VisitPlan(seed=net.seed)
        self._epoch = 0
        self._renewal.begun("fresh", len(points), len(points))
        self.params: Tensors = self._w_step({}, Part())
        enter(self.net, self.params, self._shard, 0)
        self._train(0)

    def go_on(self, points: Floats, targets: Array) -> None:
        """Train with (n, D) new points and their targets."""
        shard, first = self._shard, len(self._shard)
        shard.extend(points, targets)
        enter(self.net, self.params, shard, first)
        shard.keep_last(self._window)
        there, ever = len(shard), shard.number(len(shard))
        begin = self._renewal.due(there, ever)
        if begin is not None:
            self._renewal.begun(begin, there, ever)
        self._train(self.net.passes - 1 if begin is None else self.net.warm_age)

    def _train(self, age: int) -> None:
        """Train from a pass of the continuation to its end."""
        net, shard = self.net, self._shard
        part = Part(age, slices=net.slices_for(len(shard), 1))
        while not net.rests(part.progress):
            rows = part.rows(len(shard), self._plan.seed, SHARD)
            z_pass(net, self.params, shard, net.mu(part.progress), rows=rows)
            self.params = self._w_step(self.params, part)
            part = part.following(part.slices)

    def _w_step(self, params: Tensors, part: Part) -> Tensors:
        plan, groups = replace(self._plan, part=part), self.net.groups_for(1)
        shards = {SHARD: self._shard}
        self._epoch += 1
        return w_step(self.net, shards, params, plan, self._epoch - 1, part.progress, groups)


class DeepNetLearner(WindowLearner):
    """Trains a deep net on the window; subclasses make an estimator of it, and explain the parameters."""

    _loss: ClassVar[Loss]

    def __init__(
        self,
        layers: Sequence[int],
        activation: ActivationName,
        window: int,
        every: int,
        seed: int,
        correction: float,
        options: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(window, every, seed)
        if not 0 <= correction <= LONGEST:
            raise ValueError(f"correction: expected 0 to {LONGEST}, got {correction}")
        self.layers = tuple(layers)
        self.activation = activation
        self.correction = correction
        self.options = options
        self._correction = Correction(correction, self._loss)
        self._targets: deque[Any] = deque(maxlen=window)
        self._following: Following | None = None
        self._net()  # says at once which parameter is wrong

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        # River's checks bring few points
        yield {"layers": (8,), "window": 200, "every": 25, "options": {"passes": 2}}

    def _net(self, classes: int = 0) -> DeepNetModel:
        return DeepNetModel.with_options(
            self.options,
            layers=self.layers,
            activation=self.activation,
            classes=classes,
            seed=self.seed,
        )

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Correct what the net says of such a point, and keep it; with every so many of them, train.

        Raises
        ------
        FeatureError
            If a feature, or the target of a regressor, is no number; the point is not kept.
        """
        row = self._row(x)
        target = self._target(y)
        if self._following is not None and self.correction:
            wanted = self._wanted(target)
            if wanted is not None:
                self._correction.learn(*self._evidence([row]), wanted)
        self._targets.append(target)
        self._keep(row)

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the points of a data frame, one after the other, with the targets of a series."""
        for x, target in zip(rows_of(X), into_series(y).to_list(), strict=True):
            self.learn_one(x, target)

    @abstractmethod
    def _target(self, y: Any) -> Any:
        """Return a target as it is kept."""

    @abstractmethod
    def _coded(self, targets: list[Any]) -> Array:
        """Return targets as the net takes them, (n,)."""

    @abstractmethod
    def _wanted(self, target: Any) -> Floats | None:
        """Return what is to be said of a point with this target, (1, O); None where the net cannot say it."""

    def _evidence(self, rows: Sequence[Row]) -> tuple[Floats, Floats]:
        """Return the scores of the net, (n, O), and what they are corrected by, (n, E)."""
        assert self._following is not None
        return self._following.net.evidence(self._following.params, matrix(rows, self._columns))

    def _follow(self, points: Floats, classes: int = 0) -> None:
        """Begin with a new net."""
        self._correction = Correction(self.correction, self._loss)
        targets = self._coded(list(self._targets))
        self._following = Following(self._net(classes), points, targets, self.window)

    def _go_on(self, new: Floats) -> None:
        if self._following is not None:
            self._following.go_on(new, self._coded(list(self._targets)[-len(new) :]))


class DeepNetClassifier(DeepNetLearner, base.MiniBatchClassifier):
    """A deep net for classes, with a softmax loss, and a correction that learns from each point at once.

    Before the first net, classes are as likely as they have been in the window. A class that is new begins a new
    net when the next training is due; features come and go as in `BinaryCodes`.

    Parameters
    ----------
    layers
        Units of the hidden layers.
    activation
        Of these: relu, tanh, sigmoid or step.
    window
        The newest points are kept, so many of them.
    every
        Train after so many new points; so many also make the first net.
    seed
        Of everything random: the same points and seed give the same net.
    correction
        Length of the steps of a linear correction of what the net says, 0 to 2; 0: none. Longer ones suit streams that
        change from point to point, and words.
    options
        Others of `streammac.models.deep_net.DeepNetModel`, such as ``{"passes": 4, "multipliers": True}``.

    Examples
    --------
    >>> from river import datasets, preprocessing
    >>> model = preprocessing.StandardScaler() | DeepNetClassifier(layers=(16,))
    >>> for x, y in datasets.ImageSegments().take(300):
    ...     model.learn_one(x, y)
    >>> model.predict_one(x) in {y for _, y in datasets.ImageSegments()}
    True
    """

    _loss = LOSSES["softmax"]

    def __init__(
        self,
        layers: Sequence[int] = (64, 32),
        activation: ActivationName = "relu",
        window: int = 1000,
        every: int = 50,
        seed: int = 0,
        correction: float = 0.5,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(layers, activation, window, every, seed, correction, options)
        self._known: Counter[Hashable] = Counter()  # all classes that ever came
        self._classes: tuple[Hashable, ...] = ()  # those of the net

    @property
    def _multiclass(self) -> bool:
        return True

    def _target(self, y: Any) -> Any:
        self._known[y] += 1
        return y

    @property
    def _outgrown(self) -> bool:
        return not self._known.keys() <= set(self._classes)

    def _coded(self, targets: list[Any]) -> Array:
        place = {name: number for number, name in enumerate(self._classes)}
        return np.array([place[target] for target in targets], np.float32)

    def _wanted(self, target: Any) -> Floats | None:
        if target not in self._classes:
            return None
        return np.array([[name == target for name in self._classes]], np.float32)

    def _begin(self, points: Floats) -> None:
        self._classes = tuple(sorted(self._known, key=repr))
        self._follow(points, len(self._classes))

    def _probabilities(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Return those of the known classes, in the order in which they came, (n, C)."""
        known = list(self._known)
        if self._following is None:
            shares = np.array([self._known[name] for name in known], np.float64)
            return np.tile(shares / max(1.0, shares.sum()), (len(rows), 1))
        scores, evidence = self._evidence(rows)
        told = probabilities(self._correction(scores, evidence))
        found = np.zeros((len(rows), len(known)))
        found[:, [known.index(name) for name in self._classes]] = told
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def predict_proba_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return the probability of each class that has come."""
        (likely,) = self._probabilities([row_of(x)]).tolist()
        return dict(zip(self._known, likely, strict=True))

    def predict_proba_many(self, X: Any) -> Any:
        """Return the probabilities of the points of a data frame, in one of the same kind."""
        likely = self._probabilities([row_of(x) for x in rows_of(X)])
        columns = dict(zip(self._known, likely.T, strict=True))
        return to_native_frame(columns, like=into_frame(X))

    def predict_many(self, X: Any) -> Any:
        """Return the likeliest classes of the points of a data frame, as a series."""
        known, likely = list(self._known), self._probabilities([row_of(x) for x in rows_of(X)])
        told = (
            [known[number] for number in likely.argmax(axis=1)] if known else [None] * len(likely)
        )
        return to_native_series(told, name=None, like=into_frame(X))


def _number(y: Any) -> float:
    try:
        number = float(y)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise FeatureError(f"target: expected a finite number, got {y!r}")
    return number


class DeepNetRegressor(DeepNetLearner, base.MiniBatchRegressor):
    """A deep net for numbers, with a squared loss, and a correction that learns from each point at once.

    Before the first net a prediction is the mean of the window's targets. Features come and go as in `BinaryCodes`.

    Parameters
    ----------
    layers
        Units of the hidden layers.
    activation
        Of these: relu, tanh, sigmoid or step.
    window
        The newest points are kept, so many of them.
    every
        Train after so many new points; so many also make the first net.
    seed
        Of everything random: the same points and seed give the same net.
    correction, options
        See `DeepNetClassifier`.

    Examples
    --------
    >>> from river import datasets, preprocessing
    >>> model = preprocessing.StandardScaler() | DeepNetRegressor(layers=(16,))
    >>> for x, y in datasets.TrumpApproval().take(300):
    ...     model.learn_one(x, y)
    >>> abs(model.predict_one(x) - y) < 2
    True
    """

    _loss = LOSSES["squared"]

    def __init__(
        self,
        layers: Sequence[int] = (64, 32),
        activation: ActivationName = "relu",
        window: int = 1000,
        every: int = 50,
        seed: int = 0,
        correction: float = 0.25,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(layers, activation, window, every, seed, correction, options)

    def _target(self, y: Any) -> float:
        return _number(y)

    def _coded(self, targets: list[Any]) -> Array:
        return np.array(targets, np.float32)

    def _wanted(self, target: float) -> Floats:
        return np.array([[target]], np.float32)

    def _evidence(self, rows: Sequence[Row]) -> tuple[Floats, Floats]:
        """Return numbers in their own units."""
        scores, evidence = super()._evidence(rows)
        assert self._following is not None
        return self._following.net.said(self._following.params, scores), evidence

    def _begin(self, points: Floats) -> None:
        self._follow(points)

    def _numbers(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        if self._following is None:
            return np.full(len(rows), np.mean(self._targets) if self._targets else 0.0)
        return np.asarray(self._correction(*self._evidence(rows))[:, 0], np.float64)

    def predict_one(self, x: Mapping[Any, Any]) -> float:
        """Return the number that is told of a point."""
        return float(self._numbers([row_of(x)])[0])

    def predict_many(self, X: Any) -> Any:
        """Return the numbers that are told of the points of a data frame, as a series."""
        told = self._numbers([row_of(x) for x in rows_of(X)])
        return to_native_series(told, name=None, like=into_frame(X))
