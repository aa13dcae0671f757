"""What a shard finds in its directory when it opens: good segments in order, and what is damaged.

Called once by `Shard.open`, before anything is read or written. What is damaged is copied to ``quarantine/``, and what
is whole beside it stays in use.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from streammac.files.disk import COPY_BYTES
from streammac.files.replace import SCRATCH
from streammac.store.directory import ShardDirectory
from streammac.store.journal import Opening
from streammac.store.points import Schema
from streammac.store.segment import Segment
from streammac.store.stock import Stock
from streammac.store.withdrawals import Rows

log = logging.getLogger(__name__)

NUMBER = "[0-9]" * 8
QUARANTINE = "quarantine"


@dataclass(slots=True)
class Recovered:
    """What there was.

    Attributes
    ----------
    segments : list of Segment
        Oldest first; all but the last are sealed, and the last is ready for writing unless it is sealed, too.
    damage : list of str
        What is damaged that was not known to be.
    next : int
        Number of the next segment. None is used twice, or one set aside would be overwritten by another.
    """

    segments: list[Segment] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    next: int = 1


def recover(directory: ShardDirectory, schema: Schema, capacity: int) -> Recovered:
    """Take stock of a shard's directory, and rid its withdrawals of what is not there any more.

    ``capacity`` is that of segments which have room yet.
    """
    disk, path = directory.disk, directory.path
    disk.remove(
        list(path.glob("*" + SCRATCH))
    )  # of a process that was killed while it replaced a file
    recovered = Recovered()
    found = []
    for number in _numbers(path):
        segment = Segment(disk, path / f"{number:08d}", schema, capacity, Opening("", 0))
        if number < directory.checkpoint.first_segment:
            segment.remove()  # dropped by retention just before a crash
            continue
        stock = segment.stock()
        if _is_foreign(segment, stock, directory.identity):
            disk.move(segment.paths, set_aside(path, segment.stem.name))
            recovered.damage.append(f"{segment.stem.name}: is not of this shard, or has no journal")
            continue
        found.append((segment, stock))
    numbers = [*_numbers(path), *_numbers(path / QUARANTINE)]
    recovered.next = max([directory.checkpoint.first_segment, *(n + 1 for n in numbers)])
    there: dict[int, Rows] = {}
    first = _begin(directory, found, recovered)
    for i, (segment, stock) in enumerate(found):
        last = i == len(found) - 1
        following = None if last else found[i + 1][1].opening
        segment.opening = stock.opening or Opening(directory.identity, first)
        if following is not None and segment.first + stock.rows < following.first:
            stock = segment.stock(promised=following.first - segment.first)
        if not last and not stock.sealed:
            stock = replace(stock, sealed=True, news=True)
        there[segment.number] = segment.adopt(
            stock, directory.withdrawals.rows.get(segment.number, {})
        )
        x, row_bytes = segment.path("x"), schema.columns[0].row_bytes
        if x.exists():
            segment.capacity = max(capacity, x.stat().st_size // row_bytes)
        if stock.news:
            recovered.damage.append(mend(path, segment, stock))
        if not segment.sealed:
            segment.resume()
        first = segment.first + segment.rows
        recovered.segments.append(segment)
    if directory.withdrawals.damaged:
        disk.copy({directory.withdrawals.path: None}, set_aside(path, "withdrawn"))
        recovered.damage.append("withdrawn: points that went to other shards may be back")
    directory.withdrawals.keep(there)
    for damage in recovered.damage:
        log.error("%s: damaged: %s", path, damage)
    return recovered


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


def _begin(
    directory: ShardDirectory, found: list[tuple[Segment, Stock]], recovered: Recovered
) -> int:
    """Return how many rows the shard took before its first segment; what is missing there is damaged."""
    begin = directory.checkpoint.rows
    opening = found[0][1].opening if found else None
    if opening is None or opening.first <= begin:
        return begin
    missing = opening.first - begin
    directory.save(
        replace(
            directory.checkpoint,
            first_segment=found[0][0].number,
            damaged=directory.checkpoint.damaged + missing,
            rows=opening.first,
        )
    )
    recovered.damage.append(f"the first segments are missing: {missing} points")
    return opening.first


def mend(path: Path, segment: Segment, stock: Stock) -> str:
    """Set a copy of a damaged segment aside, if there is room, and let its journal speak of it; return it in words."""
    name = segment.stem.name
    try:
        segment.mend(stock, set_aside(path, name))
    except OSError as error:  # a shard on a full disk must open: it is tried again the next time
        log.warning("%s: what is damaged in segment %s is not set aside: %s", path, name, error)
    return f"{name}: {sum(lost.count for lost in stock.lost)} of {segment.rows} points"


def set_aside(path: Path, name: str) -> Path:
    """Return a place in the quarantine that is not taken."""
    taken = {entry.name for entry in (path / QUARANTINE).glob("*")}
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return path / QUARANTINE / next(free for free in names if free not in taken)


def quarantined(path: Path) -> int:
    """Return how many things are set aside."""
    return len({entry.name.split(".")[0] for entry in (path / QUARANTINE).glob("*")})
