"""Validated points to batches, whose names (batch ids) say which records of which feed or push they are.

Called by the node's I/O loop. The same records cut again, after the node or a client was killed, make the same
batches under the same batch ids: that is how a shard knows them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.records import rows_together
from streammac.delivery.batch import Batch, Ticket
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock

FEW = 20_000
"""The first so many of a feed or client are to do for measuring the first models, and are few."""
MORE = 2.5
"""So many times the share is held out of them, half of them at most."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where points come from, as far as it names and shapes their batches.

    Attributes
    ----------
    first : BatchId
        The batch that begins with the first of them.
    batch_points : int
        Most points of a batch.
    share : float
        Share of the points that are held out, once there are more than `FEW`.
    before : int
        How many records have come before from there, about; the same whenever these are cut again.
    durable : bool
        Whoever sent them has them again after the node was killed.
    """

    first: BatchId
    batch_points: int
    share: float
    before: int
    durable: bool


def cut(points: PointBlock, origin: Origin, ticket: Ticket) -> Iterator[Batch]:
    """Yield the batches of points; held-out ones travel apart.

    Parameters
    ----------
    points : PointBlock
        ``x`` (n, D) and the rest, n records in order (those that were refused left out).
    origin : Origin
        Where they come from.
    ticket : Ticket
        Theirs.
    """
    held_out = _held_out(len(points), origin)
    together = rows_together(points, origin.batch_points)
    for first in range(0, len(points), together):
        rows = slice(first, first + together)
        mask = held_out[rows]
        part = points.take(rows)
        if mask.any():
            yield _batch(part.take(mask), origin, first, ticket, held_out=True)
            part = part.take(~mask)
        if len(part):
            yield _batch(part, origin, first, ticket, held_out=False)


def _held_out(count: int, origin: Origin) -> NDArray[np.bool_]:
    if origin.share == 0:
        return np.zeros(count, bool)
    # of the origin alone: were it of a setting, too, batches could be cut otherwise after a restart
    name = f"{origin.first.source}/{origin.first.incarnation}/{origin.first.record}".encode()
    digest = hashlib.blake2b(name, digest_size=16).digest()
    early = origin.before + np.arange(count) < FEW
    share = np.where(early, min(0.5, MORE * origin.share), origin.share)
    # an array as a seed takes a third of the time of a list of the same numbers
    seed = np.frombuffer(digest, np.uint8).astype(np.uint32)
    return np.random.default_rng(seed).random(count) < share


def _batch(
    points: PointBlock, origin: Origin, row: int, ticket: Ticket, *, held_out: bool
) -> Batch:
    batch_id = origin.first.later(row, held_out=held_out)
    return Batch.of(batch_id, points, ticket, held_out=held_out, durable=origin.durable)
