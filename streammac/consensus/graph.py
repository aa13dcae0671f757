"""Who averages with whom: graphs of members in which those that follow each other are neighbours.

So the order of the members is a path that connects all of them, whatever else the graph has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Graph:
    """Members and their links.

    Attributes
    ----------
    members : tuple of str
        In the order of the path; its edge i is between members i and i + 1.
    targets : mapping of str to tuple of str
        To whom each member sends, sorted. Undirected graphs have each link in both directions.
    """

    members: tuple[str, ...]
    targets: Mapping[str, tuple[str, ...]]

    def sources(self, name: str) -> tuple[str, ...]:
        """Return who sends to a member, sorted."""
        return tuple(sorted(one for one in self.targets if name in self.targets[one]))

    @property
    def edges(self) -> int:
        """How many edges the path has."""
        return max(0, len(self.members) - 1)

    def along(self, name: str) -> dict[str, int]:
        """Return a member's neighbours on the path, each with the number of the edge between them.

        >>> complete(("a", "b", "c")).along("b")
        {'a': 0, 'c': 1}
        """
        if name not in self.members:
            return {}
        place = self.members.index(name)
        beside = {place - 1: place - 1, place + 1: place}
        return {self.members[i]: e for i, e in beside.items() if 0 <= i < len(self.members)}


def complete(members: Sequence[str]) -> Graph:
    """Return the graph in which all are neighbours."""
    return _linked(members, range(1, len(members)))


MOST_COMPLETE = 8
"""Members that are all neighbours: among more, each would send more than it computes."""


def suited(members: Sequence[str]) -> Graph:
    """Return the graph of a cluster: complete where members are few, else exponential.

    >>> len(suited("abcd").targets["a"]), len(suited("abcdefghijklmnop").targets["a"])
    (3, 7)
    """
    return complete(members) if len(members) <= MOST_COMPLETE else exponential(members)


def ring(members: Sequence[str]) -> Graph:
    """Return the graph in which each has the one before and the one after it.

    >>> ring(("a", "b", "c", "d")).targets["a"]
    ('b', 'd')
    """
    return _linked(members, (1, -1))


def exponential(members: Sequence[str]) -> Graph:
    """Return the graph in which each has those 1, 2, 4, 8 ... places before and after it.

    Any two of n are within log2(n) links of each other, and nobody has more than 2 log2(n) neighbours
    (Assran et al., ICML 2019, use it in one direction: `pushed`).
    """
    return _linked(members, [s * (1 << i) for i in range(_doublings(members)) for s in (1, -1)])


def pushed(members: Sequence[str]) -> Graph:
    """Return the directed graph in which each sends to those 1, 2, 4, 8 ... places after it.

    >>> pushed(("a", "b", "c", "d")).targets["c"]
    ('a', 'd')
    """
    return _linked(members, [1 << i for i in range(_doublings(members))])


def _doublings(members: Sequence[str]) -> int:
    return max(0, len(members) - 1).bit_length()


def _linked(members: Sequence[str], distances: Sequence[int]) -> Graph:
    count = len(members)
    targets = {
        name: tuple(sorted({members[(i + d) % count] for d in distances} - {name}))
        for i, name in enumerate(members)
    }
    return Graph(tuple(members), targets)
