"""How a member goes on after a view: what holds there from then on, and what others get from it.

Three ways. Who *joins* begins anew: it collects the final copies of the epoch under way. Who *lags* stays in
the epoch before, the last copies of which the others send. Everybody else *goes on* with those blocks whose
most advanced copy is there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from msgspec import structs

from streammac.ring.current_view import CurrentView
from streammac.ring.epoch import Epoch
from streammac.ring.member_actions import Send
from streammac.wire.messages import Copy, Holdings, ModelState, Resume, Token


def holdings(epoch: Epoch, view: CurrentView, name: str) -> Holdings:
    """Return a member's answer to the view: how far each of its copies is."""
    copies = tuple(
        Copy(block, token.lap, token.final, token.itinerary, block in epoch.holding, token.view)
        for block, token in sorted(epoch.copies.items())
    )
    return Holdings(
        view.number,
        name,
        epoch.state,
        epoch.number,
        epoch.plan,
        epoch.trainers,
        copies,
        view.resumed,
        bool(epoch.former),
    )


def gifts(epoch: Epoch, resume: Resume, name: str) -> list[Send]:
    """Return what the coordinator wants others to have from here.

    Who joins needs the model with which the epoch began; who is an epoch behind, that epoch's last copies.
    """
    if epoch.base is None or epoch.number != resume.epoch:
        return []
    model = ModelState(resume.view, epoch.number, dict(epoch.base))
    sent: list[Send] = []
    for needy in sorted(other for other, donor in resume.donors.items() if donor == name):
        if needy in resume.joining:
            sent.append(Send(needy, model))
            continue
        for token in epoch.former.values():
            sent.append(Send(needy, structs.replace(token, view=resume.view, itinerary=(needy,))))
    return sent


def lag(epoch: Epoch, members: Collection[str], resume: Resume, seed: int) -> Epoch:
    """Return the epoch of one that is behind: it trains nothing more, and collects what is missing.

    Its own copies are kept: those who are to send theirs may die before.
    """
    # a name that is back joins the newer epoch: in this one it has no part any more
    trainers = set(epoch.trainers) - set(resume.joining)
    return replace(epoch.lined_up(members, trainers, seed), holding={})


def go_on(epoch: Epoch, members: Collection[str], resume: Resume, seed: int, name: str) -> Epoch:
    """Return the epoch of one that carries on with the blocks whose most advanced copy it has."""
    mine = {block for block, holder in resume.holders.items() if holder == name}
    # the other copies stay as they are: struck off theirs, a visit of one that leaves would not show
    copies = {
        block: edited(token, members, resume) if block in mine else token
        for block, token in epoch.copies.items()
    }
    return replace(
        epoch.lined_up(members, resume.trainers, seed),
        copies=copies,
        holding={block: job for block, job in epoch.holding.items() if block in mine},
        # what was trained here and is lost may be trained again
        trained={block: token.lap - (name in token.itinerary) for block, token in copies.items()},
    )


def edited(token: Token, members: Collection[str], resume: Resume) -> Token:
    """Return a token of this epoch with the itinerary that the view allows."""
    left = set(token.itinerary)
    if token.final:
        left = (left & set(members)) | set(resume.absent)
    else:
        left &= set(resume.trainers)
    return structs.replace(token, view=resume.view, itinerary=tuple(sorted(left)))
