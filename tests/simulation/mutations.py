"""Deliberate bugs of the protocol, each put in by replacing one function: the rules must find every one.

A simulation that finds nothing has shown nothing until it is known what it would have found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from streammac.averaging import AveragingMember
from streammac.consensus import member as consensus
from streammac.consensus.graph import suited
from streammac.coordinator.accounts import Accounts
from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.epoch_reports import EpochReports
from streammac.coordinator.moves import Moves
from streammac.coordinator.progress import Progress
from streammac.coordinator.stall import StallWatch
from streammac.delivery.closing import Closing
from streammac.delivery.handover import Handover
from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import Receiver
from streammac.delivery.records import Handed
from streammac.delivery.session import Session
from streammac.models.shuffling import Part
from streammac.points.batch_id_set import BatchIdSet
from streammac.ring import admission, recovery, rejoin
from streammac.ring.agenda import Agenda
from streammac.ring.member import Member
from streammac.ring.view_change import ViewChange
from streammac.store import Shard
from streammac.store.withdrawals import Withdrawals
from streammac.wire.messages import EpochPlan, Resume
from tests.simulation.coordinator import CoordinatorProcess

Change = Callable[..., Any]
"""Gets the function that it replaces, then that function's arguments."""


class UnknownMutation(ValueError):
    """No bug has that name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mutation:
    """A bug.

    Attributes
    ----------
    name : str
        Short.
    breaks : str
        What is wrong, in one sentence.
    places : tuple
        What is replaced: owner and name of a function, and by what.
    moving : bool
        It shows only where points move: stories without moves are passed over.
    averaging : bool
        The same of training by consensus.
    """

    name: str
    breaks: str
    places: tuple[tuple[Any, str, Change], ...]
    moving: bool = False
    averaging: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the bug."""
        with ExitStack() as stack:
            for owner, name, change in self.places:
                stack.enter_context(patch.object(owner, name, _changed(owner, name, change)))
            yield


def with_bug(name: str) -> AbstractContextManager[None]:
    """Have the bug of that name; without a name, none.

    Raises
    ------
    UnknownMutation
        If there is no such bug.
    """
    if not name:
        return nullcontext()
    chosen = next((mutation for mutation in MUTATIONS if mutation.name == name), None)
    if chosen is None:
        raise UnknownMutation(
            f"no mutation {name!r}; there are: {', '.join(m.name for m in MUTATIONS)}"
        )
    return chosen.applied()


def _changed(owner: Any, name: str, change: Change) -> Any:
    original = getattr(owner, name)
    if isinstance(original, property):
        getter = original.fget
        return property(lambda self: change(getter, self))
    return lambda *args, **kwargs: change(original, *args, **kwargs)


# -- members ---------------------------------------------------------------------------------------


def _has_all_train(original, member, token, *, starts):
    return original(member, token, starts=True)


