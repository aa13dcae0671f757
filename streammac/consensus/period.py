"""Which edges of the path have been used in the period under way: what everybody can know without asking.

A period is over when each edge of the path has been used in it once, so that what the members average over within a
period is a connected graph. What one knows of it only grows, and what two know can be put together in any order: so
members tell each other, and agree in the end, whatever is late.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Period:
    """What a member knows of the periods of a view.

    Attributes
    ----------
    view : int
        Whose path it is; a new view begins anew.
    number : int
        How many periods are over.
    used : int
        Bit i: edge i of the path has been used in this one.
    """

    view: int = 0
    number: int = 0
    used: int = 0

    def merged(self, other: Period) -> Period:
        """Return what both know together.

        >>> Period(1, 4, 0b001).merged(Period(1, 4, 0b100))
        Period(view=1, number=4, used=5)
        >>> Period(1, 4, 0b001).merged(Period(1, 5, 0b100))
        Period(view=1, number=5, used=4)
        """
        if (self.view, self.number) == (other.view, other.number):
            return Period(self.view, self.number, self.used | other.used)
        return max(self, other, key=lambda period: (period.view, period.number))

    def after(self, edges: int) -> Period:
        """Return the next period, if all edges of a path of so many have been used in this one.

        >>> Period(1, 4, 0b111).after(3)
        Period(view=1, number=5, used=0)
        """
        if self.used == (1 << edges) - 1:
            return Period(self.view, self.number + 1)
        return self

    def wants(self, edge: int) -> bool:
        """Return whether an edge has still to be used."""
        return not self.used >> edge & 1

    def with_used(self, edge: int) -> Period:
        """Return it with one edge more that has been used."""
        return Period(self.view, self.number, self.used | 1 << edge)
