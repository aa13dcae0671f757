"""Gradients as codewords: eight workers, two of them erased in each iteration, and what is known as messages arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from benchmarks.report import Cell, Report, Spread
from benchmarks.softmax import SoftmaxTask
from streammac.coding.code import Code, cut, encoded, repeated, uncoded, whole
from streammac.coding.decoder import Decoder
from streammac.coding.design import designed
from streammac.models.base import Floats

WORKERS, PARTS, ERASED = 8, 16, 2
MINIBATCH = 256
RATE = 0.2
SEEDS = (0, 1, 2)
SHOWN = (30, 100, 300, 1000)
ORDERS = 100
"""Random orders of arrival."""
ONE, TWO = "one check of four parts", "two checks of three parts"
Rows: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]


def codes() -> dict[str, Code]:
    """Return what is compared, by name."""
    return {
        "uncoded": uncoded(PARTS, WORKERS),
        "each part twice": repeated(PARTS, WORKERS, 2),
        "each part three times": repeated(PARTS, WORKERS, 3),
        ONE: designed(PARTS, WORKERS, checks=1, weight=4, erased=ERASED),
        TWO: designed(PARTS, WORKERS, checks=2, weight=3, erased=ERASED),
    }


def run(*, short: bool = False) -> Iterator[Report]:
    task = SoftmaxTask()
    made = codes()
    yield _erased(task, made, SEEDS[:1] if short else SEEDS, SHOWN[:1] if short else SHOWN)
    yield _arrivals(task, made, 5 if short else ORDERS)


# -- erasures -----------------------------------------------------------------------------

Gradient: TypeAlias = Callable[[Floats, Rows, Sequence[int]], Floats]
"""Of parameters, the images of a minibatch, and who is erased: what is known of the gradient."""


def _coded(task: SoftmaxTask, code: Code) -> Gradient:
    def gradient(w: Floats, rows: Rows, erased: Sequence[int]) -> Floats:
        parts = cut(task.gradient(w, rows), code.parts)
        decoder = Decoder(code.parts)
        for worker in range(WORKERS):
            if worker not in erased:
                for word, value in encoded(code, worker, parts):
                    decoder.add(word, value)
        return whole(decoder.estimate(parts.shape[1]), len(w))

    return gradient


def _split(task: SoftmaxTask) -> Gradient:
    """Each worker has an eighth of the minibatch, and differentiates by all parameters."""

    def gradient(w: Floats, rows: Rows, erased: Sequence[int]) -> Floats:
        shares = np.array_split(rows, WORKERS)
        left = [share for worker, share in enumerate(shares) if worker not in erased]
        return task.gradient(w, np.concatenate(left))

    return gradient


def _losses(task: SoftmaxTask, gradient: Gradient, seed: int, shown: Sequence[int]) -> list[float]:
    minibatches, gone = (np.random.default_rng([seed, kind]) for kind in (0, 1))
    w, found = task.start, []
    for iteration in range(1, shown[-1] + 1):
        rows = minibatches.integers(0, len(task.classes), MINIBATCH)
        erased = gone.choice(WORKERS, ERASED, replace=False).tolist()
        w = w - np.float32(RATE) * gradient(w, rows, erased)
        if iteration in shown:
            found.append(task.loss(w))
    return found


def _erased(
    task: SoftmaxTask, made: Mapping[str, Code], seeds: Sequence[int], shown: Sequence[int]
) -> Report:
    whole_gradient: Gradient = lambda w, rows, erased: task.gradient(w, rows)  # noqa: E731
    base = {seed: _losses(task, whole_gradient, seed, shown) for seed in seeds}
    ways: dict[str, tuple[Gradient, Code | None]] = {
        name: (_coded(task, code), code) for name, code in made.items()
    }
    ways["minibatch split, all parts"] = _split(task), None
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float | Spread] = {}
    for name, (gradient, code) in ways.items():
        found = {seed: _losses(task, gradient, seed, shown) for seed in seeds}
        ratios = [
            Spread.of(found[seed][i] / base[seed][i] for seed in seeds) for i in range(len(shown))
        ]
        about: tuple[Cell, ...] = (1, PARTS / WORKERS, 0.0)
        if code is not None:
            about = code.messages, float(code.load), _lost(code)
        rows.append((name, *about, *ratios))
        figures[name.replace(" ", "_")] = ratios[-1]
    return Report(
        f"Loss after so many iterations over that with nobody erased; {WORKERS} workers, {ERASED} erased in each",
        {"": "", "messages of a worker": "d", "parts computed": ".0f", "parts lost": ".1%"}
        | {f"{count:,}": ".3f" for count in shown},
        tuple(rows),
        f"Softmax regression of Fashion-MNIST, {PARTS} parts, minibatches of {MINIBATCH} that all workers have, steps "
        f"of {RATE}. *Parts lost*: not found by peeling, mean of all pairs of workers. The last line gives each "
        "worker an eighth of the minibatch in place of some of the parts: as much to compute as two parts of all "
        "of it. Three seeds: the middle one, least and largest.",
        figures,
    )


def _lost(code: Code) -> float:
    pairs = [(a, b) for b in range(WORKERS) for a in range(b)]
    return float(np.mean([code.lost(pair) for pair in pairs]))


# -- arrivals -----------------------------------------------------------------------------


def _arrivals(task: SoftmaxTask, made: Mapping[str, Code], orders: int) -> Report:
    chance = np.random.default_rng(0)
    w = task.start
    for _ in range(30):
        rows = chance.integers(0, len(task.classes), MINIBATCH)
        w = w - np.float32(RATE) * task.gradient(w, rows)
    parts = cut(task.gradient(w, rows), PARTS)
    shown = ("uncoded", "each part twice", ONE)
    means = {name: _recovered(made[name], parts, orders) for name in shown}
    most = max(len(mean) for mean in means.values())
    columns = {"arrived": "d"} | {f"{name}, found": ".3f" for name in shown}
    columns |= {f"{name}, projected": ".3f" for name in shown[-1:]}
    lines: list[tuple[Cell, ...]] = []
    for number in range(most):
        own = [mean[min(number, len(mean) - 1)] for mean in means.values()]
        lines.append((number + 1, *(found for found, _ in own), own[-1][1]))
    return Report(
        "Share of the gradient that is known after so many messages of all workers",
        columns,
        tuple(lines),
        f"Of its squared length; mean of {orders} random orders, in which each worker's messages stay in order. "
        "*Found*: by peeling; *projected*: with the least gradient that agrees with the sums that are left. "
        "Uncoded there are 16 messages in all, twice 32, with checks 24.",
    )


def _recovered(code: Code, parts: Floats, orders: int) -> list[tuple[float, float]]:
    """Return the share that is found, and the share with the projection, after each message."""
    chance = np.random.default_rng(1)
    messages = [list(encoded(code, worker, parts)) for worker in range(WORKERS)]
    senders = [worker for worker, own in enumerate(messages) for _ in own]
    total, length = float(np.vdot(parts, parts)), parts.shape[1]
    sums = np.zeros((len(senders), 2))
    for _ in range(orders):
        left = [iter(own) for own in messages]
        decoder = Decoder(code.parts)
        for number, worker in enumerate(chance.permutation(senders)):
            decoder.add(*next(left[worker]))
            found = sum(float(np.vdot(value, value)) for value in decoder.found.values())
            estimate = decoder.estimate(length)
            sums[number] += found / total, float(np.vdot(estimate, estimate)) / total
    return [(float(found), float(projected)) for found, projected in sums / orders]
