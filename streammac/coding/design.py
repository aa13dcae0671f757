"""Codes of low weight that lose little when workers do: a search.

Each worker sends its share of the parts as they are, so that there is something to begin with and each arrival is of
use at once, then checks: sums of a few parts of others. Which ones is improved one by one. What counts first is the
share of the parts that is lost when some workers are erased; then, what codewords have in common.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

from streammac.coding.code import Code, Codeword, uncoded

PATTERNS = 64
"""Sets of erased workers that are tried at most, of all that there are."""
TRIES = 600


def designed(
    parts: int, workers: int, checks: int, weight: int, erased: int, seed: int = 0
) -> Code:
    """Return a code.

    Parameters
    ----------
    parts, workers : int
        Of the gradient, and who computes them.
    checks : int
        Sums that each worker sends after its own share.
    weight : int
        Parts in each of these.
    erased : int
        For how many lost workers the code is to be good.
    seed : int
        Of the search.
    """
    if not 1 <= weight <= parts - -(-parts // workers):
        raise ValueError(f"weight: expected 1 to the number of parts of others, got {weight}")
    chance = random.Random(seed)
    patterns = list(combinations(range(workers), erased))
    chance.shuffle(patterns)
    own = uncoded(parts, workers).workers
    foreign = [[p for p in range(parts) if (p,) not in words] for words in own]
    sums = [
        [tuple(sorted(chance.sample(foreign[w], weight))) for _ in range(checks)]
        for w in range(workers)
    ]
    best = _code(parts, own, sums)
    score = _score(best, patterns[:PATTERNS])
    for _ in range(TRIES if checks else 0):
        worker, number = chance.randrange(workers), chance.randrange(checks)
        before = sums[worker][number]
        kept = set(before) - {chance.choice(before)}
        kept.add(chance.choice([p for p in foreign[worker] if p not in before] or before))
        if len(kept) < weight:
            continue
        sums[worker][number] = tuple(sorted(kept))
        code = _code(parts, own, sums)
        found = _score(code, patterns[:PATTERNS])
        if found <= score:
            best, score = code, found
        else:
            sums[worker][number] = before
    return best


def _code(
    parts: int, own: Sequence[tuple[Codeword, ...]], sums: Sequence[Sequence[Codeword]]
) -> Code:
    return Code(parts, tuple((*mine, *more) for mine, more in zip(own, sums, strict=True)))


def _score(code: Code, patterns: Sequence[tuple[int, ...]]) -> tuple[float, float]:
    return sum(code.lost(erased) for erased in patterns), code.common
