"""Edges whose other end fell silent before it said whether it has heard this one: they are averaged late, or never."""

from __future__ import annotations

from dataclasses import dataclass

from streammac.consensus.weights import metropolis, moves
from streammac.models.base import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """An iteration that has ended here without word of somebody who had been heard.

    Attributes
    ----------
    iteration : int
        Which.
    heard : int
        How many this member had heard.
    own, other : (D,) float arrays
        The two offers.
    """

    iteration: int
    heard: int
    own: Floats
    other: Floats


class Doubts:
    """Those of a member: one for each other at most, since who is silent offers nothing."""

    def __init__(self) -> None:
        self._open: dict[str, Doubt] = {}
        self._owed: Floats | None = None

    def add(self, name: str, doubt: Doubt) -> None:
        """Keep a doubt."""
        self._open[name] = doubt

    def forget(self, name: str) -> None:
        """Drop it: the other one is gone, and what it has averaged with it."""
        self._open.pop(name, None)

    def settle(self, name: str, past: int, heard_me: int, heard: int) -> None:
        """Take in that an iteration has ended there, the newest with this member heard, and how many it heard then."""
        doubt = self._open.get(name)
        if doubt is None or past < doubt.iteration:
            return
        del self._open[name]
        if heard_me == doubt.iteration:
            move = moves(doubt.own, [(metropolis(doubt.heard, heard), doubt.other)])
            self._owed = move if self._owed is None else self._owed + move

    def paid(self, w: Floats) -> Floats:
        """Return parameters moved by what settled doubts owe them."""
        paid, self._owed = (w if self._owed is None else w + self._owed), None
        return paid
