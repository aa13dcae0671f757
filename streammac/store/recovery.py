"""What a shard finds in its directory when it opens: good segments in order, others set aside.

Called once by `Shard.open`, before anything is read or written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from streammac.store.directory import Checkpoint
from streammac.store.disk import Disk
from streammac.store.points import Schema
from streammac.store.segment import Segment
from streammac.store.withdrawals import Rows, Withdrawals

log = logging.getLogger(__name__)

JOURNALS = "[0-9]" * 8 + ".journal"
QUARANTINE = "quarantine"


@dataclass(slots=True)
class Recovered:
    """What there was.

    Attributes
    ----------
    checkpoint : Checkpoint
        The books of what has expired.
    withdrawals : Withdrawals
        The journal of what was withdrawn, rid of what is not there any more.
    segments : list of Segment
        Oldest first; all but the last are sealed, and the last is ready for writing unless it is sealed, too.
    quarantined : list of str
        Names of segments that cannot be believed and were moved to ``quarantine/``.
    next : int
        Number of the next segment. None is used twice, or one set aside would be overwritten by another.
    """

    checkpoint: Checkpoint
    withdrawals: Withdrawals
    segments: list[Segment] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    next: int = 1


def recover(disk: Disk, directory: Path, schema: Schema, capacity: int) -> Recovered:
    """Take stock of a shard's directory; ``capacity`` is that of segments which have room yet.

    Raises
    ------
    StoreError
        If its checkpoint is damaged.
    """
    checkpoint = Checkpoint.load(directory)
    found = sorted(int(path.stem) for path in directory.glob(JOURNALS))
    aside = (int(path.stem) for path in (directory / QUARANTINE).glob(JOURNALS))
    withdrawals = Withdrawals(disk, directory)
    recovered = Recovered(checkpoint, withdrawals)
    there: dict[int, Rows] = {}
    recovered.next = max([checkpoint.first_segment, *(n + 1 for n in (*found, *aside))])
    first = checkpoint.rows
    for number in found:
        segment = Segment(disk, directory / f"{number:08d}", schema, capacity, first)
        if number < checkpoint.first_segment:
            segment.remove()  # dropped by retention just before a crash
            continue
        x, row_bytes = segment.path("x"), schema.columns[0].row_bytes
        if x.exists():
            segment.capacity = max(capacity, x.stat().st_size // row_bytes)
        there[number] = segment.recover(withdrawals.rows.get(number, {}))
        if not segment.believable(last=number == found[-1]):
            disk.move(segment.paths, directory / QUARANTINE)
            recovered.quarantined.append(segment.stem.name)
            del there[number]
            log.error("%s: segment %s is corrupt and was set aside", directory, segment.stem.name)
            continue
        if not segment.sealed:
            segment.resume()
        first += segment.rows
        recovered.segments.append(segment)
    withdrawals.keep(there)
    return recovered
