"""Deep nets by auxiliary coordinates on Fashion-MNIST: accuracy after so many passes, beside back-propagation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Labelled, labelled_fashion
from benchmarks.report import Cell, Report
from streammac.models.arrays import ArrayShard
from streammac.models.base import Array
from streammac.models.deep_net import DeepNetModel
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac

LAYERS = (256, 128)
Run: TypeAlias = tuple[list[float], list[float]]
"""Accuracy after each pass, and seconds by then."""
FACTORS: Mapping[str, Any] = {"activation": ("relu", "nmf")}
"""The net with a factorisation of its first hidden layer in place of its second."""
SHOWN = (1, 2, 3, 4, 5, 6)
LONG = 36
LONG_SHOWN = (6, 12, 18, 24, 30, 36)


def trained(
    task: Labelled,
    model: DeepNetModel,
    members: int,
    passes: int,
    order: NDArray[np.int64] | None = None,
) -> Iterator[Mapping[str, Array]]:
    """Yield the parameters after each pass of a ring."""
    rows = np.arange(len(task.x)) if order is None else order
    whole = order is not None
    shares = np.array_split(rows, members) if whole else [rows[i::members] for i in range(members)]
    shards = {
        f"w{i:02}": ArrayShard(task.x[part], model.coordinate_shape(), task.y[part])
        for i, part in enumerate(shares)
    }
    slices = model.slices_for(len(shares[-1]), members)
    steps = islice(parmac(model, shards, VisitPlan(model.seed)), passes * slices + 1)
    for epoch, (params, _) in enumerate(steps):
        if epoch and epoch % slices == 0:
            yield params


def accuracies(
    task: Labelled,
    model: DeepNetModel,
    members: int,
    passes: int,
    order: NDArray[np.int64] | None = None,
) -> Run:
    """Return the accuracy on the test images after each pass of a ring, and seconds of processor time by then."""
    found: list[float] = []
    seconds: list[float] = []
    spent, begin = 0.0, time.thread_time()
    for params in trained(task, model, members, passes, order):
        spent += time.thread_time() - begin
        told = model.predict(params, task.test_x.astype(np.float32))
        found.append(float((told == task.test_y).mean()))
        seconds.append(spent)
        begin = time.thread_time()
    return found, seconds


def net_of(**options: Any) -> DeepNetModel:
    """Return the net of the benchmark with some options."""
    return DeepNetModel(**{"layers": LAYERS, "classes": 10, **options})


def back_propagation(task: Labelled, passes: int, seed: int) -> Run:
    """Return the same of scikit-learn's MLPClassifier: Adam, minibatches of 200."""
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier(LAYERS, random_state=seed)
    x, test = (np.asarray(a, np.float32) / np.float32(255) for a in (task.x, task.test_x))
    found: list[float] = []
    seconds: list[float] = []
    spent, classes = 0.0, np.arange(10)
    for _ in range(passes):
        begin = time.thread_time()
        net.partial_fit(x, task.y, classes=classes)
        spent += time.thread_time() - begin
        found.append(float((net.predict(test) == task.test_y).mean()))
        seconds.append(spent)
    return found, seconds


def logistic_regression(task: Labelled) -> tuple[float, float]:
    """Return accuracy and seconds of multinomial logistic regression, 60 steps of L-BFGS."""
    from sklearn.linear_model import LogisticRegression

    x, test = (np.asarray(a, np.float32) / np.float32(255) for a in (task.x, task.test_x))
    begin = time.thread_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops before it has converged
        linear = LogisticRegression(max_iter=60).fit(x, task.y)
    return float((linear.predict(test) == task.test_y).mean()), time.thread_time() - begin


def run(*, short: bool = False) -> Iterator[Report]:
    task = labelled_fashion()
    if short:
        task = task.first(6000)
    yield _passes(task, 2 if short else SHOWN[-1])
    yield _long(task, 3 if short else LONG)
    yield _sorted(task, 1 if short else 3)


def row(name: str, found: list[float], seconds: list[float]) -> tuple[Cell, ...]:
    return name, *found, seconds[-1] / len(found)


def _passes(task: Labelled, passes: int) -> Report:
    net = net_of()
    stepped = net_of(activation=("step", "relu"))
    ours = accuracies(task, net, 3, passes)
    sixteen = accuracies(task, net, 16, passes)
    steps = accuracies(task, stepped, 3, passes)
    theirs = back_propagation(task, passes, 0)
    linear, seconds = logistic_regression(task)
    return Report(
        f"Accuracy on the test images after so many passes over {len(task.x):,}, 784-256-128-10, softmax",
        {"": ""} | {str(i + 1): ".4f" for i in range(passes)} | {"s a pass": ".1f"},
        (
            row("ring of 3", *ours),
            row("ring of 16", *sixteen),
            row("ring of 3, first layer of step functions", *steps),
            row("MLPClassifier (back-propagation)", *theirs),
            ("logistic regression (60 steps)", *[linear] * passes, seconds),
        ),
        "Seconds of processor time, one thread, members one after the other; of logistic regression for all steps.",
        {"one_pass": ours[0][0], "last": ours[0][-1], "step": max(steps[0]), "linear": linear},
    )


def _long(task: Labelled, passes: int) -> Report:
    found, _ = accuracies(task, net_of(passes=passes), 3, passes)
    shown = [i for i in LONG_SHOWN if i <= passes] or [passes]
    best = max(found)
    return Report(
        f"Accuracy where the steps fall over {passes} passes, ring of 3",
        {str(i): ".4f" for i in shown} | {"best": ".4f", "of pass": "d", "last - best": "+.4f"},
        ((*(found[i - 1] for i in shown), best, found.index(best) + 1, found[-1] - best),),
        figures={"lost": found[-1] - best, "best": best},
    )


def _sorted(task: Labelled, passes: int) -> Report:
    order: Array = np.argsort(task.y, kind="stable")
    rows = []
    for title, options in (
        ("usual steps", {}),
        ("step = 0.3, head_step = 0.05", {"step": 0.3, "head_step": 0.05}),
    ):
        model = net_of(**options)
        found, seconds = accuracies(task, model, 16, passes, order)
        rows.append(row(title, found, seconds))
    return Report(
        f"Accuracy after so many passes where each of 16 shards has one class or two of {len(task.x):,} images",
        {"": ""} | {str(i + 1): ".4f" for i in range(passes)} | {"s a pass": ".1f"},
        tuple(rows),
    )
