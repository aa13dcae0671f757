"""Damages, one after the other, each to a copy of its own."""

from __future__ import annotations

import itertools
import random
import shutil
from collections import Counter
from pathlib import Path

from tests.corruption.damages import damages
from tests.corruption.revival import revive


def hunt(root: Path, older: Path, folder: Path, count: int, seed: int) -> Counter[str]:
    """Do so many damages; return how many cost nothing, and how many were told of.

    Raises
    ------
    AssertionError
        If something is lost, doubled or changed in silence, told again, or not left as it is found.
    """
    copy = folder / "copy"
    _copy(root, copy)
    sound = revive(copy)
    assert sound.told == []
    outcomes: Counter[str] = Counter()
    for damage in itertools.islice(damages(root, random.Random(seed)), count):
        _copy(root, copy)
        damage.apply(copy, older)
        found = revive(copy)
        assert found.told or found.value == sound.value, (damage, found.told)
        assert not found.rows - sound.rows or found.told, ("doubled", damage)
        again = revive(copy)
        assert again.value == found.value, ("changes with each start", damage)
        outcomes["told" if found.told else "harmless"] += 1
    return outcomes


def _copy(root: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root, target)
