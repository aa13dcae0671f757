"""Results as JSON: of each benchmark its newest tables, with the machine that they were measured on.

``make bench`` writes one file for each into ``benchmarks/results``; README and docs/performance.md are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.report import Report, Spread

PUBLISHED = Path(__file__).with_name("results")
"""What README and docs/performance.md show."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one benchmark, on what machine, and how long it took."""

    machine: Mapping[str, str]
    seconds: float
    reports: tuple[Report, ...]

    def figure(self, name: str) -> float | Spread:
        """Return a result by its name.

        Raises
        ------
        KeyError
            If the benchmark has no such figure.
        """
        for report in self.reports:
            if name in report.figures:
                return report.figures[name]
        raise KeyError(f"no figure {name!r} in {[report.title for report in self.reports]}")


def read(folder: Path = PUBLISHED) -> dict[str, Result]:
    """Return the results in a folder by benchmark.

    Raises
    ------
    msgspec.DecodeError
        If a file holds something else; the message says where.
    """
    return {
        path.stem: msgspec.json.decode(path.read_bytes(), type=Result)
        for path in sorted(folder.glob("*.json"))
    }


def write(name: str, result: Result, folder: Path = PUBLISHED) -> Path:
    """Write what came of one benchmark; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path
