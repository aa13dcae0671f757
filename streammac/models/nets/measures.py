"""Measures of nets: how they do on held-out points, beside what is simpler.

Held-out points bring their targets, so stored points are needed for the baselines alone: the most frequent class or the
mean, and a linear model by least squares. Each shard answers for all queries; of equal answers the mean is the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from streammac.models.base import Array, Floats, Tensors
from streammac.models.measures import Chunks, Measures, Scores, Survey
from streammac.points.block import PointBlock

RIDGE = 1e-3
"""Of the linear model, relative to the mean variance of an input."""


class NetModel(Protocol):
    """What makes scores."""

    @property
    def classes(self) -> int:
        """Classes that y may be; 0: numbers."""
        ...

    def probabilities(self, params: Mapping[str, Array], x: Floats) -> Floats:
        """Return those of the classes, (n, C)."""
        ...

    def predict(self, params: Mapping[str, Array], x: Floats) -> Array:
        """Return what y is to be."""
        ...


@dataclass(frozen=True, slots=True)
class NetMeasures(Measures):
    """What measures of classes and of numbers share."""

    model: NetModel

    reference: ClassVar[str] = "linear"
    rounds: ClassVar[int] = 0

    # -- one shard ------------------------------------------------------------------------

    def survey(self, queries: PointBlock, chunks: Chunks) -> Survey:
        """Sum up points, targets and their products: what a linear model is fitted to."""
        inputs, outputs = queries.x.shape[1], self._coded(queries).shape[1]
        sums = np.zeros((inputs + 1, inputs + 1 + outputs))
        spread = np.zeros(())
        for chunk in chunks():
            y = self._coded(chunk).astype(np.float64)
            x = np.pad(chunk.x.astype(np.float64), ((0, 0), (0, 1)), constant_values=1.0)
            sums += x.T @ np.concatenate([x, y], axis=1)
            spread += np.vdot(y, y)
        return Survey({"sums": sums, "spread": spread}, {})

    def answer(
        self,
        params: Mapping[str, Array],
        queries: PointBlock,
        chunks: Chunks,
        kept: Tensors,
        key: Mapping[str, Array],
    ) -> Tensors:
        """Say how a model does on the queries."""
        return {"answers": np.ones(1), **self._judged(params, queries, key)}

    def fit(self, state: Mapping[str, Array], chunks: Chunks, kept: Tensors) -> Tensors:
        """Return nothing: surveys are enough."""
        return {}

    @abstractmethod
    def _coded(self, points: PointBlock) -> Array:
        """Return what a linear model is to tell, (n, O)."""

    @abstractmethod
    def _judged(
        self, params: Mapping[str, Array], queries: PointBlock, key: Mapping[str, Array]
    ) -> Tensors:
        """Return each measure of each query, (q,)."""

    # -- all of them ----------------------------------------------------------------------

    def check_survey(self, told: Mapping[str, Array], queries: PointBlock, points: int) -> None:
        """See `Measures.check_survey`."""
        inputs, outputs = queries.x.shape[1], self._coded(queries).shape[1]
        shapes = {name: array.shape for name, array in told.items()}
        if shapes != {"sums": (inputs + 1, inputs + 1 + outputs), "spread": ()}:
            raise ValueError("expected sums, spread")
        if any(array.dtype.kind != "f" for array in told.values()):
            raise ValueError("expected floats")
        count = told["sums"][inputs, inputs]
        if not (np.isfinite(told["sums"]).all() and told["spread"] >= 0 and count == points):
            raise ValueError(f"points: expected {points}")

    def agree(self, told: Sequence[Mapping[str, Array]]) -> Tensors:
        """Return the mean of the targets, and their mean squared distance from it."""
        sums = sum((one["sums"] for one in told[1:]), start=told[0]["sums"])
        spread = sum(float(one["spread"]) for one in told)
        width = len(sums)
        count = max(1.0, float(sums[-1, width - 1]))
        mean = sums[-1, width:] / count
        return {"mean": mean, "variance": np.array(spread / count - float(mean @ mean))}

    def begin_fit(
        self, told: Sequence[Mapping[str, Array]], queries: PointBlock, seed: int
    ) -> Tensors:
        """Return the weights of a linear model, and the mean of the targets."""
        sums = sum((one["sums"] for one in told[1:]), start=told[0]["sums"])
        width = len(sums)
        mean = sums[:-1, width - 1] / max(1.0, float(sums[-1, width - 1]))
        # about the mean, or large offsets eat up the digits
        centred = sums[:-1, : width - 1] - np.outer(mean, sums[-1, : width - 1])
        ridge = RIDGE * max(float(np.trace(centred)) / max(1, width - 1), 1e-12)
        against = sums[:-1, width:] - np.outer(mean, sums[-1, width:])
        weight = np.linalg.solve(centred + ridge * np.eye(width - 1), against).T
        mean_y = self.agree(told)["mean"]
        return {
            "linear/weight": weight.astype(np.float32),
            "linear/bias": (mean_y - weight @ mean).astype(np.float32),
            "usual/bias": mean_y.astype(np.float32),
        }

    def check_fit(self, total: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Accept what there is: nothing."""

    def end_round(self, state: Tensors, total: Mapping[str, Array]) -> Tensors:
        """Return the state: it is fitted already."""
        return state

    def baselines(self, state: Mapping[str, Array], seed: int) -> dict[str, tuple[Tensors, ...]]:
        """Return a linear model, and one that always says the same."""
        linear = {name: state[f"linear/{name}"] for name in ("weight", "bias")}
        usual = {"weight": np.zeros_like(state["linear/weight"]), "bias": state["usual/bias"]}
        return {
            name: ({f"linear/{what}": one[what] for what in one},)
            for name, one in (("linear", linear), (self.usual, usual))
        }

    usual: ClassVar[str]
    """What the baseline is called that always says the same."""

    def initial(self, params: Mapping[str, Array]) -> Tensors | None:
        """Return nothing: a net with random weights tells nothing."""
        return None

    def check_answer(
        self, answer: Mapping[str, Array], told: Mapping[str, Array], points: int
    ) -> None:
        """See `Measures.check_answer`."""
        if set(answer) != {"answers", *self.names} or answer["answers"].shape != (1,):
            raise ValueError(f"expected answers, {', '.join(self.names)}")
        shapes = {answer[name].shape for name in self.names}
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            raise ValueError("expected a number for each query")
        if any(array.dtype.kind != "f" for array in answer.values()) or answer["answers"] != 1:
            raise ValueError("expected floats, and one answer")
        if any((answer[name] > 1).any() for name in self.names):
            raise ValueError("expected shares")

    def conclude(self, total: Mapping[str, Array]) -> Scores:
        """See `Measures.conclude`."""
        answers = max(1.0, float(total["answers"][0]))
        return Scores({name: total[name] / answers for name in self.names}, {})


