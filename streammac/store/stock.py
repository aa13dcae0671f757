"""What the files of a segment hold: batches that are as they were written, and rows that are lost. Reads only.

A crash cuts the newest writes short, and nobody was told that they are safe; they are dropped. Anything else that does
not verify is damage: it is counted, and what is whole behind it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isal.isal_zlib import crc32

from streammac.files.log import Contents
from streammac.store.journal import Lost, Opening, Placed, Record, Seal

Check = Callable[[Record], bool]
"""Tells whether the rows of a record are there as they were written."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is.

    Attributes
    ----------
    batches : list
        Records, and `Lost` where rows were damaged, in the order of their rows.
    opening : Opening or None
        What the journal begins with.
    sealed : bool
        The segment is complete.
    end : int
        So many bytes of the journal count.
    news : bool
        Rows are lost that the journal does not speak of, or its first record is.
    """

    batches: list[Record | Lost]
    opening: Opening | None
    sealed: bool
    end: int
    news: bool

    @property
    def records(self) -> list[Record]:
        """What is whole."""
        return [batch for batch in self.batches if isinstance(batch, Record)]

    @property
    def lost(self) -> list[Lost]:
        """What is damaged, now or from former times."""
        return [batch for batch in self.batches if isinstance(batch, Lost)]

    @property
    def rows(self) -> int:
        """Rows of the segment, lost ones included."""
        return self.batches[-1].row + self.batches[-1].count if self.batches else 0


def take_stock(
    contents: Contents, placed: Iterable[Placed], whole: Check, promised: int = 0
) -> Stock:
    """Return what a segment holds.

    Parameters
    ----------
    contents : Contents
        Its journal.
    placed : iterable of Placed
        What that says, from `streammac.store.journal.entries`.
    whole : Check
        Looks at the rows of a record.
    promised : int
        So many rows are known to have been safe.
    """
    found: list[tuple[Record | Lost, int, bool]] = []
    opening, sealed, end, cut = None, False, 0, 0
    for entry, place, missing in placed:
        end = place
        match entry:
            case Opening():
                opening, cut = entry, place
            case Seal():
                sealed, promised = True, max(promised, entry.rows)
            case Lost():
                promised = max(promised, 0 if missing else entry.row + entry.count)
                found.append((entry, place, missing))
            case Record() if whole(entry):
                promised = max(promised, entry.promised)
                found.append((entry, place, False))
            case Record():
                found.append(
                    (Lost(entry.row, entry.count, entry.batch_id, entry.sender), place, True)
                )
    batches: list[Record | Lost] = []
    news, rows = False, 0
    for batch, place, new in found:
        if new and batch.row + batch.count > promised:
            break  # this was never promised, nor was anything behind it
        batches.append(batch)
        news |= new
        rows, cut = batch.row + batch.count, place
    else:
        cut = end
    # the first record is safe before all others; a batch without points that is not there may never have been promised
    news |= bool(batches) and contents.damage == 0
    if rows < promised:
        batches.append(Lost(rows, promised - rows))
        news = True
    return Stock(batches, opening, sealed, cut, news)


@contextmanager
def columns(paths: Sequence[tuple[Path, int]], *, verify: bool) -> Iterator[Check]:
    """Give a check of records against the files of the columns, each with the size of its rows.

    Parameters
    ----------
    paths : sequence of (Path, int)
        Files and bytes of a row, in the order of the schema's columns.
    verify : bool
        Whether to read the rows, or only to look whether the files are long enough.
    """
    if not verify:
        sizes = [path.stat().st_size // row if path.exists() else -1 for path, row in paths]
        yield lambda record: record.row + record.count <= min(sizes)
        return
    files = [path.open("rb") if path.exists() else None for path, _ in paths]

    def whole(record: Record) -> bool:
        for file, (_, row), checksum in zip(files, paths, record.checksums, strict=True):
            if file is None:
                return False
            file.seek(record.row * row)
            if crc32(file.read(record.count * row)) != checksum:
                return False
        return True

    try:
        yield whole
    finally:
        for file in files:
            if file is not None:
                file.close()
