"""How long a member waits for its neighbours before it averages: rules that differ in nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Rule(Protocol):
    """When an iteration ends at a member."""

    @property
    def follows(self) -> bool:
        """Whether an iteration that has ended at a neighbour ends here, too."""
        ...

    def ends(
        self, heard: Collection[str], missing: Collection[str], wanted: Collection[str]
    ) -> bool:
        """Return whether the iteration ends.

        Parameters
        ----------
        heard : collection of str
            Neighbours of which there is an offer.
        missing : collection of str
            Neighbours whose offer may still come; where there are none, the iteration ends whatever is said here.
        wanted : collection of str
            Neighbours on the path to whom the edge has not been used in this period.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backups:
    """Wait for all neighbours but so many, the slowest: a fixed number of backup workers. 0: wait for all."""

    count: int = 0
    follows: ClassVar[bool] = False

    def ends(
        self, heard: Collection[str], missing: Collection[str], wanted: Collection[str]
    ) -> bool:
        """See `Rule.ends`. At least one neighbour is waited for."""
        return bool(heard) and len(missing) <= self.count


@dataclass(frozen=True, slots=True)
class Threshold:
    """Wait until anywhere on the path an edge is there that has not been used in this period.

    That is the earliest time at which the period comes nearer to its end (the threshold of Xiong et al. 2021): its two
    ends see it, and everybody else follows.
    """

    follows: ClassVar[bool] = True

    def ends(
        self, heard: Collection[str], missing: Collection[str], wanted: Collection[str]
    ) -> bool:
        """See `Rule.ends`."""
        return any(name in heard for name in wanted)
