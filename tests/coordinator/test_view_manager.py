"""View after view: who is in the next one, who carries the ring into it, and when it is due."""

from __future__ import annotations

import pytest

from streammac.coordinator.membership import Membership
from streammac.coordinator.view_manager import RETURN_S, ViewManager
from streammac.wire.messages import EpochPlan, Heartbeat, Register, Resume, View
from streammac.wire.reports import RingProgress, WorkerReport

READY = WorkerReport(RingProgress(ready=True))


def join(membership: Membership, name: str, incarnation: int = 1) -> None:
    register = Register("worker", name, incarnation, 11, "here", {"ring": f"ring of {name}"})
    membership.register(name.encode(), register, now=0.0)
    membership.hear(membership.peers[name], Heartbeat(name, incarnation, READY), now=0.0)


def ring(*names: str) -> ViewManager:
    """A ring that goes on in its first view."""
    membership = Membership(heartbeat_s=1.0)
    for name in names:
        join(membership, name)
    views = ViewManager(membership)
    change = views.renew({}, now=1.0)
    change.settle(0, EpochPlan(), {})
    views.ring = change.ring
    return views


def test_a_first_view_waits_to_be_asked_for():
    membership = Membership(heartbeat_s=1.0)
    join(membership, "w1")
    views = ViewManager(membership)
    assert not views.due
    assert views.renew({}, now=1.0).names == ("w1",)
    assert (views.number, views.begun, views.due) == (1, True, False)


def test_who_joins_makes_a_view_due_and_does_not_carry_the_ring():
    views = ring("w1", "w2")
    join(views.membership, "w3")
    assert views.due
    change = views.renew({}, now=2.0)
    assert (change.view.number, change.names) == (2, ("w1", "w2", "w3"))
    assert change.carriers == {"w1", "w2"}


def test_who_leaves_still_carries_the_ring():
    views = ring("w1", "w2")
    views.membership.peers["w2"].state = "draining"
    assert views.due
    assert [peer.name for peer in views.leavers()] == ["w2"]
    change = views.renew({}, now=2.0)
    assert (change.names, change.carriers) == (("w1",), {"w1", "w2"})
    assert [leaver.name for leaver in change.view.leaving] == ["w2"]
    assert not views.due
    views.membership.peers["w2"].state = "left"
    assert views.due, "its answer is waited for"


def test_a_new_process_of_the_same_name_does_not_carry_the_ring():
    views = ring("w1", "w2")
    join(views.membership, "w2", incarnation=2)
    assert views.due
    assert views.renew({}, now=2.0).carriers == {"w1"}


def test_numbers_only_grow_though_everybody_is_gone():
    views = ring("w1")
    views.membership.peers["w1"].state = "lost"
    assert views.renew({}, now=2.0) is None
    assert (views.change, views.ring, views.number) == (None, {}, 1)
    join(views.membership, "w1", incarnation=2)
    assert not views.due, "nobody carries the ring: training begins again when there is reason to"
    assert views.renew({}, now=3.0).view.number == 2


def test_after_a_restart_the_members_of_the_ring_are_waited_for():
    membership = Membership(heartbeat_s=1.0)
    views = ViewManager(membership, 7, {"w1": 1, "w2": 1, "w3": 1})
    join(membership, "w1")
    views.registered("w1", 1)
    views.is_ready("w1")
    views.registered("w2", 2)
    assert views.expected == {"w3"}
    assert not views.due
    assert not views.gives_up_waiting(1.0)
    assert not views.gives_up_waiting(1.0 + RETURN_S)
    assert views.gives_up_waiting(1.1 + RETURN_S)
    assert not views.gives_up_waiting(1.2 + RETURN_S), "once"
    assert views.due
    assert views.renew({}, now=9.0).view.number == 8


@pytest.mark.parametrize(
    ("view", "frozen", "missed"),
    [(0, False, View), (1, True, Resume), (1, False, None), (2, True, None)],
)
def test_a_member_that_has_missed_something_is_reminded(view, frozen, missed):
    views = ring("w1")
    found = views.reminder(Heartbeat("w1", 1, WorkerReport(RingProgress(view=view, frozen=frozen))))
    assert (None if found is None else type(found)) == missed
    assert views.reminder(Heartbeat("w1", 2)) is None
    assert views.reminder(Heartbeat("w2", 1)) is None


def test_the_first_visit_of_a_view_ends_the_change():
    views = ring("w1")
    assert views.turns(0, now=1.2) is None
    assert views.turns(1, now=1.5) == 0.5
    assert views.turns(1, now=1.6) is None
