"""Records that could not be used: kept as they were, with the reason, to be looked at and sent again.

One NDJSON file per ingest node; raw bytes are base64. The ingest node appends; commands list and replay.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.formats import decode_csv, decode_json, decode_packed
from ingest.records import BadRecord, Refused


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record.

    ``format`` says how its raw bytes are to be read: ``json``, ``csv``, or the type of an array's row, as in
    ``<f8``.
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
        At this size no more are kept; they are still counted, and `overflowing` says so.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self._size = path.stat().st_size if path.exists() else 0
        self.overflowing = 0
        """Letters that were not kept because the file is full."""

    def append(self, source: str, form: str, refused: Iterable[Refused]) -> None:
        """Keep records; what is handed to the kernel survives a killed process."""
        lines = []
        for record in refused:
            line = json.dumps(
                {
                    "source": source,
                    "format": form,
                    "reason": record.reason,
                    "time": time.time(),
                    "raw": base64.b64encode(record.raw).decode(),
                }
            )
            if self._size + len(line) + 1 > self.limit_bytes:
                self.overflowing += 1
                continue
            self._size += len(line) + 1
            lines.append(line + "\n")
        if lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.writelines(lines)


def read(folder: Path) -> Iterator[DeadLetter]:
    """Yield all dead letters of a run directory's folder, file by file."""
    for path in sorted(folder.glob("*.ndjson")):
        with path.open() as file:
            for number, line in enumerate(file):
                try:
                    value = json.loads(line)
                    raw = base64.b64decode(value["raw"])
                    yield DeadLetter(
                        path.name,
                        number,
                        str(value["source"]),
                        str(value["format"]),
                        str(value["reason"]),
                        float(value["time"]),
                        raw,
                    )
                except (ValueError, KeyError, TypeError):
                    continue  # the last line of a node that was killed while it wrote


class Pusher(Protocol):
    """What `replay` needs of a `streammac.client.Client`."""

    def push(self, X: NDArray[np.generic]) -> object:
        """Push (n, D) points; the result has ``accepted``."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many dead letters went through, and how many were refused again."""

    accepted: int
    refused: int


def replay(folder: Path, client: Pusher) -> Replayed:
    """Push every dead letter again; those that go through are removed from their files.

    Do it while the nodes that write these files are idle: what they add meanwhile is kept, because only
    the letters that were read are taken out.
    """
    accepted = refused = 0
    gone: dict[str, set[int]] = {}
    for letter in list(read(folder)):
        try:
            x = np.array([_numbers(letter)])
            went_through = int(getattr(client.push(x), "accepted", 0)) == 1
        except BadRecord:
            went_through = False
        if went_through:
            accepted += 1
            gone.setdefault(letter.file, set()).add(letter.number)
        else:
            refused += 1
    for name, numbers in gone.items():
        path = folder / name
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for i, line in enumerate(lines) if i not in numbers]
        scratch = path.with_suffix(".new")
        scratch.write_text("".join(kept))
        scratch.replace(path)
    return Replayed(accepted, refused)


def _numbers(letter: DeadLetter) -> NDArray[np.generic]:
    if letter.format == "json":
        return np.array(decode_json(letter.raw).x, np.float64)
    if letter.format == "csv":
        return np.array(decode_csv(letter.raw).x, np.float64)
    if letter.format == "msgpack":
        return np.array(decode_packed(letter.raw).x, np.float64)
    try:
        return np.frombuffer(letter.raw, np.dtype(letter.format))
    except (TypeError, ValueError) as error:
        raise BadRecord(f"not an array of {letter.format}: {error}") from None
