"""Where a token goes next: the next member of the ring order that is still on its itinerary.

Itineraries are sets (kept as sorted tuples), not counters, so that a change of membership is an edit
of the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def without(itinerary: Iterable[str], name: str) -> tuple[str, ...]:
    """Return the itinerary with one member struck off.

    >>> without(("w1", "w2", "w3"), "w2")
    ('w1', 'w3')
    """
    # what is sorted already is sorted again in no time; a set would lose its order
    return tuple(sorted(other for other in itinerary if other != name))


def next_stop(order: Sequence[str], here: str, itinerary: Iterable[str]) -> str | None:
    """Return the first member after ``here``, in ring order, that is on the itinerary.

    ``here`` itself comes last. None where nobody is left.

    >>> next_stop(("w3", "w1", "w2"), here="w2", itinerary=("w1", "w2"))
    'w1'
    >>> next_stop(("w3", "w1", "w2"), here="w2", itinerary=("w2",))
    'w2'

    Who is not in the order (it leaves) stands before the first one.

    >>> next_stop(("w3", "w1", "w2"), here="w4", itinerary=("w1", "w2"))
    'w1'
    """
    left = set(itinerary)
    start = order.index(here) + 1 if here in order else 0
    for name in (*order[start:], *order[:start]):
        if name in left:
            return name
    return None
