"""View after view: when the next one is due, who belongs to it, and who carries the ring's state into it.

`streammac.ring.view_change` is one view from its announcement to its end; here is what lasts from one to the next, over
restarts of the coordinator too. A view's number is never used twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from streammac.coordinator.membership import Membership, Peer, address
from streammac.ring.view_change import ViewChange
from streammac.wire.messages import Heartbeat, Resume, View
from streammac.wire.reports import RingProgress

RETURN_S = 3.0
"""A coordinator that was restarted waits so long for the members of the ring to register again."""


class ViewManager:
    """The views of a cluster.

    Parameters
    ----------
    membership : Membership
        Who is there.
    number : int
        Of the newest view, when the cluster last ran.
    ring : mapping of str to int, optional
        What `ring` was then: its members are expected to come back.

    Attributes
    ----------
    number : int
        Of the newest view.
    ring : dict of str to int
        Who carries the ring's state: names and incarnations.
    change : ViewChange or None
        The newest view; None before training begins, and when nobody is left.
    expected : set of str
        Members of the ring that have not registered since this coordinator was started.
    begun : bool
        Whether this coordinator has made a view.
    """

    def __init__(
        self, membership: Membership, number: int = 0, ring: Mapping[str, int] | None = None
    ) -> None:
        self.membership = membership
        self.number = number
        self.ring: dict[str, int] = dict(ring or {})
        self.change: ViewChange | None = None
        self.expected = set(self.ring)
        self.begun = False
        self._expected_until: float | None = None
        self._made_at = 0.0
        self._turned = 0
        """The newest view in which a visit was finished."""

    # -- after a restart of the coordinator -----------------------------------------------

    def registered(self, name: str, incarnation: int) -> None:
        """Take notice of a registration: who has been replaced does not come back."""
        if self.ring.get(name) != incarnation:
            self.expected.discard(name)

    def is_ready(self, name: str) -> None:
        """Take notice that a worker can train."""
        self.expected.discard(name)

    def gives_up_waiting(self, now: float) -> bool:
        """Return whether the time has just passed in which members of the ring were to come back; asked regularly."""
        if not self.expected:
            return False
        self._expected_until = self._expected_until or now + RETURN_S
        if now <= self._expected_until:
            return False
        self.expected.clear()
        return True

    # -- views ----------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Return whether the ring is not what it should be."""
        if self.expected:
            return False
        if self.change is None:
            return any(self._carries(peer) for peer in self.membership.peers.values())
        wanted = {p.name: p.incarnation for p in self.membership.of("worker") if p.ready}
        present = {name: self.change.members[name] for name in self.change.names}
        return wanted != present or self._is_let_down(self.change)

    def _carries(self, peer: Peer) -> bool:
        return peer.here and self.ring.get(peer.name) == peer.incarnation

    def _is_let_down(self, change: ViewChange) -> bool:
        """Return whether somebody is gone whom the view counts on besides its members: one that leaves."""
        peers = self.membership.peers
        if change.resume is None:
            return any(not peers[name].here for name in change.carriers)
        return any(peers[name].state == "lost" for name in change.members)

    @property
    def carriers(self) -> frozenset[str]:
        """Return who carries the ring's state, or is counted on in the newest view."""
        return frozenset(self.ring).union(self.change.members if self.change else ())

    def leavers(self) -> list[Peer]:
        """Return who wants to leave, and still carries the ring's state."""
        peers = self.membership.of("worker", alive=False)
        return [peer for peer in peers if peer.state == "draining" and self._carries(peer)]

    def renew(self, began: Mapping[str, int], now: float) -> ViewChange | None:
        """Make the next view; None if nobody is there to be in it.

        Parameters
        ----------
        began : mapping of str to int
            The view in which each member began anew, see `ViewChange`.
        now : float
            Monotonic seconds.
        """
        members = [peer for peer in self.membership.of("worker") if peer.ready]
        if not members:
            self.change, self.ring = None, {}
            return None
        leavers = self.leavers()
        self.number += 1
        self.begun = True
        addresses = tuple(address(peer, "ring") for peer in members)
        going = tuple(address(peer, "ring") for peer in leavers)
        self.change = ViewChange(
            View(self.number, addresses, going),
            {peer.name: peer.incarnation for peer in members + leavers},
            frozenset(peer.name for peer in members + leavers if self._carries(peer)),
            began,
        )
        self.ring = self.change.ring
        self._made_at = now
        return self.change

    def reminder(self, beat: Heartbeat) -> View | Resume | None:
        """Return what a process has missed of the newest view, judging by its heartbeat."""
        if self.change is None:
            return None
        if self.change.members.get(beat.name) != beat.incarnation:
            # who was taken for lost while it left waits for a ring that goes on without it
            peer = self.membership.find(beat.name, beat.incarnation)
            leaves = peer is not None and peer.state == "draining"
            return self.change.view if leaves else None
        ring = beat.worker.ring if beat.worker is not None else RingProgress()
        return self.change.reminder(beat.name, ring.view, frozen=ring.frozen)

    def turns(self, view: int, now: float) -> float | None:
        """Take notice that a visit was finished in a view.

        Returns
        -------
        float or None
            If it is the newest view's first one, and its change of membership is over: how many seconds that took.
        """
        if self.change is None or view != self.number or view == self._turned:
            return None
        self._turned = view
        return now - self._made_at
