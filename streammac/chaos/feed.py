"""A feed whose points can be told from each other, and what is on the disks of all workers in the end.

`streammac.chaos.testbed` writes the feed before it starts its cluster, and counts when the cluster has ended. The first
coordinate of a point is its number, as a fraction that float32 represents exactly; whatever is missing or there
twice is found, whatever the cluster's own books say.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streammac.chaos.verdict import PointAudit
from streammac.run_directory import RunDirectory
from streammac.store.points import Schema
from streammac.store.shard import Shard

DIM = 16
FACTORS = 4
"""The points lie near a subspace of so many dimensions: there is something to learn."""
NUMBERS = 1 << 24
"""float32 represents n / NUMBERS exactly for all smaller n."""
ROWS = 1 << 16
"""Points that are made or read at a time."""


def write_feed(path: Path, points: int, seed: int) -> None:
    """Write a .npy file of (points, 16) float32 whose rows are numbered.

    Raises
    ------
    ValueError
        If there are more points than numbers.
    """
    if not 0 < points <= NUMBERS:
        raise ValueError(f"points: expected 1 to {NUMBERS}, got {points}")
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(FACTORS, DIM)).astype(np.float32)
    feed = np.lib.format.open_memmap(path, "w+", np.float32, (points, DIM))
    for first in range(0, points, ROWS):
        count = min(ROWS, points - first)
        rows = rng.normal(size=(count, FACTORS)).astype(np.float32) @ mixing
        rows += rng.normal(scale=0.1, size=rows.shape).astype(np.float32)
        rows[:, 0] = np.arange(first, first + count, dtype=np.float32) / NUMBERS
        feed[first : first + count] = rows
    feed.flush()


def stored_numbers(directory: RunDirectory) -> NDArray[np.int64]:
    """Return the numbers of all points in all shards, held-out ones included; no process may be running.

    Points that are not as they were written do not count, whether the cluster had noticed or not.
    """
    schema = Schema(DIM, "float32")
    found = [np.empty(0, np.int64)]
    for folder in (directory.shards, directory.held_out_shards):
        for path in sorted(folder.glob("*")):
            shard = Shard.open(path, schema)
            try:
                shard.scrub(shard.bytes + 1)
                view = shard.view()
                for first in range(0, len(view), ROWS):
                    rows = view.x(slice(first, min(first + ROWS, len(view))))
                    found.append(np.rint(rows[:, 0].astype(np.float64) * NUMBERS).astype(np.int64))
            finally:
                shard.close()
    return np.concatenate(found)


def count(
    numbers: NDArray[np.int64], sent: int = 0, expired: int = 0, damaged: int = 0
) -> PointAudit:
    """Return the audit of points that were sent in the order of their numbers.

    ``sent``, ``expired`` and ``damaged`` are as the cluster's books say. More than is said may have been sent.

    >>> count(np.array([0, 1, 1, 3]))
    PointAudit(source='disks', sent=4, stored=3, missing=1, twice=1, under_way=0, damaged=0)
    """
    different = len(np.unique(numbers))
    sent = max(sent, int(numbers.max()) + 1 if len(numbers) else 0)
    missing = max(0, sent - different - expired)
    twice = len(numbers) - different
    return PointAudit("disks", sent, different, missing, twice, damaged=damaged)
