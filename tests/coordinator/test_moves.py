"""An order to hand over points, from the first telling to the last batch."""

from __future__ import annotations

import pytest

from streammac.coordinator.coordinator_actions import Tell
from streammac.coordinator.membership import Membership, Peer
from streammac.coordinator.moves import REPEAT_S, Moves, OrderProgress
from streammac.wire.messages import Goodbye, Heartbeat, Move, Register, Routes
from streammac.wire.reports import MoveState, WorkerReport

ORDER = Move(50, ("w2",))
NOTHING = OrderProgress(None, announce=False, repeat=[])


class Room:
    """A coordinator's view of a few workers."""

    def __init__(self, *names: str, unsettled=()) -> None:
        self.membership = Membership(heartbeat_s=1.0)
        self.moves = Moves(self.membership, unsettled)
        for name in names:
            self.start(name)

    def start(self, name: str, incarnation: int = 1) -> Peer:
        register = Register("worker", name, incarnation, 11, "here", {})
        self.membership.register(name.encode(), register, now=0.0)
        return self.membership.peers[name]

    def hear(self, name: str, now: float, **state) -> OrderProgress:
        peer = self.membership.peers[name]
        report = WorkerReport(moves=MoveState(**state))
        self.membership.hear(peer, Heartbeat(name, peer.incarnation, report), now)
        return self.moves.hear(peer, now)

    def senders(self) -> dict[bytes, tuple[str, ...]]:
        announced = self.moves.announcements((), {"i1"})
        assert all(isinstance(tell.message, Routes) for tell in announced)
        return {tell.identity: tell.message.senders for tell in announced}


def test_the_life_of_an_order():
    room = Room("w1", "w2")
    w1 = room.membership.peers["w1"]
    assert room.moves.give(w1, ORDER, now=1.0) == Tell(b"w1", ORDER)
    assert (room.moves.gives(w1), room.moves.moves(w1), room.moves.unsettled) == (
        True,
        True,
        {"w1"},
    )
    assert room.senders() == {b"w1": ("i1",)}
    assert room.hear("w1", 2.0) == NOTHING, "it has not come yet"
    assert room.hear("w1", 3.0, orders=1, giving=True).announce, "acknowledged"
    assert room.hear("w1", 4.0, orders=1, giving=True, handing=2) == NOTHING
    assert room.hear("w1", 5.0, orders=1, handing=1, moved=40).moved == 40
    assert (room.moves.gives(w1), room.moves.moves(w1)) == (False, True), "a batch is under way"
    assert room.hear("w1", 6.0, orders=1, moved=50) == OrderProgress(None, True, [])
    assert (room.moves.moves(w1), room.moves.unsettled, room.senders()) == (False, set(), {})


def test_an_order_that_is_not_acknowledged_is_told_again_and_again():
    room = Room("w1")
    room.moves.give(room.membership.peers["w1"], ORDER, now=1.0)
    told = [room.hear("w1", now).repeat for now in (1.0 + REPEAT_S, 7.0, 8.0, 7.1 + REPEAT_S)]
    assert told == [[], [Tell(b"w1", ORDER)], [], [Tell(b"w1", ORDER)]]
    assert room.hear("w1", 99.0, orders=1).repeat == []


def test_who_moves_is_told_the_routes_again_and_again():
    room = Room("w1")
    room.moves.give(room.membership.peers["w1"], ORDER, now=1.0)
    times = (2.0, 2.5, 3.0 + REPEAT_S, 4.0 + REPEAT_S)
    told = [room.hear("w1", now, orders=1, giving=True).announce for now in times]
    assert told == [True, False, True, False], "they may have been lost"
    assert room.hear("w1", 9.0 + REPEAT_S, orders=1).announce
    assert not room.hear("w1", 99.0, orders=1).announce, "it moves nothing any more"


def test_orders_of_another_coordinator_do_not_acknowledge_a_new_one():
    room = Room("w1")
    room.hear("w1", 0.5, orders=3)
    room.moves.give(room.membership.peers["w1"], ORDER, now=1.0)
    assert room.hear("w1", 7.0, orders=3).repeat
    assert room.hear("w1", 8.0, orders=4).repeat == []


def test_a_new_process_has_no_orders_but_stays_unsettled_until_its_ledger_is_open():
    room = Room("w1", "w2")
    room.moves.give(room.membership.peers["w1"], ORDER, now=1.0)
    w1 = room.start("w1", incarnation=2)
    assert not room.moves.moves(w1)
    room.membership.hear(w1, Heartbeat("w1", 2, WorkerReport()), now=2.0)
    assert room.moves.hear(w1, now=2.0) == NOTHING
    assert room.moves.unsettled == {"w1"}, "nothing is known of its ledger yet"
    assert room.hear("w1", 3.0, handing=1).announce, "it takes up what its former process began"
    assert room.senders() == {b"w1": ("i1",)}
    assert room.hear("w1", 4.0).announce
    assert room.moves.unsettled == set()


def test_who_moves_knows_of_the_others_who_do_dead_or_alive():
    room = Room("w1", "w2", unsettled=["w3"])
    for name in ("w1", "w2"):
        room.moves.give(room.membership.peers[name], ORDER, now=1.0)
    assert room.senders() == {b"w1": ("i1", "w2", "w3"), b"w2": ("i1", "w1", "w3")}
    room.membership.peers["w2"].state = "lost"
    assert room.senders() == {b"w1": ("i1", "w2", "w3")}


@pytest.mark.parametrize("handing", [0, 1])
def test_who_has_left_gives_nothing_whatever_it_was_ordered(handing):
    room = Room("w1")
    w1 = room.membership.peers["w1"]
    room.moves.give(w1, ORDER, now=1.0)
    report = WorkerReport(moves=MoveState(handing=handing))
    room.membership.leave(w1, Goodbye("w1", 1, report))
    room.moves.hear(w1, now=2.0)
    assert (room.moves.gives(w1), room.moves.moves(w1)) == (False, bool(handing))
    assert room.moves.unsettled == ({"w1"} if handing else set())
