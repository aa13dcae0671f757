"""In River's pipelines: codes as features, deep nets, anomalies by reconstruction error, beside River's own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from river import (
    anomaly,
    compose,
    datasets,
    dummy,
    evaluate,
    forest,
    linear_model,
    metrics,
    neighbors,
    stats,
    stream,
    tree,
)
from river.base import AnomalyDetector, Classifier, Regressor
from river.datasets import synth
from river.preprocessing import FeatureHasher, MinMaxScaler, StandardScaler
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from benchmarks.data import folder
from benchmarks.report import Cell, Report, Spread
from streammac.river import BinaryCodes, DeepNetClassifier, DeepNetRegressor, ReconstructionScorer

log = logging.getLogger(__name__)
Stream: TypeAlias = Sequence[tuple[dict[Any, float], Any]]
BITS = 32
SEEDS = 3
SHORT = 600
"""Points of each stream in a short run."""
WORDS = 1024
"""Features that words are hashed to, for all but linear models."""
LAYERS = (64, 32)
"""Hidden units of nets."""
SPARED = {
    "numbers": frozenset[str](),
    "words": frozenset({"neighbours"}),
    "scaled words": frozenset(
        {"on codes", "deep net", "back-propagation", "tree", "forest", "neighbours", "last class"}
    ),
}
"""What is not measured: nearest neighbours of words take long, and the others see no scaled words."""
TIMED = ("linear", "on both", "deep net", "forest")
SHUTTLE = 10_000
UNUSUAL = 0.05
"""Share of points of other kinds, where a stream for anomaly detectors is made of one for classifiers."""
FRIEDMAN = 3000
"""Points of what is drawn from a formula."""
WARMING = 300
"""Scores of so many first points do not count: all detectors begin with a constant."""


def digits() -> Stream:
    """Return handwritten digits, 8 x 8 pixels, in random order."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    return [(dict(enumerate(bunch.data[i].tolist())), int(bunch.target[i])) for i in order]


def electricity() -> Stream:
    """Return Elec2 in the order of time."""
    names = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
    read_as: dict[Hashable, Callable[[Any], Any]] = {
        **dict.fromkeys(names, float),
        "class": _positive,
    }
    path = str(folder() / "elec2" / "elec.csv.gz")
    return list(stream.iter_csv(path, target="class", converters=read_as))


def mails() -> Stream:
    """Return mails as words that are there, in the order of time, and whether they are spam."""
    with np.load(folder() / "spam" / "spam_csr.npz") as file:
        words, ends, spam = file["indices"], file["indptr"], file["labels"]
    each = np.split(words, ends[1:-1])
    return [
        (dict.fromkeys((f"w{word}" for word in mail.tolist()), 1.0), bool(label))
        for mail, label in zip(each, spam, strict=True)
    ]


def _positive(word: str) -> bool:
    return float(word) > 0


def mixed(points: Stream, usual: Sequence[Any]) -> Stream:
    """Return points of the usual classes with some of the others among them, which are the anomalies."""
    rng = np.random.default_rng(0)
    common = iter([x for x, y in points if y in usual])
    rare = iter([x for x, y in points if y not in usual])
    mixture: list[tuple[dict[Any, float], bool]] = []
    while True:
        anomalous = bool(rng.random() < UNUSUAL)
        x = next(rare if anomalous else common, None)
        if x is None:
            return mixture
        mixture.append((x, anomalous))


class BackPropagation(Classifier):
    """Scikit-learn's net, which takes a step with each point: of several, it follows streams that change less well.

    Parameters
    ----------
    columns : sequence
        Names of all features.
    classes : sequence
        All classes.
    """

    def __init__(self, columns: Sequence[Any], classes: Sequence[Any]) -> None:
        self.columns = columns
        self.classes = classes
        self._net = MLPClassifier(LAYERS, random_state=0)

    @property
    def _multiclass(self) -> bool:
        return True

    def _row(self, x: Mapping[Any, float]) -> NDArray[np.float64]:
        return np.array([[x.get(name, 0.0) for name in self.columns]])

    def learn_one(self, x: Mapping[Any, float], y: Any) -> None:
        """Take a step."""
        self._net.partial_fit(self._row(x), [y], classes=self.classes)

    def predict_proba_one(self, x: Mapping[Any, float], **kwargs: Any) -> dict[Any, float]:
        """Return the probability of each class."""
        if not hasattr(self._net, "coefs_"):
            return dict.fromkeys(self.classes, 1 / len(self.classes))
        told = self._net.predict_proba(self._row(x))[0]
        return dict(zip(self._net.classes_.tolist(), told.tolist(), strict=True))


