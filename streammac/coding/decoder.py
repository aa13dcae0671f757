"""A gradient from the codewords that have arrived: peeling, and a projection of what it leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streammac.coding.code import Codeword
from streammac.models.base import Floats


@dataclass(slots=True, eq=False)
class _Sum:
    left: set[int]
    value: Floats


class Decoder:
    """Takes codewords of one gradient in any order.

    Parameters
    ----------
    parts : int
        Of the gradient.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._sums: list[_Sum] = []
        self.found: dict[int, Floats] = {}
        """The parts that are known."""

    def add(self, word: Codeword, value: Floats) -> dict[int, Floats]:
        """Take in a codeword, (m,); return the parts that are known by it, and were not before.

        What is left of a sum when all known parts are taken off is a part itself if it is one alone; then it can be
        taken off others (peeling).
        """
        self._sums.append(_Sum(set(word), value))
        new: dict[int, Floats] = {}
        while True:
            for one in self._sums:
                for part in one.left & self.found.keys():
                    one.left.remove(part)
                    one.value = one.value - self.found[part]
            alone = next((one for one in self._sums if len(one.left) == 1), None)
            self._sums = [one for one in self._sums if one.left and one is not alone]
            if alone is None:
                return new
            (part,) = alone.left
            self.found[part] = new[part] = alone.value

    def estimate(self, length: int) -> Floats:
        """Return all parts of so many numbers each, (parts, m): those that are known, and of the others what sums tell.

        That is the projection of the gradient on the space of the codewords that have arrived, the least that agrees
        with all of them: a part of which nothing has arrived is 0.
        """
        parts = np.zeros((self._parts, length), np.float32)
        for part, value in self.found.items():
            parts[part] = value
        unknown = sorted({part for one in self._sums for part in one.left})
        if unknown:
            A = np.array([[part in one.left for part in unknown] for one in self._sums], np.float64)
            parts[unknown] = np.linalg.pinv(A) @ np.stack([one.value for one in self._sums])
        return parts
