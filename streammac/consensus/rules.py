"""How long a member waits for its neighbours before it averages: rules that differ in nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol


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
            Neighbours whose offer may still come.
        wanted : collection of str
            Neighbours on the path to whom the edge has still to be used in this period.
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
        return not missing or (bool(heard) and len(missing) <= self.count)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Wait until anywhere on the path an edge is there that has still to be used in this period.

    That is the earliest time at which the period comes nearer to its end (the threshold of Xiong et al. 2021): its two
    ends see it, and everybody else follows.

    Attributes
    ----------
    backups : float
        The two ends wait besides for all neighbours but one, or but this share of them if that is more. 1 is the
        paper's rule: the edge is enough. The more workers, the earlier the first edge is there and the fewer average;
        but copies that hardly average drift apart.
    """

    backups: float = 0.25
    follows: ClassVar[bool] = True

    def ends(
        self, heard: Collection[str], missing: Collection[str], wanted: Collection[str]
    ) -> bool:
        """See `Rule.ends`."""
        if not heard and not missing:
            return True
        most = max(1.0, self.backups * (len(heard) + len(missing)))
        return len(missing) <= most and any(name in heard for name in wanted)


def rule_of(backups: int | Literal["dynamic"]) -> Rule:
    """Return the rule that ``training.backups`` asks for."""
    return Threshold() if backups == "dynamic" else Backups(backups)
