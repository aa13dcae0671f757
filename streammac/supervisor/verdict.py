"""Whether a run was one: what its processes came to, looked at after all of them have ended.

`run.supervise` asks it, so that a run in which a source failed or a process could not be helped does not end with 0,
however short it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from streammac.errors import ExitCode, Failure
from streammac.supervisor.supervised_process import SupervisedProcess
from streammac.wire.status import ClusterStatus

LOOP = 2
"""Deaths with no healthy while between them: what restarts do not mend."""
LONG_S = 30.0
"""In so long a feed has something stored, or nothing goes through."""


def verdict(
    children: Sequence[SupervisedProcess],
    final: ClusterStatus | None,
    seconds: float,
    unsaved: str = "",
) -> Failure | None:
    """Return why a run failed, None if it did not.

    Parameters
    ----------
    children : sequence of SupervisedProcess
        All of them, ended.
    final : ClusterStatus or None
        The last that the coordinator told; None if it never answered.
    seconds : float
        How long the run was.
    unsaved : str
        What of the supervisor's files could not be written to the last, and why.
    """
    if final is None and unsaved:
        return Failure(ExitCode.BAD_INPUT, f"the cluster could not begin: {unsaved} - make room")
    for one in children:
        why = _trouble(one, answered=final is not None)
        if why is not None:
            return Failure(ExitCode.PROCESS_DIED, f"{why}{one.child.exit_message()}")
    points = final.points if final else None
    if points and seconds >= LONG_S and points.sent > points.dead_lettered and not points.accepted:
        text = f"nothing was stored: {points.sent:,} points were sent and none was acknowledged"
        return Failure(
            ExitCode.PROCESS_DIED, f"{text} - see the events, and the logs of the workers"
        )
    return None


def _trouble(one: SupervisedProcess, *, answered: bool) -> str | None:
    """Return what is wrong with the end of a process, as the beginning of a message; None: nothing."""
    code = one.exit_code or 0
    if one.state == "down" and not one.is_non_retryable:
        return "its restarts are spent: "
    if one.is_non_retryable or (one.state == "running" and code > 0):
        return ""
    if one.killed and one.exit_code == ExitCode.OK and answered:
        return None  # not its own doing, and well in the end
    if one.policy.deaths >= LOOP or (one.policy.deaths and not answered):
        return f"it died {one.policy.deaths} times, and was not well since: "
    return None
