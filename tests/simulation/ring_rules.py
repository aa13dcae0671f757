"""What must hold in the ring at any time, looked at after each event of each member.

The rules know every visit that was ever made, and who was in the ring when the coordinator let it resume; from that,
and not from what the coordinator believes, they tell what may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from streammac.averaging import AveragingMember
from streammac.coordinator.epoch_reports import EpochReports, EpochResult
from streammac.coordinator.membership import Membership
from streammac.models.base import Array, Block
from streammac.models.shuffling import Part
from streammac.models.signature import Signature
from streammac.ring.epoch import part_of
from streammac.ring.member import Event, Member
from streammac.ring.member_actions import Action, OpenEpoch, Report, Send, Train, TrainDone
from streammac.ring.view_change import ViewChange
from streammac.wire.messages import EpochPlan, EpochReport, Heard, Offer, Resume, Token, View
from tests.simulation.kernel import Violation
from tests.simulation.visits import Visit, VisitedCopies, VisitedModel, Visits
from workers.transports.base import RingMessage

if TYPE_CHECKING:
    from tests.simulation.worker import WorkerProcess

REMEMBERED = 4
"""Epochs behind the newest one whose visits are still known."""


class Steps:
    """How many gradient steps were made in each epoch."""

    def __init__(self) -> None:
        self._made: dict[int, dict[int, int]] = {}
        self._lost: dict[int, int] = {}
        self._seen: dict[str, int] = {}

    def made(self, address: str, member: AveragingMember, lost: int) -> None:
        """Look at a member that may have made one; so many messages were lost before."""
        epoch, new = member.epoch.number, member.iterations - self._seen.get(address, 0)
        self._seen[address] = member.iterations
        self._lost.setdefault(epoch, lost)
        by_view = self._made.setdefault(epoch, {})
        if new:
            by_view[member.view.number] = by_view.get(member.view.number, 0) + new

    def of(self, epoch: int, lost: int) -> int | None:
        """Return those of an epoch; None where it was begun anew, or a message was lost since it began."""
        by_view = self._made.get(epoch, {})
        if len(by_view) != 1 or self._lost[epoch] != lost:
            return None
        return next(iter(by_view.values()))


class RingRules:
    """The rules, and what they remember.

    Parameters
    ----------
    model : VisitedModel
        What is trained.
    visits : Visits
        All visits.
    processes : mapping of str to WorkerProcess
        By address, the dead ones included.

    Attributes
    ----------
    ring : dict of str to int
        Who was in the ring when it last resumed: names and incarnations.
    lines : dict
        By epoch and block, the visits that make the newest state of the block, in order.
    lost : int
        Visits that were lost, with those who had made them.
    adopting : (int, int) or None
        Number of the continuation after which the ring is to go on from another model, and that model's mark.
    """

    def __init__(
        self, model: VisitedModel, visits: Visits, processes: Mapping[str, WorkerProcess]
    ) -> None:
        self.model = model
        self.visits = visits
        self.processes = processes
        self.ring: dict[str, int] = {}
        self.lines: dict[tuple[int, str], list[int]] = {}
        self._parts: dict[tuple[int, int], Part] = {}
        self._alone: dict[tuple[int, int, str, Part], str] = {}
        self.lost = 0
        self.adopting: tuple[int, int] | None = None
        self.lost_messages: Callable[[], int] = lambda: 0
        """Returns how many messages were lost on links so far."""
        self._steps = Steps()
        self.on_view: Callable[[], None] = lambda: None
        """Called when a view is announced for the first time."""
        self._views: dict[int, View] = {}
        self._resumes: dict[int, Resume] = {}
        self._carriers: set[str] = set()
        """Those of the ring whose copies count; who begins anew is one of them once it has."""
        self._places: dict[tuple[int, int, str], tuple[str, str]] = {}
        self._parted: set[tuple[str, int]] = set()
        self._entitled: set[tuple[str, int]] = set()
        """Members whose work the ring must not lose: those that the coordinator had no reason to give up."""
        self._disclaimed: set[int] = set()
        self._began: dict[str, int] = {}
        """The view in which each member began anew."""
        self._seen: dict[str, int] = {}
        self._done = -1
        self._taken_over: set[int] = set()
        """Epochs whose trainers all left, and which others ended for them."""

    # -- the coordinator ------------------------------------------------------------------

    def announced(self, view: View) -> None:
        """Look at a view that is sent: a number is never used for two."""
        if view.number not in self._views:
            self.on_view()
        known = self._views.setdefault(view.number, view)
        if known is not view:
            raise Violation(f"view {view.number} is announced twice: {known} and {view}")

    def parted(self, name: str, incarnation: int) -> None:
        """Take notice that the coordinator has had reason to go on without a process, or that it has left."""
        self._parted.add((name, incarnation))

    def resumed(self, resume: Resume, change: ViewChange | None, membership: Membership) -> None:
        """Look at a decision that is sent: no work of a survivor is lost, and one hop of each who is gone."""
        known = self._resumes.get(resume.view)
        if known is resume:
            return
        if known is not None:
            raise Violation(f"view {resume.view} resumes twice, and differently")
        self._resumes[resume.view] = resume
        assert change is not None
        assert change.resume is resume
        is_adopted = self._is_adopted(resume)
        self._places.clear()
        self._entitled = {
            (name, incarnation)
            for name, incarnation in self.ring.items()
            if (peer := membership.find(name, incarnation)) is not None
            and (peer.state == "alive" or (peer.here and not resume.cold))
            and (name, incarnation) not in self._parted
            and name in self._carriers
        }
        self._parted.clear()
        for name, answer in sorted(change.answers.items()):
            is_carrier = self.ring.get(name) == change.members[name] and name in self._carriers
            if answer.state != "joining" and not is_carrier:
                raise Violation(f"view {resume.view} counts what {name} holds of another ring")
        if resume.cold:
            self._began_cold(is_adopted=is_adopted)
        else:
            self._ranks_tell_visits(resume, change)
            for epoch, block in sorted(self.lines):
                if epoch >= resume.epoch:
                    self._went_on(epoch, block, resume, change)
        self.ring = dict(change.members)
        anew = self.ring.keys() if resume.cold else self.ring.keys() - change.answers.keys()
        anew |= {name for name, answer in change.answers.items() if answer.state == "joining"}
        anew |= set(resume.joining)
        self._carriers = self.ring.keys() - anew
        self._began.update(dict.fromkeys(sorted(anew), resume.view))
        self._disclaim({(name, self.ring[name]) for name in anew})
        if set(resume.trainers) <= set(resume.joining):
            self._taken_over.add(resume.epoch)

    def _ranks_tell_visits(self, resume: Resume, change: ViewChange) -> None:
        """Of two copies that rank alike neither has a visit that the other has not."""
        seen: dict[tuple[str, bool, int, int], list[int]] = {}
        for name, answer in sorted(change.answers.items()):
            member = self.processes[f"{name}#{change.members[name]}"].member
            if member is None or answer.state == "joining" or answer.epoch != resume.epoch:
                continue
            for block, token in member.epoch.copies.items():
                rank = (block, token.final, token.lap, len(token.itinerary))
                visits = _numbers(token.tensors[block])
                if seen.setdefault(rank, visits) != visits:
                    raise Violation(
                        f"two copies of {block} rank alike in view {resume.view}, and one of {name} is "
                        f"another one: {self._tell(visits)}, not {self._tell(seen[rank])}"
                    )

    def _disclaim(self, anew: set[tuple[str, int]]) -> None:
        """Remember that who begins anew answers no more for what it has done before."""
        for line in self.lines.values():
            for number in line:
                if (self.visits[number].name, self.visits[number].incarnation) in anew:
                    self._disclaimed.add(number)

    def _is_adopted(self, resume: Resume) -> bool:
        """Return whether the ring begins from a model that it was to go on from, once, after that continuation."""
        adopting, self.adopting = self.adopting, None
        if adopting is None or not resume.cold or mark_of(resume.tensors) != adopting[1]:
            return False
        if resume.plan.fresh or resume.plan.restart != adopting[0]:
            raise Violation(
                f"what is to follow continuation {adopting[0]} is taken in {resume.plan}"
            )
        if resume.epoch <= self._done:
            raise Violation(f"epoch {resume.epoch} begins again, though epoch {self._done} is done")
        return True

    def _began_cold(self, *, is_adopted: bool) -> None:
        if is_adopted:
            self._entitled = set()  # what they hold is let go
        for name, incarnation in sorted(self._entitled):
            member = self.processes[f"{name}#{incarnation}"].member
            if member is not None and member.epoch.state != "joining":
                raise Violation(
                    f"the ring begins anew although {name} holds epoch {member.epoch.number}"
                )
        self.lines.clear()

    def _went_on(self, epoch: int, block: str, resume: Resume, change: ViewChange) -> None:
        line = self.lines[epoch, block]
        holder = resume.holders.get(block) if epoch == resume.epoch else None
        kept: list[int] = []
        if holder is not None:
            process = self.processes[f"{holder}#{change.members[holder]}"]
            assert process.member is not None
            copy = process.member.epoch.copies.get(block)
            if copy is None:
                raise Violation(
                    f"{block} of epoch {epoch} goes on from {holder}, who has no copy of it"
                )
            kept = _numbers(copy.tensors[block])
        if kept != line[: len(kept)]:
            raise Violation(
                f"{block} of epoch {epoch} goes on from a copy of {holder} that is not on its line: "
                f"{self._tell(kept)} after {self._tell(line)}"
            )
        lost = line[len(kept) :]
        for number in lost:
            visit = self.visits[number]
            if (visit.name, visit.incarnation) in self._entitled and number not in self._disclaimed:
                raise Violation(f"lost, though who made it is in the ring: {visit}")
        makers = {(self.visits[n].name, n in self._disclaimed) for n in lost}
        passed_on = [n for n in lost[:-1] if self._witnesses(self.visits[n], change)]
        if passed_on and len(makers) == 1:
            raise Violation(
                f"one that is gone took more than its last hop with it: {self._tell(lost)}"
            )
        self.lost += len(lost)
        del line[len(kept) :]

    def _witnesses(self, visit: Visit, change: ViewChange) -> set[str]:
        """Return who trained beside the maker of a visit, who passed it on, and has been in the ring ever since.

        One that has left the ring may be here still, with an old copy.
        """
        resume = self._resumes[visit.view]
        trained = set(resume.trainers)
        if visit.epoch > resume.epoch:
            trained = {member.name for member in self._views[visit.view].members}
        stayed = change.carriers - {member.name for member in change.view.leaving} - {visit.name}
        return {name for name in trained & stayed if self._began.get(name, 0) <= visit.view}

    def reported(self, report: EpochReport, epoch_reports: EpochReports, done: int) -> None:
        """Look at a report that the coordinator has taken; ``done`` was the newest complete epoch before it."""
        counts = (
            epoch_reports.done != done
            or epoch_reports._open.get(report.epoch, {}).get(report.name) is report
        )
        if counts and report.view < self._began.get(report.name, 0):
            raise Violation(
                f"{report.name}'s report of view {report.view} counts, and it began anew in view "
                f"{self._began[report.name]}"
            )

    def finished(self, result: EpochResult) -> None:
        """Look at an epoch that the coordinator takes for done: its model is the one that was trained."""
        self._done = result.epoch
        if result.params:
            self._has_its_layout(f"the model of epoch {result.epoch}", result.plan, result.params)
        for block, tensor in sorted(result.params.items()):
            line = self.lines.get((result.epoch, block))
            if line is not None and _numbers(tensor) != line:
                raise Violation(f"the model of epoch {result.epoch} is another one: {block}")

    # -- members --------------------------------------------------------------------------

    def heard(self, worker: WorkerProcess, event: Event, actions: list[Action]) -> None:
        """Look at a member that has taken an event."""
        member = worker.member
        assert member is not None
        self._keeps_to_its_view(worker, member, event, actions)
        if isinstance(member, AveragingMember):
            self._steps.made(worker.address, member, self.lost_messages())
            for action in actions:
                self._averages_where_all_take_part(worker, action)
        for action in actions:
            if isinstance(action, OpenEpoch) and not action.plan.fresh:
                model = f"{worker.name} begins epoch {action.epoch}, and its model"
                self._has_its_layout(model, action.plan, action.params)
        is_in_ring = self.ring.get(worker.name) == worker.incarnation
        # who leaves begins nothing but what the whole ring begins anew
        resume = member.view.resume
        begins = resume is not None and (resume.cold or not member.view.leaving)
        if is_in_ring and begins and member.view.number == max(self._resumes):
            self._carriers.add(worker.name)
        if is_in_ring and worker.name in self._carriers:
            if isinstance(event, TrainDone):
                self._train_done(member, event)
                self._on_its_slice(member, event)
            if not member.view.frozen:
                self._has_true_copies(worker, member)
            for action in actions:
                if isinstance(action, Report):
                    self._reports(worker, action)
        self._is_alone_with_its_tokens(worker, member, actions)
        self._rests_rightly(worker, member)

    def _rests_rightly(self, worker: WorkerProcess, member: Member) -> None:
        """Nobody rests who has something to do."""
        view, agenda = member.view, member.agenda
        if (
            not worker.rests
            or view.outside
            or view.leaving
            or 0 < member.epochs <= member.epoch.number
        ):
            return
        if worker.has_new_points:
            raise Violation(f"{worker.name} rests, and has points that it has not trained on")
        if not agenda.settled:
            raise Violation(f"{worker.name} rests, and its last Z step left something to improve")
        if agenda.restart is not None and agenda.restart.number > member.epoch.plan.restart:
            raise Violation(f"{worker.name} rests, and has not carried out order {agenda.restart}")

    def _keeps_to_its_view(
        self, worker: WorkerProcess, member: Member, event: Event, actions: list[Action]
    ) -> None:
        view = member.view
        if view.number < self._seen.get(worker.address, 0):
            raise Violation(f"{worker.name} went back to view {view.number}")
        self._seen[worker.address] = view.number
        if not view.frozen and view.resume is not self._resumes.get(view.number):
            raise Violation(f"{worker.name} goes on in view {view.number}, as no one decided")
        number = _view_of(event)
        if number is not None and number < view.number and actions:
            raise Violation(f"{worker.name}, in view {view.number}, acts on view {number}: {event}")
        for action in actions:
            acted = _view_of(action.message) if isinstance(action, Send) else None
            if isinstance(action, Train):
                acted = action.token.view
            if acted is not None and acted != view.number:
                raise Violation(f"{worker.name}, in view {view.number}, works for view {acted}")
        if view.frozen and any(isinstance(action, Send) for action in actions):
            raise Violation(f"{worker.name} passes something on before view {view.number} resumes")

    def _train_done(self, member: Member, done: TrainDone) -> None:
        token = done.job.token
        copy = member.epoch.copies.get(token.block)
        if not done.job.visits or copy is None or copy.tensors is not done.tensors:
            return
        line = self.lines.setdefault((token.epoch, token.block), [])
        if isinstance(member, AveragingMember) and not len(done.tensors[token.block]):
            return  # it had a copy already, or had not begun with this one when it left
        *before, number = _numbers(done.tensors[token.block])
        visit = self.visits[number]
        if before != line:
            raise Violation(
                f"{visit} was of a copy that is not the newest: {self._tell(before)}, "
                f"not {self._tell(line)}"
            )
        if visit in (self.visits[other] for other in before):
            raise Violation(f"trained twice in one lap: {visit}")
        line.append(number)
        for epoch, block in list(self.lines):
            if epoch < token.epoch - REMEMBERED:
                del self.lines[epoch, block]

    def _on_its_slice(self, member: Member, done: TrainDone) -> None:
        """All who train a block in an epoch do so on the same slice of their shards.

        Blocks that a member trains alone are each on another slice, unless some of them were begun by one that is gone.
        """
        token = done.job.token
        if not done.job.visits or member.epoch.copies.get(token.block) is None:
            return
        resume = member.view.resume_of(token.epoch)
        if done.job.block.alone and (resume is None or resume.cold):
            taken = self._alone.setdefault(
                (token.view, token.epoch, member.name, done.job.part), token.block
            )
            if taken != token.block:
                raise Violation(
                    f"{member.name} trains {token.block} and {taken} on {done.job.part}"
                )
        if not done.job.block.alone:
            first = self._parts.setdefault((token.view, token.epoch), done.job.part)
            if done.job.part != first:
                raise Violation(
                    f"{member.name} trains in epoch {token.epoch} on {done.job.part}, not {first}"
                )
        for known in (self._parts, self._alone):
            for old in [one for one in known if one[1] < token.epoch - REMEMBERED]:
                del known[old]

    def _has_true_copies(self, worker: WorkerProcess, member: Member) -> None:
        epoch = member.epoch
        for block, token in epoch.copies.items():
            line = self.lines.get((epoch.number, block))
            copy = _numbers(token.tensors[block])
            if token.final and line is not None and copy != line:
                raise Violation(
                    f"{worker.name}'s final copy of {block} in epoch {epoch.number} is not the newest: "
                    f"{self._tell(copy)}, not {self._tell(line)}"
                )

    def _reports(self, worker: WorkerProcess, report: Report) -> None:
        """An epoch is done: all who train in it, or one alone, have trained each block in each lap.

        The slices of a pass come in turn.
        """
        if report.epoch in self._taken_over:
            return
        plan, following = report.plan, report.following
        part, next_part = part_of(plan), part_of(following)
        goes_on = following.restart == plan.restart and not plan.fresh
        if goes_on and next_part != part.following(next_part.slices):
            raise Violation(f"after {part} comes {next_part}, in epoch {report.epoch + 1}")
        if isinstance(worker.member, AveragingMember):
            self._averages(worker, worker.member, report)
        for block in self._blocks_of(report.plan):
            line = self.lines.get((report.epoch, block.name), [])
            made = {(self.visits[number].lap, self.visits[number].name) for number in line}
            for lap in range(block.laps):
                makers = [name for made_in, name in made if made_in == lap]
                if block.alone and len(makers) not in self._may_have_trained(report):
                    raise Violation(
                        f"{worker.name} ends epoch {report.epoch}, and {makers} have trained "
                        f"{block.name} in lap {lap}, not one alone"
                    )
                for name in () if block.alone else report.trainers:
                    if (lap, name) not in made:
                        raise Violation(
                            f"{worker.name} ends epoch {report.epoch}, and {name} has not trained "
                            f"{block.name} in lap {lap}"
                        )

    def _may_have_trained(self, report: Report) -> tuple[int, ...]:
        """Return how many may have trained a block that is trained alone: nobody a copy for which nobody was left."""
        too_many = report.plan.groups > len(report.trainers)
        is_copy = isinstance(self.model, VisitedCopies)
        return (0, 1) if is_copy and (too_many or self._was_found_by_a_view(report.epoch)) else (1,)

    def _was_found_by_a_view(self, epoch: int) -> bool:
        return any(one.epoch == epoch and not one.cold for one in self._resumes.values())

    def _averages_where_all_take_part(self, worker: WorkerProcess, action: Action) -> None:
        message = action.message if isinstance(action, Send) else None
        if not isinstance(message, Offer | Heard):
            return
        resume = self._resumes.get(message.view)
        if resume is not None and resume.epoch == message.epoch and not resume.cold:
            raise Violation(
                f"{worker.name} averages in epoch {message.epoch}, which a view has found"
            )

    def _averages(self, worker: WorkerProcess, member: AveragingMember, report: Report) -> None:
        """Nobody trains two copies, and where nothing intervenes averages lose and make no step."""
        blocks = {block.name for block in self._blocks_of(report.plan)} - {"origin"}
        lines = [self.lines.get((report.epoch, block), []) for block in blocks]
        makers = [self.visits[number].name for line in lines for number in line]
        if not report.plan.fresh and len(makers) > len(set(makers)):
            raise Violation(
                f"in epoch {report.epoch} {makers} have trained copies, one of them two"
            )
        if report.plan.fresh or self._was_found_by_a_view(report.epoch):
            return
        wanted = self._steps.of(report.epoch, self.lost_messages())
        copies = member.epoch.former if member.epoch.number > report.epoch else member.epoch.copies
        found = sum(float(copies[block].tensors[f"w/{block}"][0]) for block in blocks)
        if wanted is not None and abs(found - wanted) > 1e-6:
            raise Violation(
                f"{worker.name} ends epoch {report.epoch}, in which {wanted} steps were made, and all copies "
                f"together have {found}"
            )

    def _blocks_of(self, plan: EpochPlan) -> tuple[Block, ...]:
        model = self.model
        signature = Signature(2)
        return (
            model.initial_blocks(signature) if plan.fresh else model.blocks(signature, plan.groups)
        )

    def _has_its_layout(self, whose: str, plan: EpochPlan, params: Mapping[str, Array]) -> None:
        """A model is laid out as the plan of its epoch says: each submodel is in one block."""
        found = {name for name in params if name.startswith("b/")}
        wanted = {block.name for block in self._blocks_of(plan)} - {"origin"}
        if found != wanted:
            raise Violation(f"{whose} has blocks {sorted(found)}, not {sorted(wanted)}")

    def _is_alone_with_its_tokens(
        self, worker: WorkerProcess, member: Member, actions: Iterable[Action]
    ) -> None:
        """At most one member at a time has a block of one view in training."""
        if not member.view.frozen:
            for block in member.epoch.holding:
                key = (member.view.number, member.epoch.number, block)
                place = self._places.get(key)
                if place not in (None, ("held", worker.address), ("sent", worker.name)):
                    raise Violation(f"{worker.name} has {block} of {key}, and it is {place}")
                self._places[key] = ("held", worker.address)
        for action in actions:
            if isinstance(action, Send) and isinstance(action.message, Token):
                token = action.message
                key = (token.view, token.epoch, token.block)
                place = self._places.get(key)
                if not token.final and place not in (None, ("held", worker.address)):
                    raise Violation(
                        f"{worker.name} sends {token.block} of {key}, and it is {place}"
                    )
                self._places[key] = ("sent", action.to) if not token.final else ("final", "")

    def _tell(self, numbers: Iterable[int]) -> str:
        return "[" + " ".join(_short(self.visits[number]) for number in numbers) + "]"


def _short(visit: Visit) -> str:
    return f"{visit.name}#{visit.incarnation}/{visit.lap}"


def _numbers(tensor: np.ndarray) -> list[int]:
    numbers: list[int] = tensor.tolist()
    return numbers


def mark_of(tensors: Mapping[str, np.ndarray]) -> int:
    """Return the mark of the model that was adopted last, and that this one comes from; 0: none was."""
    return int(tensors.get("mark", np.zeros(1, np.int64))[0])


def _view_of(event: object) -> int | None:
    if isinstance(event, View):
        return event.number
    return event.view if isinstance(event, RingMessage | Resume) else None
