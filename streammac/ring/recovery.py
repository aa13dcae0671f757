"""From the members' answers to a view: how the ring goes on, with as little work lost as can be.

A pure decision of the coordinator. Of each block the most advanced copy goes on; members that are an
epoch behind, and those that join, get the model from somebody who has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

from streammac.wire.messages import Copy, Holdings, Resume

Rank: TypeAlias = tuple[bool, int, int, int, bool]


def resumption(
    view: int, members: Collection[str], answers: Mapping[str, Holdings]
) -> Resume | None:
    """Return how the ring resumes; None if nobody holds anything that could go on.

    Parameters
    ----------
    view : int
        Number of the view.
    members : collection of str
        Its members.
    answers : mapping of str to Holdings
        Answers of those that were in the ring before, leaving ones included. Others have nothing to say:
        whatever they hold may have been replaced since.
    """
    active = {name: a for name, a in answers.items() if a.state != "joining"}
    if not active:
        return None
    epoch = max(answer.epoch for answer in active.values())
    ahead = {name: a for name, a in sorted(active.items()) if a.epoch == epoch}
    one = next(iter(ahead.values()))
    staying = set(members) & active.keys()
    # where all who trained are gone, those who came to join take the epoch over
    trainers = (set(one.trainers) & staying) or set(members)
    absent = set(members) - ahead.keys()
    joining = set(members) - active.keys()
    behind = {name for name in absent & active.keys() if active[name].state == "training"}
    # who leaves is asked last, and everybody is asked as seldom as can be
    givers = [name for name in ahead if name in members] or list(ahead)
    formers = [name for name in givers if ahead[name].former]
    formers = formers or [name for name in ahead if ahead[name].former]
    if not formers:  # all who could help are gone: that epoch is given up, the present one is not
        joining, behind = joining | behind, set()
    donors = {name: formers[i % len(formers)] for i, name in enumerate(sorted(behind))}
    donors |= {name: givers[i % len(givers)] for i, name in enumerate(sorted(joining), len(donors))}
    return Resume(
        view=view,
        epoch=epoch,
        plan=one.plan,
        trainers=tuple(sorted(trainers)),
        joining=tuple(sorted(joining)),
        absent=tuple(sorted(absent)),
        holders=_holders(ahead),
        donors=donors,
    )


def _holders(ahead: Mapping[str, Holdings]) -> dict[str, str]:
    """Return who has the most advanced copy of each block."""
    best: dict[str, tuple[Rank, str]] = {}
    for name, answer in ahead.items():
        for copy in answer.copies:
            rank = _rank(copy)
            if copy.block not in best or rank > best[copy.block][0]:
                best[copy.block] = (rank, name)
    return {block: name for block, (_, name) in best.items()}


def _rank(copy: Copy) -> Rank:
    # itineraries compare within a view only: with a new one, members are struck off or added. Of two equal
    # copies, the sender's and the receiver's, the one that has arrived goes on: it may be in training
    return copy.final, copy.lap, copy.view, -len(copy.itinerary), copy.held
