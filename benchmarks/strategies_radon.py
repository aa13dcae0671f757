"""Radon machine: accuracy beside the learner on all points and the mean of the same hypotheses, and time by workers."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from river import datasets
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC

from benchmarks.data import folder
from benchmarks.report import Cell, Report, Spread
from benchmarks.river import electricity
from streammac.models.arrays import ArrayShard
from streammac.models.hypotheses import Rows, deal, vector_of, with_vector
from streammac.models.linear_model import LinearModel
from streammac.models.local import VisitPlan
from streammac.models.radon import iterated_radon_point, radon_number
from streammac.models.radon_machine import RadonMachine
from streammac.models.radon_training import LEAST_POINTS
from streammac.models.serial import parmac
from streammac.models.strategies import trained_by

Points: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]

SPLITS = 10
HASHED = 20
"""Features that the words of a mail are hashed to."""
WRONG = 8
"""One worker of so many has flipped labels, or tells parameters that mean nothing."""
WILD = 100.0
"""Such parameters are so many times as long as others."""
WORKERS = (1, 2, 4, 8, 16, 64)
SHARDS = 8
SHORT = 3000
"""Points of each set in a short run."""
HARD = 12_000
"""Points that a learner gets whose time grows with more than their number."""


class LinearSVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Scikit-learn's exact support vector machine with a linear kernel, told of by its weights."""

    def fit(self, X: NDArray[np.float64], y: NDArray[np.int64]) -> LinearSVM:
        """Learn from an (n, D) matrix and (n,) classes of two."""
        fitted = SVC(kernel="linear").fit(X, y)
        self.classes_ = fitted.classes_
        self.coef_, self.intercept_ = fitted.coef_, fitted.intercept_
        return self

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the class of each point."""
        scores = X @ self.coef_[0] + self.intercept_[0]
        found: NDArray[np.int64] = self.classes_[(scores > 0).astype(int)]
        return found


def points(stream: Iterable[tuple[Mapping[Any, float], Hashable]]) -> Points:
    """Return a stream as a matrix and classes, 0 and 1."""
    rows = [(list(x.values()), y) for x, y in stream]
    labels = np.array([y for _, y in rows])
    return np.array([x for x, _ in rows], float), np.unique(labels, return_inverse=True)[1]


def cubic(data: Points) -> Points:
    """Return points with all products of up to three of their features."""
    x, y = data
    return PolynomialFeatures(3, include_bias=False).fit_transform(x), y


def spam() -> Points:
    """Return mails, with the words that are in them hashed to few features."""
    with np.load(folder() / "spam" / "spam_csr.npz") as file:
        words = sparse.csr_matrix(
            (file["data"], file["indices"], file["indptr"]), shape=tuple(file["shape"])
        )
        labels = file["labels"]
    rng = np.random.default_rng(0)
    count = words.shape[1]
    place = rng.integers(0, HASHED, count), rng.choice([-1.0, 1.0], count)
    table = sparse.csr_matrix((place[1], (np.arange(count), place[0])), shape=(count, HASHED))
    return (words @ table).toarray(), np.unique(labels, return_inverse=True)[1]


def sets() -> dict[str, Points]:
    return {
        "Bananas, cubic": cubic(points(datasets.Bananas())),
        "Phishing": points(datasets.Phishing()),
        "spam, hashed": spam(),
        "Elec2": points(electricity()),
        "Shuttle": points(datasets.Shuttle()),
    }


@dataclass(frozen=True, slots=True)
class Split:
    """Points to learn from and to test on, scaled by those to learn from."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    test_x: NDArray[np.float64]
    test_y: NDArray[np.int64]

    @classmethod
    def of(cls, data: Points, seed: int) -> Split:
        """Return two thirds and one."""
        x, y = data
        order = np.random.default_rng(seed).permutation(len(x))
        own, other = np.split(order, [2 * len(x) // 3])
        scaler = StandardScaler().fit(x[own])
        return cls(scaler.transform(x[own]), y[own], scaler.transform(x[other]), y[other])

    def accuracy(self, learner: Any) -> float:
        """Return that of a fitted one, on what was held out."""
        return float(learner.score(self.test_x, self.test_y))


def accuracies(split: Split, seed: int) -> tuple[int, int, list[float]]:
    """Return rounds, parts, and the accuracy of the learner, and of Radon machine and mean, by what is wrong."""
    learner = LogisticRegression()
    machine = RadonMachine(learner, random_state=seed).fit(split.x, split.y)
    if not machine.height_:
        machine = RadonMachine(learner, 1, random_state=seed).fit(split.x, split.y)
    height, count = machine.height_, len(machine.hypotheses_)
    rng = np.random.default_rng(seed)
    parts = deal(split.y, count, rng)
    his, flipped = -(-count // WRONG), split.y.copy()
    for part in parts[:his]:
        flipped[part] = 1 - flipped[part]
    wild = machine.hypotheses_.copy()
    wild[:his] = WILD * rng.normal(size=wild[:his].shape) * np.abs(wild).mean()
    found = [split.accuracy(clone(learner).fit(split.x, split.y))]
    for vectors in (machine.hypotheses_, hypotheses(learner, split.x, flipped, parts), wild):
        for middle in (iterated_radon_point(vectors, height), vectors.mean(axis=0)):
            found.append(split.accuracy(with_vector(machine.estimator_, middle)))
    return height, count, found


def hypotheses(
    learner: Any, x: NDArray[np.float64], y: NDArray[np.int64], parts: Iterable[Rows]
) -> NDArray[np.float64]:
    """Return the parameters that are learnt from each part."""
    return np.array([vector_of(clone(learner).fit(x[part], y[part])) for part in parts])


def run(*, short: bool = False) -> Iterator[Report]:
    every = sets()
    if short:
        rng = np.random.default_rng(0)
        for name, (x, y) in every.items():
            some = rng.permutation(len(x))[:SHORT]
            every[name] = x[some], y[some]
    yield _accuracy(every, 1 if short else SPLITS)
    yield _seconds(every["Elec2"], SHORT if short else HARD)
    yield _epochs(every)


def _accuracy(every: Mapping[str, Points], splits: int) -> Report:
    rows: list[tuple[Cell, ...]] = []
    means = []
    for name, (x, y) in every.items():
        scores = []
        for seed in range(splits):
            height, count, found = accuracies(Split.of((x, y), seed), seed)
            scores.append(found)
        columns = np.array(scores).T
        rows.append(
            (
                name,
                len(x),
                x.shape[1],
                f"{round(count ** (1 / height))}^{height}",
                *(Spread.mean(column) for column in columns),
            )
        )
        means.append(100 * columns.mean(axis=1))
    whole, radon, mean, radon_flipped, mean_flipped, radon_wild, mean_wild = np.array(means).T
    return Report(
        "Logistic regression: accuracy on a third of the points, that is held out",
        {
            "data": "",
            "points": ",d",
            "features": "d",
            "parts": "",
            "on all points": ".4f",
            "Radon machine": ".4f",
            "mean": ".4f",
            "Radon, flipped": ".4f",
            "mean, flipped": ".4f",
            "Radon, wild": ".4f",
            "mean, wild": ".4f",
        },
        tuple(rows),
        f"Mean, least and largest of {splits} splits. Parts: r^height, as chosen, but one round. Mean: of the same "
        f"hypotheses. Flipped: the labels of one worker's parts are wrong, one part in {WRONG}. Wild: that worker "
        f"tells parameters at random, {WILD:.0f} times as long as others.",
        {
            "behind": float((whole - radon).max()),
            "behind_mean": float((mean - radon).max()),
            "lost": float((radon - radon_flipped).max()),
            "lost_mean": float((mean - mean_flipped).max()),
            "lost_wild": float((radon - radon_wild).max()),
            "lost_mean_wild": float((mean - mean_wild).max()),
        },
    )


def _seconds(data: Points, hard: int) -> Report:
    rows: list[tuple[Cell, ...]] = []
    split = Split.of(data, 0)
    some = Split(split.x[:hard], split.y[:hard], split.test_x, split.test_y)
    for name, learner, its in (
        ("logistic regression", LogisticRegression(), split),
        ("exact linear SVM", LinearSVM(), some),
    ):
        begin = time.thread_time()
        whole = clone(learner).fit(its.x, its.y)
        alone = time.thread_time() - begin
        for height in (1, 2):
            machine = RadonMachine(learner, height).fit(its.x, its.y)
            parts = deal(its.y, len(machine.hypotheses_), np.random.default_rng(0))
            spent = np.array([_spent(learner, its, part) for part in parts])
            begin = time.thread_time()
            iterated_radon_point(machine.hypotheses_, height)
            together = time.thread_time() - begin
            seconds = [
                float(max(share.sum() for share in np.array_split(spent, workers))) + together
                for workers in WORKERS
            ]
            rows.append(
                (
                    name,
                    len(its.x),
                    alone,
                    len(parts),
                    *seconds,
                    its.accuracy(whole),
                    its.accuracy(machine),
                )
            )
    return Report(
        "Elec2: seconds of processor time, by workers",
        {
            "learner": "",
            "points": ",d",
            "on all points": ".2f",
            "parts": "d",
            **{str(workers): ".3f" for workers in WORKERS},
            "accuracy on all": ".4f",
            "Radon": ".4f",
        },
        tuple(rows),
        "Each part is trained alone and timed, on one core; with so many workers the one with the longest share "
        "counts, and the Radon points. What is sent is not in it: a few numbers for each part.",
    )


def _epochs(every: Mapping[str, Points]) -> Report:
    rows: list[tuple[Cell, ...]] = []
    model = LinearModel(classes=2)
    for name, data in every.items():
        split = Split.of(data, 0)
        tests = split.test_x.astype(np.float32)
        if len(split.x) < LEAST_POINTS * radon_number(2 * split.x.shape[1] + 2):
            continue
        for strategy in ("ring", "radon"):
            trained = trained_by(strategy, model)
            shards = {
                f"w{i}": ArrayShard(
                    split.x[i::SHARDS].astype(np.float32),
                    model.coordinate_shape(),
                    split.y[i::SHARDS, None],
                )
                for i in range(SHARDS)
            }
            epochs = islice(parmac(trained, shards, VisitPlan()), 1, 1 + model.passes)
            told = [model.predict(params, tests.copy()) for params, _ in epochs]
            rows.append((name, strategy, *(float((one == split.test_y).mean()) for one in told)))
    return Report(
        f"`linear` in a cluster of {SHARDS} workers: accuracy after so many epochs, by strategy",
        {"data": "", "strategy": "", **{str(i + 1): ".4f" for i in range(model.passes)}},
        tuple(rows),
        "The serial reference, which is what processes come to, bit for bit; one split, height 1.",
    )


def _spent(learner: Any, split: Split, part: Rows) -> float:
    x, y, one = split.x[part], split.y[part], clone(learner)
    begin = time.thread_time()
    one.fit(x, y)
    return time.thread_time() - begin
