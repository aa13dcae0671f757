"""In River's pipelines: codes as features, deep nets, anomalies by reconstruction error, beside River's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from river import (
    anomaly,
    compose,
    datasets,
    evaluate,
    linear_model,
    metrics,
    neighbors,
    stream,
    tree,
)
from river.base import AnomalyDetector, Classifier
from river.preprocessing import MinMaxScaler, StandardScaler
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from benchmarks.data import folder
from benchmarks.report import Cell, Report, Spread
from streammac.river import BinaryCodes, DeepNetClassifier, ReconstructionScorer

Stream: TypeAlias = Sequence[tuple[dict[Any, float], Any]]
BITS = 32
SEEDS = 3
SHORT = 600
"""Points of each stream in a short run."""
SHUTTLE = 10_000
UNUSUAL = 0.05
"""Share of points of other kinds, where a stream for anomaly detectors is made of one for classifiers."""
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


def accuracy(model: Classifier, points: Stream) -> tuple[float, float]:
    """Return the share of points whose class was predicted before it was learned, and microseconds per point."""
    begin = time.thread_time()
    found = evaluate.progressive_val_score(points, model, metrics.Accuracy())
    return found.get(), (time.thread_time() - begin) / len(points) * 1e6


def area(model: AnomalyDetector, points: Stream) -> tuple[float, float]:
    """Return the area under the ROC curve of scores before learning, and microseconds per point."""
    scores, begin = [], time.thread_time()
    for x, _ in points:
        scores.append(model.score_one(x))
        model.learn_one(x)
    spent = (time.thread_time() - begin) / len(points) * 1e6
    labels = [y for _, y in points]
    return float(roc_auc_score(labels[WARMING:], scores[WARMING:])), spent


def classifiers(classes: int) -> dict[str, Callable[[], Any]]:
    """Return what is compared: a linear model alone, on codes, on both, and River's models that are not linear."""
    linear = linear_model.LogisticRegression if classes == 2 else linear_model.SoftmaxRegression
    return {
        "linear": lambda: StandardScaler() | linear(),
        "on codes": lambda: StandardScaler() | BinaryCodes(BITS) | linear(),
        "on both": lambda: (
            StandardScaler() | (BinaryCodes(BITS) + compose.FuncTransformer(dict)) | linear()
        ),
        "deep net": lambda: StandardScaler() | DeepNetClassifier(),
        "tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=0),
        "neighbours": lambda: StandardScaler() | neighbors.KNNClassifier(),
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
    streams: dict[str, Stream] = {
        "Bananas": list(datasets.Bananas()),
        "Phishing": list(datasets.Phishing()),
        "ImageSegments": segments,
        "digits": digits(),
        "Elec2": electricity(),
    }
    rows: list[tuple[Cell, ...]] = []
    for name, points in streams.items():
        classes = len({y for _, y in points})
        found = {
            what: accuracy(make(), points[:most]) for what, make in classifiers(classes).items()
        }
        size = len(points[:most]), len(points[0][0])
        times = found["on both"][1], found["deep net"][1]
        rows.append((name, *size, *(share for share, _ in found.values()), *times))
    yield Report(
        f"Codes of {BITS} bits as features: accuracy of predictions before learning",
        {
            "data": "",
            "points": ",d",
            "features": "d",
            **dict.fromkeys(classifiers(2), ".3f"),
            "on both, us per point": ",.0f",
            "deep net, us per point": ",.0f",
        },
        tuple(rows),
        "Linear: logistic or softmax regression on scaled features; on codes of these; on both. A deep net on scaled "
        "features. Beside them River's adaptive Hoeffding tree and its nearest neighbours. All with default settings.",
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
