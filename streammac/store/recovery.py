"""What a shard finds in its directory when it opens: good segments in order, others set aside.

Called once by `Shard.open`, before anything is read or written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from streammac.files.replace import SCRATCH
from streammac.store.directory import ShardDirectory
from streammac.store.points import Schema
from streammac.store.segment import Segment
from streammac.store.withdrawals import Rows

log = logging.getLogger(__name__)

JOURNALS = "[0-9]" * 8 + ".journal"
QUARANTINE = "quarantine"


@dataclass(slots=True)
class Recovered:
    """What there was.

    Attributes
    ----------
    segments : list of Segment
        Oldest first; all but the last are sealed, and the last is ready for writing unless it is sealed, too.
    quarantined : list of str
        Names of segments that cannot be believed and were moved to ``quarantine/``.
    next : int
        Number of the next segment. None is used twice, or one set aside would be overwritten by another.
    """

    segments: list[Segment] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    next: int = 1


def recover(directory: ShardDirectory, schema: Schema, capacity: int) -> Recovered:
    """Take stock of a shard's directory, and rid its withdrawals of what is not there any more.

    ``capacity`` is that of segments which have room yet.
    """
    disk, path, checkpoint = directory.disk, directory.path, directory.checkpoint
    disk.remove(
        list(path.glob("*" + SCRATCH))
    )  # of a process that was killed while it replaced a file
    found = sorted(int(journal.stem) for journal in path.glob(JOURNALS))
    aside = (int(journal.stem) for journal in (path / QUARANTINE).glob(JOURNALS))
    recovered = Recovered()
    there: dict[int, Rows] = {}
    recovered.next = max([checkpoint.first_segment, *(n + 1 for n in (*found, *aside))])
    first = checkpoint.rows
    for number in found:
        segment = Segment(disk, path / f"{number:08d}", schema, capacity, first)
        if number < checkpoint.first_segment:
            segment.remove()  # dropped by retention just before a crash
            continue
        x, row_bytes = segment.path("x"), schema.columns[0].row_bytes
        if x.exists():
            segment.capacity = max(capacity, x.stat().st_size // row_bytes)
        there[number] = segment.recover(directory.withdrawals.rows.get(number, {}))
        if not segment.believable(last=number == found[-1]):
            disk.move(segment.paths, path / QUARANTINE)
            recovered.quarantined.append(segment.stem.name)
            del there[number]
            log.error("%s: segment %s is corrupt and was set aside", path, segment.stem.name)
            continue
        if not segment.sealed:
            segment.resume()
        first += segment.rows
        recovered.segments.append(segment)
    directory.withdrawals.keep(there)
    return recovered
