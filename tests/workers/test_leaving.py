"""When a worker is through with leaving: the ring lets go, points are where they shall be, or the time is up."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from streammac.link.interrupt import Interrupt
from workers.leaving import Departure


@dataclass
class Mover:
    """Writes down its orders."""

    done: bool = False
    closing: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(closed=False))
    orders: list[str] = field(default_factory=list)

    def give_all(self) -> None:
        self.orders.append("give all")

    def wait_for_closing(self) -> None:
        self.orders.append("wait for closing")

    def stop(self) -> None:
        self.orders.append("stop")


def member(state="training", *, released=False):
    return SimpleNamespace(epoch=SimpleNamespace(state=state), released=released)


def test_nobody_leaves_who_was_not_asked_to():
    departure = Departure(Interrupt())
    assert not departure.under_way
    assert not departure.unheeded
    assert departure.end(99.0, None, None) is None


@pytest.mark.parametrize(
    ("here", "end"),
    [
        (None, "left"),
        (member("joining"), "left"),
        (member(released=True), "left"),
        (member(), None),
    ],
)
def test_the_ring_has_to_let_go(here, end):
    departure = Departure(Interrupt())
    assert departure.order("keep", 10.0, None)
    assert departure.end(5.0, here, None) == end


def test_it_is_not_waited_for_ever():
    departure = Departure(Interrupt())
    departure.order("keep", 10.0, None)
    assert departure.end(10.0, member(), None) is None
    assert departure.end(10.1, member(), None) == "in the ring"


def test_points_that_are_to_move_are_waited_for():
    departure, mover = Departure(Interrupt()), Mover()
    departure.order("move", 10.0, mover)
    assert mover.orders == ["give all"]
    assert departure.end(5.0, member(released=True), mover) is None
    assert departure.end(10.1, member(released=True), mover) == "points are left"
    mover.done = True
    assert departure.end(5.0, member(released=True), mover) == "left"


def test_points_are_dropped_when_nobody_sends_them_again():
    departure, mover = Departure(Interrupt()), Mover()
    departure.order("drop", 10.0, mover)
    assert mover.orders == ["wait for closing"]
    assert departure.end(5.0, member(released=True), mover) is None
    mover.closing.closed = True
    assert departure.end(5.0, member(released=True), mover) == "left"
    assert departure.drops


def test_points_are_kept_where_the_ring_did_not_let_go():
    departure, mover = Departure(Interrupt()), Mover()
    departure.order("drop", 10.0, mover)
    assert departure.end(10.1, member(), mover) == "in the ring"
    assert not departure.drops


def test_the_newest_order_counts_and_the_time_only_gets_shorter():
    departure, mover = Departure(Interrupt()), Mover()
    assert departure.order("move", 60.0, mover)
    assert not departure.order("drop", 90.0, mover)
    assert departure.by == 60.0
    assert not departure.order("keep", 90.0, mover)
    assert departure.by == 60.0
    assert not departure.order("keep", 15.0, mover)
    assert departure.by == 15.0
    assert mover.orders == ["give all", "wait for closing", "stop", "stop"]
    assert not departure.drops


def test_a_signal_asks_to_leave_with_the_points_kept():
    departure = Departure(Interrupt())
    departure.interrupt()
    assert departure.unheeded
    departure.order("keep", 10.0, None)
    assert not departure.unheeded
    departure.order("move", 60.0, None)
    assert departure.unheeded, "whoever ends the process has the last word"
