"""Stochastic Block-ADMM and DeepFacto on Fashion-MNIST: multipliers and factorisations beside the penalty.

The same nets, passes and rings as in `benchmarks.deep`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.data import Labelled, labelled_fashion
from benchmarks.deep import FACTORS, LAYERS, Run, accuracies, back_propagation, net_of, row, trained
from benchmarks.report import Cell, Report, Spread
from streammac.models.base import Array

PASSES = 6
SEEDS = 3
FEWER = 20_000
"""Images, where something is done several times."""
BACK = "MLPClassifier (back-propagation)"
CONTENDERS: Mapping[str, Mapping[str, Any]] = {
    "penalty": {},
    "half of the penalty": {"mu_start": 0.015, "mu_cap": 0.05},
    "multipliers": {"multipliers": True},
    "multipliers, stages of two layers": {"multipliers": True, "stage_layers": 2},
}
SHORT_STEPS: Mapping[str, Any] = {"step": 0.3, "head_step": 0.05}
SORTED: Mapping[str, Mapping[str, Any]] = {
    "usual steps": {},
    "usual steps, multipliers": {"multipliers": True},
    "usual steps, tanh": {"activation": "tanh"},
    "step = 0.3, head_step = 0.05": SHORT_STEPS,
    "step = 0.3, head_step = 0.05, multipliers": {**SHORT_STEPS, "multipliers": True},
}


def run(*, short: bool = False) -> Iterator[Report]:
    task = labelled_fashion()
    if short:
        task = task.first(6000)
    passes = 2 if short else PASSES
    ours = {name: accuracies(task, net_of(**o), 3, passes) for name, o in CONTENDERS.items()}
    yield _passes(task, {**ours, BACK: back_propagation(task, passes, 0)})
    yield _factors(task, passes, ours["penalty"])
    fewer = task.first(FEWER)
    yield _seeds(fewer, 1 if short else 3)
    yield _sorted(fewer, 1 if short else 2)


def _passes(task: Labelled, runs: Mapping[str, Run]) -> Report:
    passes = len(runs[BACK][0])
    found = {name: found for name, (found, _) in runs.items()}
    return Report(
        f"Accuracy on the test images after so many passes over {len(task.x):,}, 784-256-128-10, ring of 3",
        {"": ""} | {str(i + 1): ".4f" for i in range(passes)} | {"s a pass": ".1f"},
        tuple(row(name, *one) for name, one in runs.items()),
        "Seconds of processor time, one thread, members one after the other. Steps are the same everywhere.",
        {
            f"{name}_{number}": found[name][place]
            for name in ("penalty", "multipliers")
            for number, place in (("one_pass", 0), ("last", -1))
        },
    )


def _factors(task: Labelled, passes: int, without: Run) -> Report:
    """Return what a factorisation in place of the second layer comes to, and how much of it is 0."""
    rows: list[tuple[Cell, ...]] = [("without", without[0][0], without[0][-1], None, None, None)]
    for name, options in (
        ("with", FACTORS),
        ("with, multipliers", {**FACTORS, "multipliers": True}),
    ):
        net, test = net_of(**options), task.test_x.astype(np.float32)
        runs = list(trained(task, net, 3, passes))
        found = [float((net.predict(one, test.copy()) == task.test_y).mean()) for one in runs]
        parts = net.export(runs[-1])["layer2.factors"]
        codes = net.features(runs[-1], test)
        zeros = float((parts == 0).mean()), float((codes == 0).mean())
        least = min(float(parts.min()), float(codes.min()))
        rows.append((name, found[0], found[-1], *zeros, least))
    units, parts_of = LAYERS
    return Report(
        f"A factorisation of {units} units into {parts_of} parts in place of the second layer, ring of 3",
        {"": "", "1": ".4f", str(passes): ".4f", "0 in F": ".0%", "0 in S": ".0%", "least": ".1f"},
        tuple(rows),
        "S are the codes of the test images, found without coordinates; least: of all numbers in F and S.",
    )


def _seeds(task: Labelled, passes: int) -> Report:
    """Return what several seeds of everything random come to."""
    rows: list[tuple[Cell, ...]] = []
    for name, options in CONTENDERS.items():
        nets = [net_of(seed=seed, **options) for seed in range(SEEDS)]
        runs = [accuracies(task, net, 3, passes)[0] for net in nets]
        rows.append((name, *(Spread.mean(found[i] for found in runs) for i in (0, -1))))
    runs = [back_propagation(task, passes, seed)[0] for seed in range(SEEDS)]
    rows.append((BACK, *(Spread.mean(found[i] for found in runs) for i in (0, -1))))
    return Report(
        f"The same over {len(task.x):,} images, {SEEDS} seeds",
        {"": "", "1": ".4f", str(passes): ".4f"},
        tuple(rows),
        "Mean, least and largest.",
    )


def _sorted(task: Labelled, passes: int) -> Report:
    order: Array = np.argsort(task.y, kind="stable")
    found = {
        name: accuracies(task, net_of(**options), 16, passes, order)
        for name, options in SORTED.items()
    }
    return Report(
        f"Accuracy after so many passes where each of 16 shards has one class or two of {len(task.x):,} images",
        {"": ""} | {str(i + 1): ".4f" for i in range(passes)} | {"s a pass": ".1f"},
        tuple(row(name, *one) for name, one in found.items()),
    )
