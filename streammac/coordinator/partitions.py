"""Which connection between two workers does not carry: both are well, and tokens from one never reach the other.

After a stall the most advanced copy of a block is with the member that sent it last, and the way it did not
make is known. If that happens twice on the same way, one of the two is given up for a while: two
workers that reach the coordinator but not each other cannot be in one ring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from streammac.models.shuffling import ring_order
from streammac.ring.itinerary import next_stop
from streammac.wire.messages import Holdings, Resume

MEMORY_S = 30.0
"""Two stalls further apart have nothing to do with each other."""
Link = tuple[str, str]
"""From one member to another."""


def broken(resume: Resume, answers: Mapping[str, Holdings], seed: int) -> set[Link]:
    """Return the ways on which tokens were lost, judging by where the ring resumes after a stall.

    Parameters
    ----------
    resume : Resume
        How the ring goes on.
    answers : mapping of str to Holdings
        What the members said before.
    seed : int
        Seed of the ring order.
    """
    links = set()
    for block, holder in resume.holders.items():
        answer = answers[holder]
        copy = next(copy for copy in answer.copies if copy.block == block)
        if copy.held:
            continue
        order = ring_order(answer.trainers, seed, answer.epoch)
        others = sorted(set(copy.itinerary) - set(order))
        stop = next_stop((*order, *others), holder, copy.itinerary)
        if stop is not None and stop != holder:
            links.add((holder, stop))
    return links


@dataclass(slots=True)
class Partitions:
    """The ways that were found broken after the last stall."""

    _suspected: set[Link] = field(default_factory=set)
    _since: float = 0.0

    def stalled(self, links: set[Link], now: float) -> str | None:
        """Take what a stall has shown; return who is to be given up, None where that is not clear yet."""
        twice = links & self._suspected if now - self._since <= MEMORY_S else set()
        self._suspected, self._since = (set() if twice else links), now
        if not twice:
            return None
        count = Counter(name for link in sorted(twice) for name in link)
        return max(count, key=lambda name: (count[name], name))
