"""Records that could not be used: kept as they were, with the reason, to be looked at and sent again.

One NDJSON file per ingest node; raw bytes are base64. The ingest node appends; commands list and replay. Both
write under one lock, so that neither loses what the other writes.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.csv_lines import decode_csv
from ingest.formats import decode_json, decode_packed
from ingest.records import BadRecord, Record, Refused
from streammac.files import document
from streammac.files.lock import lock
from streammac.files.replace import replace
from streammac.wire.reports import Trouble

log = logging.getLogger(__name__)

KEYED_CSV = "keyed csv:"
"""Of CSV whose first column is the key, with so many targets."""
TEXT_FORMATS = {"json": decode_json, "csv": decode_csv, "msgpack": decode_packed}
"""How records are decoded that are not rows of arrays."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record.

    ``format`` says how its raw bytes are to be read: ``json``, ``csv`` (``csv:1`` with a target, ``keyed csv:1`` with a
    key before it), or the type of an array's row, as in ``<f8``.
    """

    file: str
    number: int
    source: str
    format: str
    reason: str
    time: float
    raw: bytes


class DeadLetterFile:
    """The dead letters of one ingest node.

    Parameters
    ----------
    path : Path
        The file; it is made with the first letter.
    limit_bytes : int
        At this size no more are kept; they are still counted, and the log says so.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.lost = 0
        """Letters that were not kept because the file, or the disk, is full."""
        self._why = ""

    def append(self, source: str, form: str, refused: Iterable[Refused]) -> None:
        """Keep records; what is handed to the kernel survives a killed process."""
        lines = []
        for record in refused:
            letter = {
                "source": source,
                "format": form,
                "reason": record.reason,
                "time": time.time(),
                "raw": base64.b64encode(record.raw).decode(),
            }
            line = json.dumps(letter | {"crc32": document.checksum(letter)})
            lines.append(line.encode() + b"\n")
        why = f"there are {self.limit_bytes:,} bytes (ingest.dead_letter_bytes)"
        try:
            kept = self._write(lines)
        except OSError as error:  # a full disk must not end the node
            kept, why = 0, f"{error.strerror}"
        self.lost += len(lines) - kept
        before, self._why = self._why, why if kept < len(lines) else ""
        if self._why and not before:
            log.warning("%s", self.troubles()[0].text)
        elif before and not self._why:
            log.info("%s: dead letters are kept again", self.path)

    def troubles(self) -> list[Trouble]:
        """Return what is wrong: that dead letters are not kept, if so."""
        if not self._why:
            return []
        return [Trouble("letters_lost", f"dead letters are only counted, not kept: {self._why}")]

    def _write(self, lines: list[bytes]) -> int:
        """Append what fits; return how many lines that is."""
        with _locked(self.path.parent), self.path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            fitting = []
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                fitting.append(b"\n")  # ends the line of a node that was killed while it wrote
            size += sum(map(len, fitting))
            kept = 0
            for line in lines:
                if size + len(line) <= self.limit_bytes:
                    fitting.append(line)
                    size += len(line)
                    kept += 1
            file.writelines(fitting)
        return kept