@dataclass(frozen=True, slots=True)
class ClassMeasures(NetMeasures):
    """Whether the likeliest class is the true one, and how likely that is."""

    names: ClassVar[Mapping[str, str]] = {
        "accuracy": "share of held-out points whose class is told",
        "likelihood": "probability of the true class of a held-out point",
    }
    leading: ClassVar[str] = "accuracy"
    titles: ClassVar[Mapping[str, str]] = {
        "model": "this model",
        "linear": "linear model",
        "majority": "most frequent class",
    }
    usual: ClassVar[str] = "majority"

    def _coded(self, points: PointBlock) -> Array:
        assert points.y is not None, "classes are targets"
        return np.asarray(points.y == np.arange(self.model.classes), np.float32)

    def _judged(
        self, params: Mapping[str, Array], queries: PointBlock, key: Mapping[str, Array]
    ) -> Tensors:
        if "linear/weight" in params:
            shares = np.clip(_linear(params, queries.x), 0.0, 1.0)
        else:
            shares = self.model.probabilities(params, queries.x.copy())
        true = self._coded(queries)
        right = np.take_along_axis(true, shares.argmax(axis=1)[:, None], axis=1)[:, 0]
        likely = np.minimum(np.linalg.vecdot(shares, true), 1.0)
        return {"accuracy": right.astype(np.float64), "likelihood": likely.astype(np.float64)}


@dataclass(frozen=True, slots=True)
class NumberMeasures(NetMeasures):
    """How much of the variance of the targets, of x without any, is explained; below 0: less than by their mean."""

    names: ClassVar[Mapping[str, str]] = {
        "explained": "share of the variance of held-out points' targets that is explained"
    }
    leading: ClassVar[str] = "explained"
    titles: ClassVar[Mapping[str, str]] = {
        "model": "this model",
        "linear": "linear model",
        "mean": "mean of the targets",
    }
    usual: ClassVar[str] = "mean"

    def _coded(self, points: PointBlock) -> Array:
        return points.x if points.y is None else points.y

    def _judged(
        self, params: Mapping[str, Array], queries: PointBlock, key: Mapping[str, Array]
    ) -> Tensors:
        x = queries.x.copy()
        told = _linear(params, x) if "linear/weight" in params else self.model.predict(params, x)
        residual = self._coded(queries) - told.astype(np.float64)
        errors = np.linalg.vecdot(residual, residual)
        return {"explained": 1.0 - errors / max(float(key["variance"]), 1e-30)}


def _linear(params: Mapping[str, Array], x: Floats) -> Floats:
    told: Floats = x @ params["linear/weight"].T
    told += params["linear/bias"]
    return told
