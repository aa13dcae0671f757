"""Learning that goes on: data that grows, and data that does not change, by the rules of a cluster in one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import fashion_mnist, siftsmall
from benchmarks.report import Cell, Report
from streammac.coordinator.continuation import Continuation
from streammac.models.alignment import alignment
from streammac.models.arrays import ArrayShard
from streammac.models.base import Array
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.retrieval import precision, precisions, true_neighbours
from streammac.models.serial import w_step
from streammac.publishing.promotion import Difference, standard_error
from streammac.ring.agenda import Agenda
from streammac.ring.epoch import plan_after
from streammac.wire.messages import EpochPlan, RestartContinuation

WORKERS = 3
JURY = 1000
"""Held-out queries that the publisher's verdicts rest on; figures are of others."""
BITS = 32
NEAR, RETRIEVED = 10, 100
PARTS = 3
"""In which the second half of the points comes: each is more than a quarter of what is there."""
CONTINUATIONS = 75
"""Of four epochs: three hundred."""


class Judge:
    """Recall of the true 10 among the first 100 of points, for each of some queries."""

    def __init__(self, queries: Array, database: Array) -> None:
        self._queries = np.asarray(queries, np.float32)
        self._database = np.asarray(database, np.float32)
        self._near = true_neighbours(self._database, self._queries, NEAR)

    def __call__(
        self, model: BinaryAutoencoderModel, params: Mapping[str, Array]
    ) -> NDArray[np.float64]:
        """Return it, (q,)."""
        sets = (self._queries, self._database)
        asked, codes = (model.encode(params, x.copy()) for x in sets)
        return precisions(asked, codes, self._near, RETRIEVED) * (RETRIEVED / NEAR)


class Cluster:
    """The coordinator's rule, the serial trainer and the publisher's verdicts.

    Parameters
    ----------
    bits : int
        Length of the codes.
    x : (n, D) array
        The first points.
    judge : Judge
        What the publisher measures versions on.
    """

    def __init__(self, bits: int, x: Array, judge: Judge) -> None:
        self.model = BinaryAutoencoderModel(bits=bits)
        shape = self.model.coordinate_shape()
        self.shards = {f"w{i}": ArrayShard(x[i::WORKERS], shape) for i in range(WORKERS)}
        self.judge = judge
        self.continuation = Continuation()
        self.plan = EpochPlan(fresh=True)
        self.epoch = 0
        self.params: dict[str, Array] = {}
        self.current: dict[str, Array] = {}
        self.promotions = 0
        self._best: dict[str, Array] = {}

    @property
    def points(self) -> int:
        """How many there are."""
        return sum(len(shard) for shard in self.shards.values())

    def add(self, x: Array) -> None:
        """Store points that have come."""
        for number, shard in enumerate(self.shards.values()):
            first = len(shard)
            shard.extend(x[number::WORKERS])
            enter(self.model, self.params, shard, first)
        self._plan()

    def run(self) -> Iterator[None]:
        """Train until the hash functions rest; yield after each epoch."""
        while self.plan.fresh or not self.model.rests(self.plan.age):
            self._train()
            self._publish()
            self._plan()
            yield
        self._conclude()

    def begin_warm(self) -> None:
        """Order a warm continuation, though nothing is new."""
        order = RestartContinuation(self.plan.restart + 1, fresh=False)
        self.plan = plan_after(self.plan, Agenda(restart=order), self.model, WORKERS)

    def _train(self) -> None:
        plan = self.plan
        before = {} if plan.fresh else self.params
        self.params = w_step(
            self.model, self.shards, before, VisitPlan(), self.epoch, plan.age, plan.groups
        )
        for shard in self.shards.values():
            if plan.fresh:
                enter(self.model, self.params, shard, 0)
            z_pass(self.model, self.params, shard, self.model.mu(plan.age))
        self.epoch += 1

    def _plan(self) -> None:
        self.continuation.grown(self.points, self.points, self.plan)
        order = self.continuation.missed(self.plan)
        if not self._rested or order is not None:
            self.plan = plan_after(self.plan, Agenda(restart=order), self.model, WORKERS)

    @property
    def _rested(self) -> bool:
        return not self.plan.fresh and self.model.rests(self.plan.age)

    def _publish(self) -> None:
        if not self._best or self._gain(self.params, self._best).mean >= 0:
            self._best = self.params
        if not self.current or self._gain(self.params, self.current).is_gain:
            self.current = self.params
            self.promotions += 1

    def _conclude(self) -> None:
        best, self._best = self._best, {}
        chosen = best if best and self._gain(best, self.current).mean >= 0 else self.current
        if chosen is not self.params:
            self.params = chosen
            for shard in self.shards.values():
                enter(self.model, chosen, shard, 0)

    def _gain(self, new: Mapping[str, Array], old: Mapping[str, Array]) -> Difference:
        differences = self.judge(self.model, new) - self.judge(self.model, old)
        return Difference(float(differences.mean()), standard_error(differences), len(differences))