def accuracy(model: Classifier, points: Stream) -> tuple[float, float]:
    """Return the share of points whose class was predicted before it was learned, and microseconds per point."""
    begin = time.thread_time()
    found = evaluate.progressive_val_score(points, model, metrics.Accuracy())
    return found.get(), (time.thread_time() - begin) / len(points) * 1e6


def missed(model: Regressor, points: Stream) -> float:
    """Return by how much numbers are missed on average that were told before they were learned."""
    return float(evaluate.progressive_val_score(points, model, metrics.MAE()).get())


def area(model: AnomalyDetector, points: Stream) -> tuple[float, float]:
    """Return the area under the ROC curve of scores before learning, and microseconds per point."""
    scores, begin = [], time.thread_time()
    for x, _ in points:
        scores.append(model.score_one(x))
        model.learn_one(x)
    spent = (time.thread_time() - begin) / len(points) * 1e6
    labels = [y for _, y in points]
    return float(roc_auc_score(labels[WARMING:], scores[WARMING:])), spent


def classifiers(points: Stream, kind: str = "numbers") -> dict[str, Callable[[], Any]]:
    """Return what is compared: a linear model alone, on codes, on both, and models that are not linear."""
    classes = sorted({y for _, y in points})
    linear = (
        linear_model.LogisticRegression if len(classes) == 2 else linear_model.SoftmaxRegression
    )

    def few() -> Any:
        return StandardScaler() if kind == "numbers" else FeatureHasher(WORDS, seed=0)

    def all_of_it() -> Any:
        return compose.FuncTransformer(dict) if kind == "words" else StandardScaler()

    def trees(model: Any) -> Any:
        return model if kind == "numbers" else few() | model

    columns = sorted(points[0][0]) if kind == "numbers" else range(WORDS)
    return {
        "linear": lambda: all_of_it() | linear(),
        "on codes": lambda: few() | BinaryCodes(BITS) | linear(),
        "on both": lambda: (few() | BinaryCodes(BITS)) + all_of_it() | linear(),
        "deep net": lambda: few() | DeepNetClassifier(LAYERS),
        "back-propagation": lambda: few() | BackPropagation(columns, classes),
        "tree": lambda: trees(tree.HoeffdingAdaptiveTreeClassifier(seed=0)),
        "forest": lambda: trees(forest.ARFClassifier(seed=0)),
        "neighbours": lambda: few() | neighbors.KNNClassifier(),
        "last class": dummy.NoChangeClassifier,
    }


def regressors() -> dict[str, Any]:
    """Return what is compared."""
    return {
        "linear": StandardScaler() | linear_model.LinearRegression(),
        "deep net, no correction": StandardScaler() | DeepNetRegressor(LAYERS, correction=0.0),
        "deep net": StandardScaler() | DeepNetRegressor(LAYERS),
        "deep net, correction = 1": StandardScaler() | DeepNetRegressor(LAYERS, correction=1.0),
        "forest": StandardScaler() | forest.ARFRegressor(seed=0),
        "mean": dummy.StatisticRegressor(stats.Mean()),
    }


def detectors(seed: int) -> dict[str, Any]:
    """Return what is compared."""
    return {
        "half-space trees": MinMaxScaler() | anomaly.HalfSpaceTrees(seed=seed),
        "LODA": MinMaxScaler() | anomaly.LODA(seed=seed),
        "4 bits": StandardScaler() | ReconstructionScorer(4, seed=seed),
        "16 bits": StandardScaler() | ReconstructionScorer(16, seed=seed),
    }


