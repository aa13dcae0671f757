"""The view that a member is in: a value, replaced when another one is installed or when it resumes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from streammac.wire.messages import Resume, View


@dataclass(frozen=True, slots=True)
class CurrentView:
    """A view as one of its members sees it.

    Attributes
    ----------
    number : int
        Its number; 0 before the first one.
    members : tuple of str
        Who stays, sorted.
    leaving : bool
        This member leaves in good order.
    resumed : int
        The last view that resumed here.
    resume : Resume or None
        How the ring goes on. None: the member is frozen, nothing is passed on.
    outside : bool
        A newer view does without this member: it was given up while it left, and nothing that it has counts
        any more.
    """

    number: int = 0
    members: tuple[str, ...] = ()
    leaving: bool = False
    resumed: int = 0
    resume: Resume | None = None
    outside: bool = False

    @property
    def frozen(self) -> bool:
        """Return whether the view has been announced, and not been resumed yet."""
        return self.resume is None

    def is_early(self, number: int) -> bool:
        """Return whether a message of the view with that number has to wait for it."""
        return number > self.number or (number == self.number and self.frozen)

    def resume_of(self, epoch: int) -> Resume | None:
        """Return how the view began, if it began in that epoch: not all members train in that one."""
        return self.resume if self.resume is not None and self.resume.epoch == epoch else None

    def followed_by(self, view: View, name: str) -> CurrentView:
        """Return what a newer view makes of this one for the member with this name."""
        members = tuple(sorted(member.name for member in view.members))
        leaving = name in {member.name for member in view.leaving}
        if name not in members and not leaving:
            return replace(self, outside=True)
        return CurrentView(view.number, members, leaving, self.resumed)

    def resumed_by(self, resume: Resume) -> CurrentView:
        """Return the same view, no longer frozen."""
        return replace(self, resumed=resume.view, resume=resume)
