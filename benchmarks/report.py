"""What a benchmark tells: a table of values, and how they are written.

A benchmark module has a function ``run(short) -> Iterator[Report]`` that yields each table as soon as it is measured;
`benchmarks.__main__` prints them and keeps them as JSON (`benchmarks.results`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np


class Spread(NamedTuple):
    """A value that was measured several times: the middle one, the least and the largest."""

    middle: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return median, least and largest.

        >>> Spread.of([1.5, 1.0, 2.5])
        Spread(middle=1.5, least=1.0, largest=2.5)
        """
        found = np.fromiter(values, float)
        return cls(float(np.median(found)), float(found.min()), float(found.max()))

    @classmethod
    def mean(cls, values: Iterable[float]) -> Spread:
        """Return the mean with least and largest.

        >>> Spread.mean([1.0, 1.0, 2.5])
        Spread(middle=1.5, least=1.0, largest=2.5)
        """
        found = np.fromiter(values, float)
        return cls(float(found.mean()), float(found.min()), float(found.max()))


Cell: TypeAlias = str | int | float | Spread | None
"""None: nothing to tell."""
FIGURE = ".3g"
"""How numbers are written that no column tells otherwise about."""


@dataclass(frozen=True, slots=True)
class Report:
    """One table of a benchmark.

    Attributes
    ----------
    title : str
        What was measured, with what settings.
    columns : mapping of str to str
        Heading to format (as in f-strings: ``",.0f"``, ``".0%"``); empty for text.
    rows : tuple of tuple of Cell
        The values; what has spread shows it in brackets.
    compared : str
        What is compared with what, and what the numbers mean.
    figures : mapping of str to float or Spread
        Results by name, for sentences and bars: what the README quotes.
    """

    title: str
    columns: Mapping[str, str]
    rows: tuple[tuple[Cell, ...], ...]
    compared: str = ""
    figures: Mapping[str, float | Spread] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"{self.title}: {len(self.columns)} columns, but a row of {len(row)}"
                )

    def markdown(self) -> str:
        """Return the table with its title and what it compares.

        >>> print(Report("Speed", {"bits": "d", "share": ".0%"}, ((8, 0.27), (16, None))).markdown())
        **Speed**
        <BLANKLINE>
        | bits | share |
        |---|---|
        | 8 | 27% |
        | 16 |  |
        """
        lines = [f"**{self.title}**", "", *self.table()]
        return "\n".join([*lines, "", self.compared] if self.compared else lines)

    def table(self) -> list[str]:
        """Return the lines of the table alone."""
        lines = [list(self.columns), ["---"] * len(self.columns)]
        formats = list(self.columns.values())
        lines += [[told(v, f) for v, f in zip(row, formats, strict=True)] for row in self.rows]
        head, rule, *rest = ("| " + " | ".join(line) + " |" for line in lines)
        return [head, rule.replace(" ", ""), *rest]


def told(value: Cell, form: str = FIGURE) -> str:
    """Write one value.

    >>> told(Spread(0.5, 0.4, 0.75), ".2f"), told(1234.5, ",.0f"), told("w1"), told(None)
    ('0.50 (0.40 to 0.75)', '1,234', 'w1', '')
    """
    match value:
        case None:
            return ""
        case Spread(middle, least, largest) if least == largest:
            return format(middle, form)
        case Spread(middle, least, largest):
            return f"{middle:{form}} ({least:{form}} to {largest:{form}})"
        case str():
            return value
    return format(value, form or FIGURE)
