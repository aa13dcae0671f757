"""What a member still has to train for. Where nobody has anything, the ring rests.

The member that finishes an epoch's first block proposes to rest, in the plan of the next epoch, when the continuation
is over and it has nothing to do itself. All others see that plan before they come to the next epoch: who has something
to do begins it all the same, and wakes the others. So nobody is asked, and nobody is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from streammac.wire.messages import EpochPlan, RestartContinuation


@dataclass(slots=True)
class Agenda:
    """What one member knows of work to come.

    Attributes
    ----------
    ever_ends : bool
        False: training goes on whatever there is to do, as in deterministic runs.
    new_points : bool
        Points were stored here since the newest epoch was opened.
    settled : bool
        The newest Z step went through all points, and hardly changed any.
    restart : RestartContinuation or None
        The newest order of the coordinator.
    points : int
        Points that were here at the newest visit.
    """

    ever_ends: bool = False
    new_points: bool = False
    settled: bool = False
    restart: RestartContinuation | None = None
    points: int = 0

    def is_empty(self, plan: EpochPlan) -> bool:
        """Return whether an epoch of this plan would leave everything as it is, as far as is known here."""
        waits = self.restart is not None and self.restart.number > plan.restart
        return self.ever_ends and self.settled and not self.new_points and not waits
