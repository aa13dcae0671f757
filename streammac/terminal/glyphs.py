"""Small drawings made of characters: bars and sparklines, for terminals that have Unicode and those that have not.

`streammac.terminal.render` and `streammac.chaos_report` draw with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that a terminal can show."""

    full: str
    empty: str
    levels: str
    """From the lowest to the highest."""
    mark: str
    """Stands before each of the four answers."""

    def bar(self, share: float, width: int) -> str:
        """Return a bar that shows a share between 0 and 1.

        >>> PLAIN.bar(0.5, 8)
        '####....'
        """
        full = round(min(1.0, max(0.0, share)) * width)
        return self.full * full + self.empty * (width - full)

    def spark(self, values: Sequence[float], width: int) -> str:
        """Return a line of at most so many characters that shows how values went.

        >>> PLAIN.spark([0, 1, 2, 3], 4)
        ' -*@'
        """
        if not values:
            return ""
        if len(values) > width:  # each character shows the last of its values
            values = [values[(n + 1) * len(values) // width - 1] for n in range(width)]
        low, high = min(values), max(values)
        top = len(self.levels) - 1
        span = (high - low) or 1.0
        return "".join(self.levels[round((value - low) / span * top)] for value in values)


FINE = Glyphs("█", "░", "▁▂▃▄▅▆▇█", "●")
PLAIN = Glyphs("#", ".", " .-:+*#@", "*")
