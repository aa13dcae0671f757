"""Who may have a name: a process that registers under the name of another one that may be alive.

A process that starts again has the same directory, and its predecessor is dead, since it held the directory's lock:
it is taken at once. Any other one has to wait until it is clear what became of the first: if that one is heard of
again, the second is refused; if it is silent, it is soon taken for lost, and the name is free.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streammac.wire.messages import Register

MAX_WAITING = 64
"""Processes that wait at a time; of more, those that came first begin to wait anew."""


@dataclass(slots=True)
class Contest:
    """The processes that wait for a name.

    Parameters
    ----------
    heartbeat_s : float
        A sign of life of the first counts if it is so much younger than the claim of the second: an older one may have
        been on its way when the first one died.
    """

    heartbeat_s: float
    _since: dict[tuple[str, int], float] = field(default_factory=dict)

    def refusal(self, first: Register, heard: float, second: Register, now: float) -> str | None:
        """Return why the second may not have the name; empty if it may, None as long as that is not clear.

        Parameters
        ----------
        first, second : Register
            Of the process that has the name, and of the one that wants it.
        heard : float
            When there was the last sign of life of the first.
        now : float
            Monotonic seconds, as ``heard``.
        """
        if (first.role, first.home, first.host) == (second.role, second.home, second.host):
            return ""
        contender = (second.name, second.incarnation)
        since = self._since.setdefault(contender, now)
        while len(self._since) > MAX_WAITING:
            del self._since[next(iter(self._since))]
        if heard <= since + self.heartbeat_s:
            return None
        return (
            f"{second.name}: process {first.pid} on {first.host} has this name - give this one another "
            "with --name"
        )
