"""Which rows of a model travel in which block, and how the rows are found again.

Submodels of one kind (hash functions, decoders) are rows of one matrix. A block of them is named after its rows, the
first and the last: ``encoder/8-15``. So parameters say themselves how they are laid out, and models of any layout can
be read, and laid out anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from streammac.models.base import Array


def names(kind: str, total: int, groups: int, unit: int = 1) -> list[str]:
    """Return the names of the blocks of so many rows, in so many groups at most, as equal as can be.

    Groups begin at multiples of ``unit``, unless there are more groups than units.

    >>> names("decoder", 20, 3)
    ['decoder/0-5', 'decoder/6-12', 'decoder/13-19']
    >>> names("encoder", 20, 3, unit=4)
    ['encoder/0-3', 'encoder/4-11', 'encoder/12-19']
    """
    groups = max(1, min(groups, total))
    units = -(-total // unit)
    if units < groups:
        units, unit = total, 1
    bounds = [min(total, unit * (units * i // groups)) for i in range(groups + 1)]
    return [f"{kind}/{bounds[i]}-{bounds[i + 1] - 1}" for i in range(groups)]


def rows(block: str) -> slice:
    """Return the rows of a block.

    >>> rows("encoder/6-12")
    slice(6, 13, None)
    """
    first, last = block.split("/")[1].split("-")
    return slice(int(first), int(last) + 1)


def blocks_in(params: Iterable[str], kind: str, what: str = "weight") -> list[str]:
    """Return the blocks of a kind of which there is such a tensor, in the order of their rows.

    In models of an older release they are numbered.

    >>> blocks_in(["encoder/10-15/weight", "encoder/2-9/weight", "encoder/2-9/bias"], "encoder")
    ['encoder/2-9', 'encoder/10-15']
    """
    found = [name.rpartition("/")[0] for name in params if name.endswith(f"/{what}")]
    of_kind = [block for block in found if block.partition("/")[0] == kind]
    return sorted(of_kind, key=lambda block: int(block.split("/")[1].split("-")[0]))


def joined(params: Mapping[str, Array], kind: str, what: str) -> Array:
    """Return one tensor of all blocks of a kind as one, whatever their layout."""
    there = blocks_in(params, kind, what)
    if not there:
        raise KeyError(f"{kind}/{what}")
    return np.concatenate([params[f"{block}/{what}"] for block in there])
