"""Consensus in virtual time: waiting for all, for all but one, or for a threshold, and push-sum; up to 128 workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from benchmarks.report import Report, Spread
from benchmarks.softmax import SoftmaxTask
from benchmarks.virtual_time import Machine, VirtualTime
from streammac.consensus.graph import Graph, complete, exponential, pushed
from streammac.consensus.member import Member
from streammac.consensus.push_sum import PushSum
from streammac.consensus.rules import Backups, Rule, Threshold
from streammac.models.base import Floats
from streammac.planning.constants import HopCost

STEP_S = 0.01
HOP = HopCost(latency_s=2e-4, byte_s=1e-9)
SLOW = 3.0
"""The slow worker's steps take so many times as long."""
SEEDS = (0, 1, 2)
LOOKS_S = 0.1
Make: TypeAlias = Callable[[str, Floats, Graph], Machine]


def averaging(rule: Rule) -> Make:
    """Return what makes members with a rule."""
    return lambda name, w, graph: Member(name, w, rule, graph)


STRATEGIES: Mapping[str, tuple[Make, Callable[[Sequence[str]], Graph]]] = {
    "wait for all": (averaging(Backups(0)), complete),
    "wait for all but one": (averaging(Backups(1)), complete),
    "threshold, backups up to a quarter": (averaging(Threshold()), complete),
    "threshold of the paper": (averaging(Threshold(1.0)), complete),
    "push-sum": (PushSum, pushed),
    "push-sum, 2 ahead": (partial(PushSum, ahead=2), pushed),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Workers in virtual time.

    Attributes
    ----------
    workers : int
        How many.
    slow : int
        So many of them are slow.
    spread : float
        Of a step's seconds: the standard deviation of their logarithm.
    rate : float
        Length of a step.
    minibatch : int
        Images of a step.
    by_class : bool
        Each shard has a class or a few.
    seed : int
        Of minibatches and seconds.
    """

    workers: int = 4
    slow: int = 0
    spread: float = 0.1
    rate: float = 0.1
    minibatch: int = 32
    by_class: bool = False
    seed: int = 0

    def cluster(
        self, task: SoftmaxTask, make: Make, graph: Callable[[Sequence[str]], Graph]
    ) -> VirtualTime:
        """Return them, at their first steps."""
        names = [f"w{number:03}" for number in range(self.workers)]
        shards = dict(zip(names, task.shards(self.workers, self.by_class), strict=True))
        # the second one: it has two neighbours on the path, which is the worse case
        slow = names[1 : 1 + self.slow]
        chances = {name: np.random.default_rng([self.seed, i]) for i, name in enumerate(names)}

        def work(name: str, iteration: int, w: Floats) -> tuple[Floats, float]:
            chance = chances[name]
            rows = shards[name][chance.integers(0, len(shards[name]), self.minibatch)]
            seconds = STEP_S * (SLOW if name in slow else 1.0) * chance.lognormal(0, self.spread)
            return w - np.float32(self.rate) * task.gradient(w, rows), seconds

        links = graph(names)
        members = {name: make(name, task.start, links) for name in names}
        return VirtualTime(members, work, HOP)


def run(*, short: bool = False) -> Iterator[Report]:
    task = SoftmaxTask()
    seeds = SEEDS[:1] if short else SEEDS
    yield _slow_worker(task, 2.0 if short else 20.0, seeds, by_class=False)
    yield _slow_worker(task, 2.0 if short else 20.0, seeds, by_class=True)
    yield _scaling(task, (1, 4) if short else (1, 2, 4, 8, 16, 32, 64, 128), short)


# -- a slow worker ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Curve:
    times: list[float]
    losses: list[float]
    iterations: int
    neighbours: float

    @classmethod
    def of(cls, task: SoftmaxTask, cluster: VirtualTime, seconds: float) -> _Curve:
        times, losses = [0.0], [task.loss(task.start)]
        while cluster.now < seconds:
            cluster.run(cluster.now + LOOKS_S)
            times.append(cluster.now)
            losses.append(task.loss(cluster.mean()))
        iterations = min(member.iteration for member in cluster.members.values())
        return cls(times, losses, iterations, cluster.averaged / cluster.steps)

    def reached_s(self, loss: float) -> float:
        """Return when it first had a loss, between two looks in proportion; infinite if never."""
        for number in range(1, len(self.losses)):
            before, after = self.losses[number - 1 : number + 1]
            if after <= loss:
                share = (before - loss) / (before - after)
                return self.times[number - 1] + share * LOOKS_S
        return float("inf")


def _slow_worker(task: SoftmaxTask, seconds: float, seeds: Sequence[int], by_class: bool) -> Report:
    curves = {
        (name, slow, seed): _Curve.of(
            task, Setting(slow=slow, by_class=by_class, seed=seed).cluster(task, *how), seconds
        )
        for name, how in STRATEGIES.items()
        for slow in (0, 1)
        for seed in seeds
    }
    all_of = next(iter(STRATEGIES))
    rows = []
    figures: dict[str, float | Spread] = {}
    for name in STRATEGIES:
        faster, final = [], []
        for slow in (1, 0):
            ratios, ends = [], []
            for seed in seeds:
                mine, theirs = curves[name, slow, seed], curves[all_of, slow, seed]
                target = theirs.losses[len(theirs.losses) * 2 // 3]
                ratios.append(theirs.reached_s(target) / mine.reached_s(target))
                ends.append(mine.losses[-1] / curves[all_of, slow, seed].losses[-1])
            faster.append(Spread.of(ratios))
            final.append(Spread.of(ends))
        with_slow = [curves[name, 1, seed] for seed in seeds]
        iterations = Spread.of(curve.iterations for curve in with_slow)
        neighbours = Spread.of(curve.neighbours for curve in with_slow)
        rows.append((name, faster[0], faster[1], final[0], final[1], iterations, neighbours))
        if name.startswith("threshold, backups"):
            kind = "by_class" if by_class else "mixed"
            figures = {
                f"{kind}_faster_slow": faster[0],
                f"{kind}_faster_none": faster[1],
                f"{kind}_final_slow": final[0],
                f"{kind}_final_none": final[1],
            }
    shards = "each shard of two or three classes" if by_class else "mixed shards"
    return Report(
        f"Four workers that are all neighbours, one of a third of the speed; softmax regression, {shards}",
        {
            "": "",
            "to the same loss, times faster than waiting for all": ".2f",
            "none slow": ".2f",
            "loss at the end, over that of waiting for all": ".3f",
            "none slow ": ".3f",
            "iterations, one slow": ",.0f",
            "neighbours averaged with": ".2f",
        },
        tuple(rows),
        f"Of the mean of all copies; {seconds:.0f} s of virtual time, steps of {STEP_S * 1000:.0f} ms (the logarithm's "
        "standard deviation is 0.1), the loss that waiting for all has after two thirds of it. Push-sum sends to "
        "the workers 1 and 2 places on. Three seeds: the middle one, least and largest.",
        figures,
    )


# -- many workers -------------------------------------------------------------------------

TARGET = 0.55
HOPELESS = 3.0
"""It begins at 2.3."""
RATES = (0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125)
RANDOM = 0.5
"""Spread of step times: one of 128 takes about four times as long as the middle one."""


def _iterations(
    task: SoftmaxTask, setting: Setting, how: Make, most: int
) -> tuple[int, float] | None:
    """Return iterations and seconds to the target; None: not within so many."""
    cluster = setting.cluster(task, how, exponential)
    count = 0
    while count < most:
        count += max(2, count // 25)
        cluster.run_iterations(count)
        loss = task.loss(cluster.mean())
        if loss <= TARGET:
            return count, cluster.now
        if loss > HOPELESS:
            break
    return None


def _best(task: SoftmaxTask, workers: int, how: Make, most: int) -> tuple[int, float]:
    """Return the same with the best rate; longer steps are tried first, until shorter ones are no better."""
    best = most, float("nan")
    for rate in RATES:
        setting = Setting(workers, spread=RANDOM, rate=rate, minibatch=1)
        found = _iterations(task, setting, how, best[0])
        if found is None and best[0] < most:
            break
        best = found or best
    return best


def _scaling(task: SoftmaxTask, workers: Sequence[int], short: bool) -> Report:
    rules: Mapping[str, Rule] = {
        "all": Backups(0),
        "threshold": Threshold(),
        "paper's": Threshold(1.0),
    }
    most = dict.fromkeys(rules, 400 if short else 20_000)
    found: dict[tuple[str, int], tuple[int, float]] = {}
    for count in workers:
        for name, rule in rules.items():
            same = count == 1 and ("all", 1) in found  # who is alone waits for nobody
            found[name, count] = (
                found["all", 1] if same else _best(task, count, averaging(rule), most[name])
            )
            most[name] = found[name, count][0] * 3 // 2  # more workers need no more, or nearly
    alone = found["all", 1]
    columns = {"workers": "d"}
    columns |= {f"iterations, {name}": ",.0f" for name in rules}
    columns |= {f"fewer, {name}": ".1f" for name in rules}
    columns |= {f"virtual s, {name}": ".2f" for name in rules}
    rows = []
    for count in workers:
        own = [found[name, count] for name in rules]
        rows.append(
            (
                count,
                *(iterations for iterations, _ in own),
                *(alone[0] / iterations for iterations, _ in own),
                *(seconds for _, seconds in own),
            )
        )
    return Report(
        f"Iterations until the mean of all copies has the loss {TARGET}, minibatches of one image, random step times",
        columns,
        tuple(rows),
        "Neighbours are 1, 2, 4, ... places away. Of seven step lengths the best for each; step times have a logarithm "
        f"with standard deviation {RANDOM}. *fewer*: than one worker alone. Perfect would be as many times as workers.",
        {f"fewer_{name}_{workers[-1]}": alone[0] / found[name, workers[-1]][0] for name in rules},
    )