def changed(
    model: BinaryAutoencoderModel, new: Mapping[str, Array], old: Mapping[str, Array], x: Array
) -> float:
    """Return the share of the bits of points' codes that differ, with the bits of the new ones in the best order."""
    was, now = (model.coordinates(params, np.array(x, np.float32)) for params in (old, new))
    order, flips = alignment(now, was)
    return float(
        (model.coordinates(model.renamed(new, order, flips), np.array(x, np.float32)) != was).mean()
    )


def growth(*, short: bool) -> Report:
    """Return what becomes of a model whose points double."""
    task = fashion_mnist()
    x = np.random.default_rng(0).permutation(np.asarray(task.database))
    if short:
        x = x[: len(x) // 10]
        task = replace(task, database=x)
    half, queries = len(x) // 2, np.random.default_rng(1).permutation(task.queries)
    outside = Judge(queries[JURY:], x)
    precise = task.near()

    def quality(params: Mapping[str, Array]) -> tuple[float, float]:
        asked, codes = (
            cluster.model.encode(params, np.array(a, np.float32))
            for a in (task.queries, task.database)
        )
        return float(outside(cluster.model, params).mean()), precision(
            asked, codes, precise, task.retrieved
        )

    def row(name: str, of: Cluster, than: Mapping[str, Array]) -> tuple[Cell, ...]:
        share = changed(of.model, of.current, than, x[:10_000]) if than else None
        return (name, of.epoch, *quality(of.current), of.promotions, share)

    cluster = Cluster(BITS, x[:half], Judge(queries[:JURY], x[:half]))
    recalls: list[float] = []
    rows = []
    for part in range(PARTS + 1):
        before, promotions = cluster.current, 0
        if part:
            cluster.judge = Judge(queries[:JURY], x[: half + part * half // PARTS])
            cluster.add(x[cluster.points : half + part * half // PARTS])
        for _ in cluster.run():
            if cluster.promotions != promotions:
                promotions = cluster.promotions
                recalls.append(float(outside(cluster.model, cluster.current).mean()))
        rows.append(row(f"{cluster.points:,}", cluster, before))
    fit = Cluster(BITS, x, cluster.judge)
    for _ in fit.run():
        pass
    rows.append(row("fresh fit on all", fit, cluster.current))
    lost = max(0.0, *-np.diff(recalls))
    return Report(
        f"Points that double, Fashion-MNIST, {BITS} bits",
        {
            "points": "",
            "epochs": "d",
            "recall": ".4f",
            "precision": ".4f",
            "promotions": "d",
            "bits changed": ".1%",
        },
        tuple(rows),
        f"Of the current version, at the end of each part. Largest loss at a promotion: {lost:.4f}.",
        {"lost": lost},
    )


def stationary(*, short: bool) -> Report:
    """Return what becomes of a model that is trained again and again on the same points."""
    task = siftsmall()
    x = np.random.default_rng(0).permutation(np.asarray(task.database))
    rows = []
    for bits in task.bits[:1] if short else task.bits:
        # the queries that come with the set are too few: half of those that are held out judge, half measure
        outside = Judge(x[JURY : 2 * JURY], x[2 * JURY :])
        cluster = Cluster(bits, x[2 * JURY :], Judge(x[:JURY], x[2 * JURY :]))
        found = []
        for _ in range(2 if short else 1 + CONTINUATIONS):
            for _ in cluster.run():
                pass
            found.append(float(outside(cluster.model, cluster.params).mean()))
            cluster.begin_warm()
        current = float(outside(cluster.model, cluster.current).mean())
        rests = (found[0], max(found), found[-1])
        rows.append((bits, cluster.epoch, *rests, current, cluster.promotions))
    return Report(
        "Recall where points do not change, siftsmall",
        {"bits": "d", "epochs": "d"}
        | dict.fromkeys(("first rest", "best rest", "last rest", "current version"), ".4f")
        | {"promotions": "d"},
        tuple(rows),
        "A short, warm continuation follows the other; verdicts decide what goes on.",
    )


def run(*, short: bool = False) -> Iterator[Report]:
    yield growth(short=short)
    yield stationary(short=short)
