"""What a shard finds in its directory when it opens: good segments in order, and what is damaged.

Called once by `Shard.open`, before anything is read or written. What is damaged is copied to ``quarantine/``, and what
is whole beside it stays in use.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from streammac.files.disk import COPY_BYTES, Disk
from streammac.files.replace import SCRATCH
from streammac.store.directory import Checkpoint, ShardDirectory
from streammac.store.journal import Opening
from streammac.store.points import Schema
from streammac.store.segment import Segment
from streammac.store.stock import Stock
from streammac.store.withdrawals import Rows

log = logging.getLogger(__name__)

NUMBER = "[0-9]" * 8
QUARANTINE = "quarantine"
WITHDRAWALS_DAMAGED = "withdrawn: points that went to other shards may be back"


@dataclass(slots=True)
class Survey:
    """What there is, before anything is changed.

    Attributes
    ----------
    found : list of (Segment, Stock)
        Segments of this shard, oldest first.
    expired, foreign : list of Segment
        Segments that retention dropped just before a crash; and those that are another shard's.
    missing : int
        Points of segments that are missing before the first.
    withdrawn : dict
        By segment, batches that are there and were withdrawn.
    """

    found: list[tuple[Segment, Stock]] = field(default_factory=list)
    expired: list[Segment] = field(default_factory=list)
    foreign: list[Segment] = field(default_factory=list)
    missing: int = 0
    withdrawn: dict[int, Rows] = field(default_factory=dict)

    @property
    def damage(self) -> list[str]:
        """What is damaged that was not known to be, in words."""
        texts = [f"{s.stem.name}: is not of this shard, or has no journal" for s in self.foreign]
        if self.missing:
            texts.append(f"the first segments are missing: {self.missing} points")
        return texts + [damaged(segment) for segment, stock in self.found if stock.news]


def survey(
    disk: Disk,
    path: Path,
    schema: Schema,
    checkpoint: Checkpoint,
    identity: str,
    withdrawn: Mapping[int, Rows],
    *,
    verify: bool = False,
) -> Survey:
    """Take stock of the segments in a shard's directory; with ``verify`` of all their rows."""
    result = Survey()
    opened: list[tuple[Segment, Stock]] = []
    for number in _numbers(path):
        segment = Segment(disk, path / f"{number:08d}", schema, 0, Opening(identity, 0))
        if number < checkpoint.first_segment:
            result.expired.append(segment)
            continue
        stock = segment.stock(verify=verify)
        if _is_foreign(segment, stock, identity):
            result.foreign.append(segment)
        else:
            opened.append((segment, stock))
    first = checkpoint.rows
    for i, (segment, stock) in enumerate(opened):
        last = i == len(opened) - 1
        following = None if last else opened[i + 1][1].opening
        segment.opening = stock.opening or Opening(identity, first)
        if i == 0:
            result.missing = max(0, segment.first - first)
        if following is not None and segment.first + stock.rows < following.first:
            stock = segment.stock(verify=verify, promised=following.first - segment.first)
        if not last and not stock.sealed:
            stock = replace(stock, sealed=True, news=True)
        result.found.append((segment, stock))
        result.withdrawn[segment.number] = segment.adopt(stock, withdrawn.get(segment.number, {}))
        first = segment.first + stock.rows
    return result


@dataclass(slots=True)
class Recovered:
    """What a shard begins with.

    Attributes
    ----------
    segments : list of Segment
        Oldest first; all but the last are sealed, and the last is ready for writing unless it is sealed, too.
    damage : list of str
        What is damaged that was not known to be.
    next : int
        Number of the next segment. None is used twice, or one set aside would be overwritten by another.
    """

    segments: list[Segment]
    damage: list[str]
    next: int


def recover(directory: ShardDirectory, schema: Schema, capacity: int) -> Recovered:
    """Take up what a shard's directory holds, and rid its withdrawals of what is not there any more.

    ``capacity`` is that of segments which have room yet.
    """
    disk, path, withdrawals = directory.disk, directory.path, directory.withdrawals
    # of a process that was killed while it replaced a file
    disk.remove(list(path.glob("*" + SCRATCH)))
    checkpoint, identity = directory.checkpoint, directory.identity
    found = survey(disk, path, schema, checkpoint, identity, withdrawals.rows)
    damage = found.damage
    for segment in found.expired:
        segment.remove()
    for segment in found.foreign:
        disk.move(segment.paths, free_place(path, segment.stem.name))
    if found.missing:
        directory.save(_without(found, directory.checkpoint))
    for segment, stock in found.found:
        x, row_bytes = segment.path("x"), schema.columns[0].row_bytes
        room = x.stat().st_size // row_bytes if x.exists() else 0
        segment.capacity = max(capacity, room)
        if stock.news:
            mend(path, segment, stock)
        if not segment.sealed:
            segment.resume()
    if withdrawals.damaged:
        disk.copy({withdrawals.path: None}, free_place(path, "withdrawn"))
        damage.append(WITHDRAWALS_DAMAGED)
    withdrawals.keep(found.withdrawn)
    for text in damage:
        log.error("%s: damaged: %s", path, text)
    numbers = [*_numbers(path), *_numbers(path / QUARANTINE)]
    following = max([directory.checkpoint.first_segment, *(n + 1 for n in numbers)])
    return Recovered([segment for segment, _ in found.found], damage, following)


def _without(found: Survey, checkpoint: Checkpoint) -> Checkpoint:
    first = found.found[0][0]
    lost = checkpoint.damaged + found.missing
    return replace(checkpoint, first_segment=first.number, damaged=lost, rows=first.first)


def _numbers(path: Path) -> list[int]:
    """Return the numbers of all segments of which there is a file."""
    files = (entry for entry in path.glob(NUMBER + "*") if entry.suffix != ".z")
    return sorted({int(entry.name[:8]) for entry in files})


def _is_foreign(segment: Segment, stock: Stock, identity: str) -> bool:
    """Return whether its journal is another shard's, or is gone from beside its rows."""
    if stock.opening is not None:
        return stock.opening.shard not in ("", identity)
    # one that a crash left before its journal began has no content
    files = (segment.path(column.name) for column in segment.schema.columns)
    return not stock.batches and any(file.exists() and _has_content(file) for file in files)


def _has_content(path: Path) -> bool:
    if path.stat().st_blocks == 0:
        return False
    with path.open("rb") as file:
        return any(any(part) for part in iter(partial(file.read, COPY_BYTES), b""))


def mend(path: Path, segment: Segment, stock: Stock) -> None:
    """Set a copy of a damaged segment aside, if there is room, and let its journal speak of it."""
    name = segment.stem.name
    try:
        segment.mend(stock, free_place(path, name))
    except OSError as error:  # a shard on a full disk must open: it is tried again the next time
        log.warning("%s: what is damaged in segment %s is not set aside: %s", path, name, error)


def damaged(segment: Segment) -> str:
    """Return what is damaged in a segment, in words."""
    lost = sum(lost.count for lost in segment.lost)
    if not lost:
        return f"{segment.stem.name}: is damaged where it costs no point"
    return f"{segment.stem.name}: {lost} of {segment.rows} points are not as they were written"


def free_place(path: Path, name: str) -> Path:
    """Return a place in the quarantine that is not taken."""
    taken = {entry.name for entry in (path / QUARANTINE).glob("*")}
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return path / QUARANTINE / next(free for free in names if free not in taken)


def quarantined(path: Path) -> int:
    """Return how many things are set aside."""
    return len({entry.name.split(".")[0] for entry in (path / QUARANTINE).glob("*")})