def run(*, short: bool = False) -> Iterator[Report]:
    most = SHORT if short else None
    segments = list(datasets.ImageSegments())
    streams: dict[str, tuple[Stream, str]] = {
        "Bananas": (list(datasets.Bananas()), "numbers"),
        "Phishing": (list(datasets.Phishing()), "numbers"),
        "ImageSegments": (segments, "numbers"),
        "digits": (digits(), "numbers"),
        "Elec2": (electricity(), "numbers"),
        "mails": (mails(), "words"),
        "mails, words scaled": (mails(), "scaled words"),
    }
    rows: list[tuple[Cell, ...]] = []
    for name, (points, kind) in streams.items():
        found: dict[str, tuple[float, float] | tuple[None, None]] = {
            what: accuracy(make(), points[:most]) if what not in SPARED[kind] else (None, None)
            for what, make in classifiers(points, kind).items()
        }
        log.info("%s: %s", name, found)
        size = len(points[:most]), len(set().union(*(x for x, _ in points)))
        times = (found[what][1] for what in TIMED)
        rows.append((name, *size, *(share for share, _ in found.values()), *times))
    yield Report(
        f"Codes of {BITS} bits as features: accuracy of predictions before learning",
        {
            "data": "",
            "points": ",d",
            "features": "d",
            **dict.fromkeys(classifiers(segments), ".3f"),
            **{f"{what}, us per point": ",.0f" for what in TIMED},
        },
        tuple(rows),
        "Linear: logistic or softmax regression on scaled features; on codes of these; on both. A deep net on "
        "scaled features, and one of as many units by back-propagation, a step with each point. River's "
        "adaptive Hoeffding tree, adaptive random forest and nearest neighbours; last class: that of the "
        f"point before. Defaults everywhere. Words of mails are hashed to {WORDS} features; the linear model, "
        "and what it sees beside codes, has all, 1 where they are there, or scaled.",
    )
    kinds = sorted({y for _, y in segments})[:3]
    mixtures: dict[str, Stream] = {
        "Shuttle": list(datasets.Shuttle().take(SHUTTLE)),
        "ImageSegments, 3 of 7 kinds": mixed(segments, kinds),
        "digits, 0 to 4": mixed(digits(), range(5)),
    }
    lines: list[tuple[Cell, ...]] = []
    for name, points in mixtures.items():
        areas: dict[str, list[float]] = {}
        spent = {}
        for seed in range(1 if short else SEEDS):
            for what, model in detectors(seed).items():
                one, spent[what] = area(model, points[:most])
                areas.setdefault(what, []).append(one)
        size = len(points[:most]), len(points[0][0])
        spreads = (Spread.mean(values) for values in areas.values())
        lines.append((name, *size, *spreads, spent["LODA"], spent["4 bits"]))
    yield Report(
        "Anomalies: area under the ROC curve of scores before learning",
        {
            "data": "",
            "points": ",d",
            "features": "d",
            **dict.fromkeys(detectors(0), ".3f"),
            "LODA, us per point": ",.0f",
            "4 bits, us per point": ",.0f",
        },
        tuple(lines),
        f"Mean, least and largest of {SEEDS} seeds; the first {WARMING} points do not count. Of classes, {UNUSUAL:.0%} "
        "of the points are of the kinds that are unusual. River's detectors on features scaled to 0 to 1.",
    )
    yield _numbers(most)


def _numbers(most: int | None) -> Report:
    changing = synth.FriedmanDrift("gra", (FRIEDMAN // 3, 2 * FRIEDMAN // 3), seed=1)
    streams: dict[str, Stream] = {
        "TrumpApproval": list(datasets.TrumpApproval()),
        "ChickWeights": list(datasets.ChickWeights()),
        "Friedman": list(synth.Friedman(seed=1).take(FRIEDMAN)),
        "Friedman, changing": list(changing.take(FRIEDMAN)),
    }
    rows: list[tuple[Cell, ...]] = []
    for name, points in streams.items():
        found = {what: missed(model, points[:most]) for what, model in regressors().items()}
        log.info("%s: %s", name, found)
        rows.append((name, len(points[:most]), len(points[0][0]), *found.values()))
    return Report(
        "Numbers: mean absolute error of predictions before learning",
        {"data": "", "points": ",d", "features": "d", **dict.fromkeys(regressors(), ".2f")},
        tuple(rows),
        "On scaled features; River's linear regression and adaptive random forest, and the mean so far. The first two "
        "are in the order of time, the others drawn at random; of the last one the formula changes twice.",
    )
