"""Which stored batches were withdrawn: a journal beside the segments, one record for each order to withdraw.

`Shard.withdraw` writes here before anything changes in memory, and opening a shard reads it. A record names
batches by segment and row, because one batch id may be stored, withdrawn and stored again. It verifies as a whole
or not at all, so of one order either everything is done or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgpack

from streammac.files.disk import Disk
from streammac.files.log import Log, Stop

NAME = "withdrawn"


class Place(NamedTuple):
    """A withdrawn batch: its segment, its first row there, whether its batch id stays known, and its points."""

    segment: int
    row: int
    remembered: bool
    points: int = 0


class Withdrawn(NamedTuple):
    """A withdrawn batch of a known place; ``points`` 0: a former version did not say."""

    remembered: bool
    points: int


Rows = dict[int, Withdrawn]
"""The withdrawn batches of a segment, by first row."""


class Withdrawals:
    """The journal of a shard's directory.

    Attributes
    ----------
    rows : dict
        By segment, what is withdrawn.
    damaged : bool
        An order cannot be read, though it was written to its end.
    """

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self.path = directory / NAME
        self._log = Log(disk, self.path)
        contents = self._log.read()
        self._log.end = contents.end
        self.rows: dict[int, Rows] = {}
        for body, _ in contents.entries:
            self._note(Place(*fields) for fields in msgpack.unpackb(body))
        self.damaged = bool(contents.gaps) or contents.stop is Stop.DAMAGED
        self.torn = contents.stop is not Stop.END
        """Whether a record was cut short; `keep` removes the rest of it."""

    def _note(self, places: Iterable[Place]) -> None:
        for segment, row, remembered, points in places:
            self.rows.setdefault(segment, {})[row] = Withdrawn(remembered, points)

    def add(self, places: list[Place], *, sync: bool) -> None:
        """Write that these batches are withdrawn.

        Raises
        ------
        OSError
            If the disk takes no more; none of them is withdrawn then.
        """
        new = self._log.end == 0
        self._log.append([msgpack.packb(places)])
        if sync:
            self._log.sync()
            if new:
                self._disk.sync_directory(self._directory)
        self._note(places)

    def keep(self, rows: Mapping[int, Rows]) -> None:
        """Forget all others: those of segments that are gone, and of batches that a power loss took back.

        Rows of a segment are used again after power loss, so this comes before anything is appended.
        """
        kept = {segment: dict(r) for segment, r in rows.items() if r}
        if kept == self.rows and not self.torn and not self.damaged:
            return
        places = [Place(s, row, *one) for s, r in sorted(kept.items()) for row, one in r.items()]
        self._log.rewrite([msgpack.packb(places)] if places else [])
        self.rows, self.torn, self.damaged = kept, False, False

    def close(self) -> None:
        """Close the file."""
        self._log.close()
