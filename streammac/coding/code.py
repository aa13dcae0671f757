"""Codes over the parts of a gradient: which sums of parts each worker sends, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np

from streammac.models.base import Floats

Codeword: TypeAlias = tuple[int, ...]
"""The parts whose sum is sent, sorted: the derivative along a sparse direction."""


@dataclass(frozen=True, slots=True)
class Code:
    """What each worker computes and sends.

    Attributes
    ----------
    parts : int
        In how many parts of equal length a gradient is cut.
    workers : tuple of tuple of Codeword
        Of each worker, in the order in which it sends them.
    """

    parts: int
    workers: tuple[tuple[Codeword, ...], ...]

    @property
    def messages(self) -> int:
        """The most codewords that a worker sends."""
        return max(len(words) for words in self.workers)

    @property
    def load(self) -> int:
        """The most parts of the gradient that a worker computes."""
        return max(len({part for word in words for part in word}) for words in self.workers)

    @property
    def common(self) -> float:
        """What pairs of codewords of different workers have in common: mean squared cosine of the angle between them.

        As lines through the origin codewords are points of a projective space; the further they are from each other,
        the more two of them tell together.
        """
        found = [
            len(set(a) & set(b)) ** 2 / (len(a) * len(b))
            for mine, theirs in combinations(self.workers, 2)
            for a in mine
            for b in theirs
        ]
        return float(np.mean(found)) if found else 0.0

    def lost(self, erased: Iterable[int]) -> float:
        """Return the share of the parts that peeling does not find without these workers.

        >>> Code(3, (((0,), (1, 2)), ((1,), (0, 2)), ((2,), (0, 1)))).lost([0])
        0.0
        """
        gone = set(erased)
        masks = [
            sum(1 << part for part in word)
            for number, words in enumerate(self.workers)
            if number not in gone
            for word in words
        ]
        known, before = 0, -1
        while known != before:
            before = known
            for mask in masks:
                left = mask & ~known
                if left & (left - 1) == 0:
                    known |= left
        return 1.0 - known.bit_count() / self.parts


def uncoded(parts: int, workers: int) -> Code:
    """Return the code in which each part is computed once.

    >>> uncoded(4, 2).workers
    (((0,), (2,)), ((1,), (3,)))
    """
    return repeated(parts, workers, 1)


def repeated(parts: int, workers: int, times: int) -> Code:
    """Return the code in which each part is computed so many times, by workers that follow each other."""
    words: list[list[Codeword]] = [[] for _ in range(workers)]
    for again in range(times):
        for part in range(parts):
            words[(part + again) % workers].append((part,))
    return Code(parts, tuple(tuple(own) for own in words))


def cut(gradient: Floats, parts: int) -> Floats:
    """Return a gradient (D,) in parts of equal length, (parts, ceil(D / parts)); the last one ends with zeros."""
    length = -(-len(gradient) // parts)
    return np.pad(gradient, (0, parts * length - len(gradient))).reshape(parts, length)


def whole(parts: Floats, length: int) -> Floats:
    """Return the gradient (D,) of which these are the parts.

    >>> whole(cut(np.arange(5.0), 3), 5).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    return parts.reshape(-1)[:length]


def encoded(code: Code, worker: int, parts: Floats) -> Iterator[tuple[Codeword, Floats]]:
    """Yield what a worker sends of a gradient in parts, one message after the other."""
    for word in code.workers[worker]:
        yield word, parts[list(word)].sum(axis=0)
