"""What one machine does with its own shard: the minibatches of a visit, the Z step, the entry of new points.

The serial reference, the in-process ring and the worker process all call these functions,
which is why they agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import (
    Array,
    Batch,
    Floats,
    LocalData,
    NestedModel,
    Objective,
)
from streammac.models.shuffling import RUN, WHOLE, Part, minibatch_rows
from streammac.points.block import PointBlock

CHUNK = 1024
"""Points per call of a forward pass or Z step: small enough for the cache, large enough for BLAS."""


@dataclass(frozen=True, slots=True)
class VisitPlan:
    """How a visit samples its shard.

    Attributes
    ----------
    seed : int
        Seed of the whole run.
    minibatch : int
        Points per SGD step.
    budget : int or None
        At most so many points per visit (None: all).
    recency : float
        Preference for recent points under a budget, see `minibatch_rows`.
    part : Part
        The slice that the epoch works on.
    iterations : int
        Steps that an epoch has of what members train in step with each other.
    """

    seed: int = 0
    minibatch: int = 512
    budget: int | None = None
    recency: float = 0.0
    part: Part = WHOLE
    iterations: int = 0


def _smaller(a: int | None, b: int | None) -> int | None:
    return min((v for v in (a, b) if v is not None), default=None)


@dataclass(frozen=True, slots=True)
class VisitKey:
    """Which visit it is; with the seed, all that the order of its points depends on.

    The block that visits is not among it, and the lap only while a model is being made: so what a bit learns does not
    depend on those beside it, and what is found out about points at one visit serves the others.

    Attributes
    ----------
    epoch, lap : int
        When it is.
    member : str
        Whose shard a block is trained on.
    newest : int or None
        Rows from this one on come by turns with the others, see `minibatch_rows`.
    """

    epoch: int
    lap: int
    member: str
    newest: int | None = None


def minibatches(
    data: LocalData,
    plan: VisitPlan,
    key: VisitKey,
    *,
    sample: int | None = None,
    fresh: bool = False,
    expired: Callable[[], bool] = lambda: False,
    memo: dict[Any, Any] | None = None,
) -> Iterator[Batch]:
    """Yield what one visit trains a block on (W step), for `NestedModel.visit`.

    ``sample`` is the most points that the block wants to see (None: all). ``fresh`` says that the epoch makes
    a new model: there are no coordinates yet then. ``expired`` ends a time-boxed visit early. ``memo`` is that of this
    epoch and shard (`Batch`).
    """
    order = (plan.seed, key.epoch, key.lap if fresh else 0, key.member)
    limit = _smaller(sample, plan.budget)
    scratch = np.empty((plan.minibatch + RUN, data.dim), np.float32)
    memo = {} if memo is None else memo
    own = plan.part.rows(len(data), plan.seed, key.member)
    count, newest = (len(data), key.newest) if own is None else (len(own), None)
    every = minibatch_rows(
        count, plan.minibatch, order, limit=limit, recency=plan.recency, newest=newest
    )
    if own is not None:
        every = (own[rows] for rows in every)
    # blocks and laps meet the same rows of a part: to make them takes a good part of a visit of a narrow block
    known = memo.setdefault(("rows", order, limit, plan.part), tee(every, 1)[0])
    for rows in copy(known):
        yield Batch(data, rows, fresh, scratch, memo)
        if expired():
            return


def endless(
    data: LocalData, plan: VisitPlan, key: VisitKey, memo: dict[Any, Any] | None = None
) -> Iterator[Batch]:
    """Yield the minibatches of a visit one after the other, and then again; none where its part has no points."""
    memo = {} if memo is None else memo
    some = True
    while some:
        some = False
        for batch in minibatches(data, plan, key, memo=memo):
            some = True
            yield batch


def enter(
    model: NestedModel,
    params: Mapping[str, Array],
    data: LocalData,
    first: int,
    observe: Callable[[slice, Mapping[str, Floats]], None] | None = None,
    *,
    stop: int | None = None,
) -> None:
    """Give the points from row ``first`` on, as far as row ``stop``, their coordinates z = h(x).

    ``observe`` is called with positions of the new points, in order of arrival, and their `NestedModel.outcomes`.
    """
    scratch = np.empty((min(CHUNK, len(data)), data.dim), np.float32)
    stop = len(data) if stop is None else stop
    for lo in range(first, stop, CHUNK):
        rows = slice(lo, min(lo + CHUNK, stop))
        x = data.x(rows, scratch)
        if observe is not None:
            observe(rows, model.outcomes(params, PointBlock(x.copy(), data.y(rows))))
        data.set_z(rows, model.coordinates(params, x))


def z_pass(
    model: NestedModel,
    params: Mapping[str, Array],
    data: LocalData,
    mu: float,
    *,
    first: int = 0,
    rows: NDArray[np.int64] | None = None,
    expired: Callable[[], bool] = lambda: False,
) -> Objective:
    """Improve the coordinates of the points of a shard (Z step); return the summed objective.

    Of ``rows``, in increasing order, or of all: from row ``first`` to the end and then from the start, so that a
    time-boxed pass (``expired``) can go on where the former one stopped.
    """
    total = Objective()
    scratch = np.empty((min(CHUNK, len(data)), data.dim), np.float32)
    for part in _around(len(data), first) if rows is None else _cut(rows):
        points = PointBlock(data.x(part, scratch), data.y(part))
        z, objective = model.z_step(params, points, data.z(part), mu)
        data.set_z(part, z)
        total += objective
        if expired():
            break
    return total


def _around(count: int, first: int) -> Iterator[slice]:
    """Yield pieces of so many rows, once round from one of them."""
    for lo in (*range(first, count, CHUNK), *range(0, first, CHUNK)):
        yield slice(lo, min(lo + CHUNK, first if lo < first else count))


def _cut(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for lo in range(0, len(rows), CHUNK):
        yield rows[lo : lo + CHUNK]
