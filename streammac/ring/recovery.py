"""From the members' answers to a view: how the ring goes on, with as little work lost as can be.

A pure decision of the coordinator. Of each block the most advanced copy goes on; members that are an
epoch behind, and those that join, get the model from somebody who has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streammac.wire.messages import Copy, Holdings, Resume


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
    needy = [
        name for name in sorted(absent) if name not in active or active[name].state == "training"
    ]
    # who leaves is asked last, and everybody is asked as seldom as can be
    givers = [name for name in ahead if name in members] or list(ahead)
    return Resume(
        view=view,
        epoch=epoch,
        plan=one.plan,
        trainers=tuple(sorted(trainers)),
        joining=tuple(sorted(set(members) - active.keys())),
        absent=tuple(sorted(absent)),
        holders=_holders(ahead),
        donors={name: givers[i % len(givers)] for i, name in enumerate(needy)},
    )


def _holders(ahead: Mapping[str, Holdings]) -> dict[str, str]:
    """Return who has the most advanced copy of each block."""
    best: dict[str, tuple[tuple[bool, int, int, bool], str]] = {}
    for name, answer in ahead.items():
        for copy in answer.copies:
            rank = _rank(copy)
            if copy.block not in best or rank > best[copy.block][0]:
                best[copy.block] = (rank, name)
    return {block: name for block, (_, name) in best.items()}


def _rank(copy: Copy) -> tuple[bool, int, int, bool]:
    # of two equal copies, the sender's and the receiver's, the one that has arrived: it may be in training
    return copy.final, copy.lap, -len(copy.itinerary), copy.held
