"""The coordinator's half of a change of membership: announce a view, gather answers, let the ring resume.

`ViewChange` is one view from its announcement to its end. It knows who carries the ring's state over from
the former view, waits for these alone, and remembers what it told, because messages may be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from streammac.models.base import Array
from streammac.ring.recovery import resumption
from streammac.wire.messages import EpochPlan, Holdings, Resume, View

Incarnations = Mapping[str, int]
Views = Mapping[str, int]


@dataclass(slots=True)
class ViewChange:
    """One view.

    Parameters
    ----------
    view : View
        What is announced.
    members : mapping of str to int
        Names and incarnations of its members, leaving ones included.
    carriers : set of str
        Those who were in the ring before: their answers are waited for, and tell where the ring is.
    began : mapping of str to int
        The view in which each of them began anew. One that has not heard of that yet still holds what it had
        before, and that counts for nothing.
    """

    view: View
    members: Incarnations
    carriers: frozenset[str]
    began: Views = field(default_factory=dict)
    answers: dict[str, Holdings] = field(default_factory=dict)
    resume: Resume | None = None
    """How the ring went on; None until that is decided."""

    @property
    def names(self) -> tuple[str, ...]:
        """Members that stay."""
        return tuple(member.name for member in self.view.members)

    @property
    def ring(self) -> dict[str, int]:
        """Who would carry the ring's state into the next view."""
        if self.resume is not None:
            return dict(self.members)
        return {name: self.members[name] for name in self.carriers}

    def answer(self, holdings: Holdings) -> None:
        """Take a member's answer."""
        name = holdings.name
        if holdings.view == self.view.number and name in self.carriers:
            is_outdated = holdings.resumed < self.began.get(name, 0)
            self.answers[name] = replace(holdings, state="joining") if is_outdated else holdings

    @property
    def answered(self) -> bool:
        """Return whether all those have answered who are waited for."""
        return self.carriers <= self.answers.keys()

    def settle(
        self,
        epoch: int,
        plan: EpochPlan,
        tensors: Mapping[str, Array],
        adopting: int | None = None,
    ) -> Resume:
        """Decide how the ring goes on.

        Everybody begins the given epoch, the next one that is not known to be complete, from the given model where
        nobody holds anything, or only older epochs: those who had the newer ones are gone, and one that leaves kept
        what it had when it was let go. Where a continuation's number is given, everybody begins the newest epoch that
        anybody is at from that model, if it is one of that continuation.
        """
        number = self.view.number
        resume = resumption(number, self.names, self.answers)
        if resume is None or resume.epoch < epoch:
            resume = Resume(number, epoch, plan, self.names, cold=True, tensors=dict(tensors))
        elif resume.plan.restart == adopting and not resume.plan.fresh:
            epoch, plan = resume.epoch, resume.plan
            resume = Resume(number, epoch, plan, self.names, cold=True, tensors=dict(tensors))
        self.resume = resume
        return resume

    def reminder(self, name: str, seen: int, *, frozen: bool) -> View | Resume | None:
        """Return what a member has missed, judging by the view it says it is in."""
        if name not in self.members or seen > self.view.number:
            return None
        if seen < self.view.number:
            return self.view
        if not frozen:
            return None
        return self.resume if self.resume is not None else self.view
