"""Which workers a supervisor starts in a run directory, remembered from run to run.

A worker that was added has points in its shard; the next ``streammac up`` has to start it again, or they
would be out of reach. `LocalCluster` reads the roster at its start, and writes it when a
worker is added or has left for good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streammac.errors import ExitCode, Failure
from streammac.files import document
from streammac.names import BadName, check_name

_NUMBERED = re.compile(r"w(\d{1,9})")


@dataclass(slots=True)
class Roster:
    """Names of workers, and the number that the settings asked for when they were chosen.

    The names stay as they are until somebody asks for another number of workers.
    """

    path: Path
    asked: int
    names: list[str]
    damage: str = ""
    """What is wrong with the file, if its former generation had to do."""

    @classmethod
    def load(cls, path: Path, asked: int) -> Roster:
        """Return the roster of a run directory for so many workers.

        Raises
        ------
        Failure
            If a name in it is none.
        Damaged
            If the file is not as it was written.
        """
        found = document.load(path)
        known: dict[str, object] = found.content if found is not None else {}
        remembered = known.get("workers")
        names = [str(name) for name in remembered] if isinstance(remembered, list) else []
        try:
            for name in names:
                check_name(name)
        except BadName as error:
            raise Failure(ExitCode.BAD_INPUT, f"{path}: {error}") from None
        roster = cls(path, asked, names, found.damage if found is not None else "")
        if known.get("asked") != asked:
            del roster.names[asked:]
            roster.add(asked - len(roster.names))
        return roster

    def save(self) -> None:
        """Write it down."""
        document.save(self.path, {"asked": self.asked, "workers": self.names}, keep_former=True)

    def add(self, count: int, taken: Iterable[str] = ()) -> list[str]:
        """Take so many new names on, and return them; none of them is ``taken``."""
        used = {*self.names, *taken}
        numbers = [int(match[1]) for name in used if (match := _NUMBERED.fullmatch(name))]
        # beyond all numbers there are: nobody gets the name of a former one
        first = max(numbers, default=0) + 1
        new = [f"w{number}" for number in range(first, first + count)]
        self.names += new
        return new

    def forget(self, name: str) -> bool:
        """Take a name off; return whether it was there."""
        if name not in self.names:
            return False
        self.names.remove(name)
        return True