def _locked(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return lock(folder / "lock", wait=True)


def read(folder: Path) -> Iterator[DeadLetter]:
    """Yield all dead letters of a run directory's folder, file by file; see `damaged`."""
    for name, number, line in _lines(folder):
        letter = _letter(name, number, line)
        if letter is not None:
            yield letter


def damaged(folder: Path) -> int:
    """Return how many lines are none: they are damaged, or were cut short when a node was killed."""
    return sum(_letter(*line) is None for line in _lines(folder))


def _lines(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    for path in sorted(folder.glob("*.ndjson")):
        with path.open("rb") as file:
            for number, line in enumerate(file):
                yield path.name, number, line


def _letter(name: str, number: int, line: bytes) -> DeadLetter | None:
    try:
        value = json.loads(line)
        checksum = value.pop("crc32", None)  # older letters have none
        if checksum not in (None, document.checksum(value)):
            return None
        return DeadLetter(
            name,
            number,
            str(value["source"]),
            str(value["format"]),
            str(value["reason"]),
            float(value["time"]),
            base64.b64decode(value["raw"], validate=True),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


class Pusher(Protocol):
    """What `replay` needs of a `streammac.client.Client`."""

    @property
    def name(self) -> str:
        """The source that dead letters of its pushes name."""
        ...

    def push(
        self,
        X: NDArray[np.generic],
        y: NDArray[np.float64] | None = None,
        *,
        keys: list[bytes] | None = None,
        times: NDArray[np.float64] | None = None,
    ) -> object:
        """Push (n, D) points; the result has ``accepted`` and ``waiting``."""
        ...

    def push_targets(self, keys: list[bytes], y: NDArray[np.float64]) -> object:
        """Push (n, K) targets of points that came before."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many dead letters went through, and how many were refused again."""

    accepted: int
    refused: int


def replay(folder: Path, client: Pusher) -> Replayed:
    """Push every dead letter again; those that go through are removed from their files.

    One that is refused again stays as it was. Should a push fail altogether, its error is raised, and what
    went through before it is removed all the same. Of records of arrays only ``x`` was kept. Run one
    replay at a time.
    """
    accepted = refused = 0
    gone: dict[str, set[int]] = {}
    letters = list(read(folder))
    try:
        for letter in letters:
            try:
                went_through = _push(client, letter)
            except ValueError:  # a `BadRecord`, or what the client does not even send
                went_through = False
            if went_through:
                accepted += 1
                gone.setdefault(letter.file, set()).add(letter.number)
            else:
                refused += 1
    finally:
        # in order, so that what remains is the number of each file's last letter
        _remove(folder, gone, {letter.file: letter.number for letter in letters}, client.name)
    return Replayed(accepted, refused)


def _push(client: Pusher, letter: DeadLetter) -> bool:
    record = _record(letter)
    try:
        x = np.array([record.x], np.float64)
        y = None if record.y is None else np.array([record.y], np.float64)
    except OverflowError:
        raise BadRecord("beyond the range of float64") from None
    times = None if np.isnan(record.time) else np.array([record.time])
    keys = [record.key] if record.key else None
    if y is not None and not record.x:  # a target whose point came, or is to come, by itself
        result = client.push_targets([record.key], y)
    else:
        result = client.push(x, y, keys=keys, times=times)
    return int(getattr(result, "accepted", 0)) + int(getattr(result, "waiting", 0)) == 1


def _remove(folder: Path, gone: Mapping[str, set[int]], last: Mapping[str, int], echo: str) -> None:
    """Take letters out, and from each file those after its ``last`` whose source is ``echo``.

    They are the same records, refused once more.
    """
    with _locked(folder):
        for path in sorted(folder.glob("*.ndjson")):
            lines = path.read_bytes().splitlines(keepends=True)
            known = last.get(path.name, -1)
            out = gone.get(path.name, set()) | {
                n for n, line in enumerate(lines) if n > known and _source(line) == echo
            }
            kept = [line for n, line in enumerate(lines) if n not in out]
            if len(kept) < len(lines):
                replace(path, b"".join(kept))


def _source(line: bytes) -> object:
    try:
        return json.loads(line)["source"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _record(letter: DeadLetter) -> Record:
    form, _, targets = letter.format.partition(":")
    if form == "csv" and targets.isdecimal():
        return decode_csv(letter.raw, int(targets))
    if letter.format.startswith(KEYED_CSV):
        return decode_csv(letter.raw, int(letter.format.removeprefix(KEYED_CSV)), keyed=True)
    if letter.format in TEXT_FORMATS:
        return TEXT_FORMATS[letter.format](letter.raw)
    try:
        return Record(np.frombuffer(letter.raw, np.dtype(letter.format)).tolist())
    except (TypeError, ValueError) as error:
        raise BadRecord(f"not an array of {letter.format}: {error}") from None
