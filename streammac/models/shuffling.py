"""ParMAC's two shufflings (ParMAC paper, section 3): across machines and within a machine.

Both are functions of seeds alone, so that the serial reference, the in-process ring and a ring of
processes see the very same order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

RUN = 32
"""Rows that stay together when a shard is shuffled.

A minibatch is many short runs from random places: as good for SGD as single rows, even where the
feed arrives sorted, and a fraction of the memory traffic (and of the page faults, where the shard
is larger than memory).
"""


LEAST_STEPS = 32
"""SGD steps that a visit makes at least, if need be with smaller minibatches: few steps over a small
shard would leave a submodel half trained, and epochs would wander instead of converging."""


AHEAD = 64
"""Minibatches whose rows are made at a time."""


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


@dataclass(frozen=True, slots=True)
class Part:
    """What an epoch works on: one slice of each shard, and of which pass over all of them.

    In a pass every row is in one slice. Which one depends on seed, pass and member alone, and not on how many rows
    there are: so slices stay what they are while a shard grows.

    Attributes
    ----------
    age : int
        Number of the pass, from the beginning of the continuation.
    slice, slices : int
        Which slice it is, and of how many; of one, it is the whole shard.
    """

    age: int = 0
    slice: int = 0
    slices: int = 1

    @property
    def progress(self) -> float:
        """Passes that are over, and the share of this one that is."""
        return self.age + self.slice / max(1, self.slices)

    def following(self, slices: int) -> Part:
        """Return the next one; a new pass is of so many slices.

        >>> Part(3, 0, 2).following(5), Part(3, 1, 2).following(5)
        (Part(age=3, slice=1, slices=2), Part(age=4, slice=0, slices=5))
        """
        if self.slice + 1 < self.slices:
            return replace(self, slice=self.slice + 1)
        return Part(self.age + 1, 0, max(1, slices))

    def rows(self, points: int, seed: int, member: str) -> NDArray[np.int64] | None:
        """Return the rows of a shard of so many points, in increasing order; None: all of them."""
        if self.slices <= 1:
            return None
        # of so many runs as there are slices, one after the other, each slice gets one
        groups = -(-points // (RUN * self.slices))
        rng = np.random.default_rng([seed, self.age, 1, _number(member)])
        taken = rng.random((groups, self.slices)).argsort(axis=1)[:, self.slice % self.slices]
        runs = np.arange(groups) * self.slices + taken
        rows = (runs[:, None] * RUN + np.arange(RUN)).ravel()
        return rows[rows < points]

    def of_block(self, number: int, count: int, members: int) -> Part:
        """Return what one of so many blocks is trained on that are trained alone, each by one of so many members.

        Blocks start at the members in turn, so those of one member have slices of its shard.

        >>> [Part(3).of_block(number, 5, 2).slice for number in range(5)], Part(3).of_block(4, 5, 2)
        ([0, 0, 1, 1, 2], Part(age=3, slice=2, slices=3))
        """
        return Part(self.age, number // members, -(-count // members))


WHOLE = Part()


def ring_order(members: Sequence[str], seed: int, epoch: int) -> tuple[str, ...]:
    """Return the order in which submodels visit the members in one epoch.

    >>> ring_order(["w1", "w2", "w3"], seed=0, epoch=1) == ring_order(["w3", "w2", "w1"], 0, 1)
    True
    """
    names = sorted(members)
    rng = np.random.default_rng([seed, epoch])
    return tuple(names[i] for i in rng.permutation(len(names)))


def _alternating(order: NDArray[np.int64], first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the same runs, those marked ``first`` and the others by turns for as long as there are both."""
    one, other = order[first], order[~first]
    pairs = min(len(one), len(other))
    mixed = np.stack([one[:pairs], other[:pairs]], axis=1).ravel()
    return np.concatenate([mixed, one[pairs:], other[pairs:]])


def steps_of(points: int, minibatch: int, limit: int | None = None) -> int:
    """Return how many minibatches a visit of so many points has, see `minibatch_rows`.

    >>> steps_of(5000, 512), steps_of(50_000, 512), steps_of(50_000, 512, limit=5000), steps_of(0, 512)
    (40, 98, 39, 0)
    """
    count = _count(points, limit)
    return -(-count // _per_batch(count, minibatch))


def _count(points: int, limit: int | None) -> int:
    """Return how many runs of so many points are used."""
    runs = -(-points // RUN)
    return runs if limit is None else min(runs, max(1, limit // RUN))


def _per_batch(count: int, minibatch: int) -> int:
    """Return how many of them a minibatch has."""
    return max(1, min(minibatch // RUN, count // LEAST_STEPS))


def minibatch_rows(
    points: int,
    minibatch: int,
    key: tuple[int, int, int, str],
    *,
    limit: int | None = None,
    recency: float = 0.0,
    newest: int | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each minibatch of one visit, each in increasing order.

    Parameters
    ----------
    points : int
        Points of the shard; rows are counted from the oldest.
    minibatch : int
        Rows per minibatch, at most: a small shard gets smaller ones (`LEAST_STEPS`).
    key : (seed, epoch, lap, member name)
        What the order depends on.
    limit : int, optional
        Use at most about so many points (whole runs), drawn without replacement.
    recency : float
        With a limit: 0 draws all runs alike; otherwise a run's chance falls by a factor e over
        ``1 / recency`` of the shard, counted from the newest point backwards.
    newest : int, optional
        Every second run is of the rows from this one on, as long as there are such: for a visit that may end early.
    """
    seed, epoch, lap, member = key
    rng = np.random.default_rng([seed, epoch, lap, _number(member)])
    runs, count = -(-points // RUN), _count(points, limit)
    if count == runs or recency == 0.0:
        order = rng.permutation(runs)[:count]
    else:
        weight = np.exp(-recency * (runs - 1 - np.arange(runs)) / runs)
        order = rng.choice(runs, size=count, replace=False, p=weight / weight.sum())
    if newest is not None:
        ends = np.minimum(order * RUN + RUN, points)
        order = _alternating(order, ends > newest)
    per_batch = _per_batch(count, minibatch)
    # many minibatches at a time: one by one they would take as long as training on them, where points are short
    within = np.arange(RUN)
    for first in range(0, count, per_batch * AHEAD):
        some = order[first : first + per_batch * AHEAD]
        whole = len(some) // per_batch * per_batch
        for runs_of in (some[:whole].reshape(-1, per_batch), some[whole:][None]):
            starts = np.sort(runs_of, axis=1) * RUN
            # the width is said: numpy infers none where there are no rows
            for rows in (starts[:, :, None] + within).reshape(len(starts), starts.shape[1] * RUN):
                if len(rows):
                    yield rows[rows < points] if rows[-1] >= points else rows
