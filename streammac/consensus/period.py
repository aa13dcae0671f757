"""Which edges of the path have been used in the period under way: what everybody can know without asking.

A period is as many iterations as the path has edges, or more, until each of these has been used in it once: what
members average over within a period is a connected graph. What one knows of it only grows, and what two know can be
put together in any order: so members tell each other, and agree in the end, whatever is late.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Period:
    """What a member knows of periods.

    Attributes
    ----------
    number : int
        Which period it is: of n edges, it does not begin before iteration n times this.
    used : int
        Bit i: edge i of the path has been used in this one.
    """

    number: int = 0
    used: int = 0

    def merged(self, other: Period) -> Period:
        """Return what both know together.

        >>> Period(4, 0b001).merged(Period(4, 0b100))
        Period(number=4, used=5)
        >>> Period(4, 0b001).merged(Period(5, 0b100))
        Period(number=5, used=4)
        """
        if self.number == other.number:
            return Period(self.number, self.used | other.used)
        return max(self, other, key=lambda period: period.number)

    def complete(self, edges: int) -> bool:
        """Return whether all edges of a path of so many have been used."""
        return self.used == (1 << edges) - 1

    def after(self, edges: int, iteration: int) -> Period:
        """Return the period of an iteration: a new one where this one is over.

        >>> Period(4, 0b111).after(edges=3, iteration=14)
        Period(number=4, used=7)
        >>> Period(4, 0b111).after(edges=3, iteration=15)
        Period(number=5, used=0)
        """
        if self.complete(edges) and iteration >= (self.number + 1) * edges > 0:
            return Period(iteration // edges)
        return self

    def wants(self, edge: int) -> bool:
        """Return whether an edge has still to be used."""
        return not self.used >> edge & 1

    def with_used(self, edge: int) -> Period:
        """Return it with one edge more that has been used."""
        return Period(self.number, self.used | 1 << edge)