def _gives_all_the_same_part(original, part, number, count, members):
    return dataclasses.replace(part, slice=0, slices=-(-count // members))


def _takes_old_tokens(original, token, view, epoch, name, **more):
    token = replace(token, view=max(token.view, view.number))
    return original(token, view, epoch, name, **more)


def _takes_old_resumes(original, member, resume):
    is_old = resume.view < member.view.number
    return original(member, replace(resume, view=member.view.number) if is_old else resume)


def _adopts_all(original, member, resume):
    mine = dict.fromkeys(member.epoch.copies, member.name)
    return original(member, replace(resume, holders=resume.holders | mine))


def _strikes_nobody_off(original, token, members, resume):
    return replace(token, view=resume.view)


def _strikes_leavers_off_everywhere(original, epoch, members, resume, seed, name):
    copies = {block: rejoin.edited(token, members, resume) for block, token in epoch.copies.items()}
    return original(dataclasses.replace(epoch, copies=copies), members, resume, seed, name)


def _forgets_what_it_trained(original, member, token, *, starts):
    member.epoch.trained.clear()
    return original(member, token, starts=starts)


def _keeps_no_copy(original, member, token):
    actions = original(member, token)
    if actions and not token.final and token.block not in member.epoch.holding:
        del member.epoch.copies[token.block]
    return actions


def _lays_out_for_whom_it_sees(original, member, number, plan, *args, **more):
    groups = member.model.groups_for(len(member.view.members))
    return original(member, number, replace(plan, groups=groups), *args, **more)


def _cuts_as_it_likes(original, member, number, plan, *args, **more):
    slices = member.model.slices_for(member.agenda.points, len(member.view.members))
    return original(member, number, replace(plan, slices=slices), *args, **more)


def _lays_out_only_what_it_trained_itself(
    original, member, number, plan, base, former, *, anew=False
):
    if not anew:
        return original(member, number, plan, base, former, anew=anew)
    with patch.object(member.model, "regrouped", lambda params, groups: params):
        return original(member, number, plan, base, former, anew=anew)


def _adopts_whatever_has_begun(original, progress, verdict):
    return original(progress, dataclasses.replace(verdict, restart=progress.plan.restart))


def _adopts_again(original, progress, resume):
    adoption = progress.adoption
    adopted = original(progress, resume)
    progress.adoption = adoption
    return adopted


def _is_never_frozen(original, member, done):
    view = member.view
    if view.frozen:
        member.view = dataclasses.replace(
            view, resume=Resume(view.number, member.epoch.number, EpochPlan(), ())
        )
    actions = original(member, done)
    member.view = view
    return actions


def _gives_nothing_to_laggards(original, epoch, resume, name):
    donors = {name: donor for name, donor in resume.donors.items() if name in resume.joining}
    return original(epoch, replace(resume, donors=donors), name)


# -- points ----------------------------------------------------------------------------------------


def _revokes_nothing(original, session, batches):
    original(session, batches)
    session.revoked = BatchIdSet()
    return []


def _forgets_owners(original, ledger, records):
    return original(ledger, [record for record in records if not isinstance(record, Handed)])


def _stores_in_any_session(original, receiver, batch):
    return batch.sender in receiver.sessions


def _acknowledges_what_failed(original, receiver, together, now):
    return [
        (peer, dataclasses.replace(taken, outcome="stored"))
        if taken.outcome == "refused"
        else (peer, taken)
        for peer, taken in original(receiver, together, now)
    ]


def _forgets_batch_ids(original, shard):
    original(shard)
    shard._batch_ids = BatchIdSet()


def _forgets_withdrawals(original, withdrawals, *args):
    original(withdrawals, *args)
    withdrawals.rows.clear()


def _lets_everything_go(original, closing, sender):
    return True


def _takes_a_refusal_for_an_answer(original, handover, worker, ack, now):
    return original(handover, worker, replace(ack, outcome="stored"), now)


def _remembers_what_it_gave(original, shard, batch_ids, *, remember, sender=None):
    return original(shard, batch_ids, remember=sender is None, sender=sender)


def _counts_no_withdrawals(original, accounts, name, counts):
    return original(accounts, name, replace(counts, withdrawn=0))


# -- the coordinator -------------------------------------------------------------------------------


def _takes_any_copy(original, copy):
    return copy.final, 0, 0, copy.held


def _takes_the_returned_at_their_word(original, core, name):
    core.views.ring[name] = core.membership.peers[name].incarnation
    return original(core, name)


def _waits_for_one_answer(original, change):
    return original(change) or bool(change.answers)


def _forgets_what_failed(original, shard, waiting, outcomes):
    return original(shard, waiting, list(outcomes))


def _does_nothing(original, *args, **kwargs):
    return None


def _never(original, *args, **kwargs):
    return False


def _does_not_wait_for_its_ring(original, core, *args):
    original(core, *args)
    core.views.expected.clear()


def _believes_late_reports(original, epoch_reports, report):
    began, epoch_reports.began = epoch_reports.began, {}
    result = original(epoch_reports, report)
    epoch_reports.began = began
    return result


def _believes_old_answers(original, change, holdings):
    return original(change, replace(holdings, resumed=change.view.number))


# -- rest ------------------------------------------------------------------------------------------


def _overlooks(what, idle):
    def change(original, agenda, plan):
        return original(dataclasses.replace(agenda, **{what: idle}), plan)

    return change


def _tells_nobody(original, member):
    return []


def _looks_after_nothing(original, core, peer):
    return []


# -- consensus -------------------------------------------------------------------------------------


def _averages_whatever_happens(original, member):
    epoch = member.epoch
    return suited(epoch.order[: min(len(epoch.blocks), len(epoch.trainers))])


def _takes_old_offers(original, member, message):
    now = {"view": member.view.number, "epoch": member.epoch.number}
    return original(member, replace(message, **now))


def _averages_without_being_heard(original, member):
    for name in member._heard:
        member._other(name).heard_me = member.iteration
    return original(member)


def _trains_any_copy(original, member, action):
    member._had = None
    return original(member, action)


def _works_while_it_waits(original, member):
    return member._own is not None or original(member)


MUTATIONS = (
    Mutation(
        "old tokens",
        "A member takes tokens of an older view: fencing is not checked.",
        ((admission, "admit", _takes_old_tokens),),
    ),
    Mutation(
        "old resumes",
        "A member that waits for a new view is resumed by the message of an older one.",
        ((Member, "_resume", _takes_old_resumes),),
    ),
    Mutation(
        "all adopt",
        "After a view every member goes on with every block of which it has a copy.",
        ((Member, "_rejoin", _adopts_all),),
    ),
    Mutation(
        "dead on the itinerary",
        "A view strikes nobody off the itineraries: blocks go to members that are gone.",
        ((rejoin, "edited", _strikes_nobody_off),),
    ),
    Mutation(
        "leavers struck off",
        "Leaving members are struck off all copies, so that the visit they are at does not show.",
        ((rejoin, "go_on", _strikes_leavers_off_everywhere),),
    ),
    Mutation(
        "trained again",
        "A member does not remember what it trained in this lap: a token that comes twice is trained twice.",
        ((Member, "_receive", _forgets_what_it_trained),),
    ),
    Mutation(
        "no copies",
        "A member keeps no copy of what it passes on.",
        ((Member, "_pass_on", _keeps_no_copy),),
    ),
    Mutation(
        "not frozen",
        "A member that has answered a view still passes on what it finishes.",
        ((Member, "_train_done", _is_never_frozen),),
    ),
    Mutation(
        "laggards left alone",
        "Who is an epoch behind does not get its last copies again.",
        ((rejoin, "gifts", _gives_nothing_to_laggards),),
    ),
    Mutation(
        "own layout",
        "A member lays out the blocks for the members that it sees, not as the epoch's plan says.",
        ((Member, "_open", _lays_out_for_whom_it_sees),),
    ),
    Mutation(
        "own slices",
        "A member cuts its shard into as many slices as suit itself, not as the epoch's plan says.",
        ((Member, "_open", _cuts_as_it_likes),),
    ),
    Mutation(
        "old layout",
        "A member that begins from another's model leaves that in the blocks in which it was.",
        ((Member, "_open", _lays_out_only_what_it_trained_itself),),
    ),
    Mutation(
        "any copy",
        "The ring resumes from any copy of a block, not from the most advanced one.",
        ((recovery, "_rank", _takes_any_copy),),
    ),
    Mutation(
        "the returned count",
        "A member that was taken for dead and comes back is asked for its copies like the others.",
        ((Coordinator, "_returned", _takes_the_returned_at_their_word),),
    ),
    Mutation(
        "one answer",
        "The ring resumes as soon as one of its members has answered.",
        ((ViewChange, "answered", _waits_for_one_answer),),
    ),
    Mutation(
        "view not persisted",
        "The coordinator does not save a view before it announces it.",
        ((CoordinatorProcess, "_save_the_fences", _does_nothing),),
    ),
    Mutation(
        "impatient restart",
        "A coordinator that was restarted does not wait for its ring to register.",
        ((Coordinator, "__init__", _does_not_wait_for_its_ring),),
    ),
    Mutation(
        "no stall watch",
        "Nobody notices that a token is lost although all are well.",
        ((StallWatch, "stalled", _never),),
    ),
    Mutation(
        "late reports",
        "Reports of a member on epochs before it began anew count for the ring.",
        ((EpochReports, "add", _believes_late_reports),),
    ),
    Mutation(
        "old answers",
        "What a member holds counts although the ring has told it to begin anew, and it has not heard of that.",
        ((ViewChange, "answer", _believes_old_answers),),
    ),
    Mutation(
        "adopted late",
        "The ring goes on from another model although a newer continuation has begun.",
        ((Progress, "judge", _adopts_whatever_has_begun),),
    ),
    Mutation(
        "adopted again",
        "Each view has the ring go on from the model that it was to go on from once.",
        ((Progress, "resumed", _adopts_again),),
    ),
    Mutation(
        "points overlooked",
        "A member rests although points have come.",
        ((Agenda, "is_empty", _overlooks("new_points", False)),),
    ),
    Mutation(
        "rest too soon",
        "A member rests although its Z step left something to improve.",
        ((Agenda, "is_empty", _overlooks("settled", True)),),
    ),
    Mutation(
        "orders overlooked",
        "A member rests although it has an order.",
        ((Agenda, "is_empty", _overlooks("restart", None)),),
    ),
    Mutation(
        "nobody woken",
        "Who begins an epoch before which the ring rests tells nobody.",
        ((Member, "_tell_all", _tells_nobody),),
    ),
    Mutation(
        "rest not looked after",
        "The coordinator waits for the end of an epoch while the ring rests: with orders that are due, or were lost.",
        ((Coordinator, "_rouse", _looks_after_nothing),),
    ),
    Mutation(
        "not durable",
        "Points are acknowledged before they are on the disk.",
        ((Shard, "commit", _does_nothing),),
    ),
    Mutation(
        "refusal acknowledged",
        "What the disk did not take is acknowledged all the same.",
        ((Receiver, "_stored", _acknowledges_what_failed),),
    ),
    Mutation(
        "half written",
        "Of batches that are written together, all count where the disk took only some.",
        ((Shard, "_write_all", _forgets_what_failed),),
    ),
    Mutation(
        "nothing revoked",
        "A batch goes to another worker, and the first one is never told that it is not its own any more.",
        ((Session, "revoke", _revokes_nothing),),
    ),
    Mutation(
        "owners forgotten",
        "The ledger does not say to which worker a batch was handed.",
        ((Ledger, "write", _forgets_owners),),
    ),
    Mutation(
        "any session",
        "A worker stores points of sessions that are over, or not agreed on.",
        ((Receiver, "_counts", _stores_in_any_session),),
    ),
    Mutation(
        "batch ids forgotten",
        "A shard that is opened again does not know which batches it has.",
        ((Shard, "_recover", _forgets_batch_ids),),
    ),
    Mutation(
        "withdrawals forgotten",
        "A shard that is opened again has what was withdrawn from it.",
        ((Withdrawals, "__init__", _forgets_withdrawals),),
    ),
    Mutation(
        "not closed",
        "A worker moves batches whose senders may still send them again.",
        ((Closing, "lets_go", _lets_everything_go),),
        moving=True,
    ),
    Mutation(
        "refusals withdrawn",
        "A batch is withdrawn where it was although the other worker has refused it.",
        ((Handover, "acknowledge", _takes_a_refusal_for_an_answer),),
        moving=True,
    ),
    Mutation(
        "moves forgotten",
        "A worker that was killed in the middle of a move does not take it up again.",
        ((Handover, "_go_on", _does_nothing),),
        moving=True,
    ),
    Mutation(
        "moved names",
        "A worker remembers the names of what it gave away, and takes what comes back for duplicates.",
        ((Shard, "withdraw", _remembers_what_it_gave),),
        moving=True,
    ),
    Mutation(
        "lost orders",
        "An order to move points that was lost is not given again.",
        ((Moves, "_overdue", _never),),
        moving=True,
    ),
    Mutation(
        "withdrawals not counted",
        "Points that were withdrawn still count as accepted.",
        ((Accounts, "count_shard", _counts_no_withdrawals),),
    ),
    Mutation(
        "never alone",
        "A block that one member is to train alone is trained by all.",
        ((Member, "_admit", _has_all_train),),
    ),
    Mutation(
        "same part",
        "All blocks that a member trains alone are trained on the same part of its shard.",
        ((Part, "of_block", _gives_all_the_same_part),),
    ),
    Mutation(
        "averaged through views",
        "Copies are averaged after a view as before it, though some are done and some are gone.",
        ((AveragingMember, "_graph", _averages_whatever_happens),),
        averaging=True,
    ),
    Mutation(
        "old offers",
        "A member takes copies of older views and epochs for those of this one.",
        ((AveragingMember, "_hear", _takes_old_offers),),
        averaging=True,
    ),
    Mutation(
        "averaged one-sidedly",
        "A member averages with whom it has heard, whether it was heard there or not.",
        ((consensus.Member, "_average", _averages_without_being_heard),),
        averaging=True,
    ),
    Mutation(
        "two copies",
        "A member trains a copy anew that falls to it, although it has trained one.",
        ((AveragingMember, "_taken_over", _trains_any_copy),),
        averaging=True,
    ),
    Mutation(
        "waiting is work",
        "A member says that it works while it waits for others: nobody notices a stall.",
        ((AveragingMember, "working", _works_while_it_waits),),
        averaging=True,
    ),
)
