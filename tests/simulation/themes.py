"""Stories that are about one thing: what a mixture of all faults tells too seldom.

Where everything goes wrong at once, the next fault often mends what the last one broke. Seeds with certain last digits
therefore tell of one trouble alone, at the pace at which it matters; all others tell what they told before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.simulation.cluster import Size


@dataclass(frozen=True, slots=True)
class Theme:
    """What such a story is about.

    Attributes
    ----------
    faults : mapping of str to int
        What happens, and how often relative to each other.
    most : int
        So many faults at most.
    size : mapping
        What differs from a usual cluster.
    pace : mapping
        What differs from the usual pace of its workers.
    moving : mapping of str to int
        What happens while points move; nothing here: what happens then in other stories, too.
    """

    faults: Mapping[str, int]
    most: int
    size: Mapping[str, Any]
    pace: Mapping[str, float]
    moving: Mapping[str, int] = field(default_factory=dict)

    def applied(self, size: Size) -> Size:
        """Return the cluster that such a story is told of."""
        return replace(size, **self.size, pace=replace(size.pace, **self.pace))


THEMES = {
    1: Theme({"cut": 1}, 12, {"slowest_s": 0.05, "workers": 4}, {"visit": 0.02}),
    3: Theme(
        {"kill": 2, "drain": 3, "join": 2},
        3,
        {"slowest_s": 0.05, "jitter": 0.1, "submodels": 3, "laps": 1, "epochs": 0},
        {"visit": 0.02, "z_step": 0.02},
    ),
    4: Theme(
        {"hush": 1},
        4,
        {"epochs": 0},
        {"visit": 0.06, "z_step": 0.02},
    ),
    7: Theme({"join": 1}, 1, {"keep": None}, {}, {"orphan": 1}),
    8: Theme(
        {"churn": 1},
        6,
        {"slowest_s": 0.05, "jitter": 0.1, "epochs": 0, "workers": 5},
        {"load": 0.05, "visit": 0.06, "z_step": 0.02},
    ),
    9: Theme(
        {
            "kill": 5,
            "hang": 3,
            "join": 3,
            "drain": 4,
            "exodus": 2,
            "cut": 3,
            "echo": 1,
            "split": 1,
            "coordinator": 3,
        },
        8,
        {"alone": True, "laps": 1},
        {},
    ),
}
"""By the last digit of the seed.

1: tokens are lost, and nothing else goes wrong. 3: views change where epochs are short and messages slow. 4: the
coordinator is cut off for a while from a ring that turns, and hears all its reports afterwards. 7: a worker that gives
points dies, and who got them gives them on. 8: views follow each other while messages come again and late. 9: each
block is trained by one worker alone, whatever befalls the ring; where the digit before is odd, by consensus.
"""
BACKUPS: tuple[int | Literal["dynamic"], ...] = ("dynamic", "dynamic", 0, 1, "dynamic")
"""Of stories of consensus, one after the other; in the last of these messages are lost, and nothing else goes wrong."""


def theme_of(seed: int) -> Theme | None:
    """Return what a story is about, None: everything."""
    theme = THEMES.get(seed % 10)
    if theme is None or not tells_of_averages(seed):
        return theme
    number = seed // 20 % len(BACKUPS)
    faults = THEMES[1].faults if number == len(BACKUPS) - 1 else theme.faults
    return replace(theme, faults=faults, size={**theme.size, "backups": BACKUPS[number]})


def tells_of_averages(seed: int) -> bool:
    """Return whether workers train by consensus in a story."""
    return seed % 20 == 19
