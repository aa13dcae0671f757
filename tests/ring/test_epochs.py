"""Which reports make an epoch complete, and which are of another ring."""

from __future__ import annotations

import numpy as np

from streammac.ring.epochs import EpochBook
from streammac.wire.messages import EpochPlan, EpochReport, Resume

NAMES = ("a", "b", "c")


def report(name: str, view: int, epoch: int = 3) -> EpochReport:
    return EpochReport(
        view=view,
        epoch=epoch,
        trainers=NAMES,
        plan=EpochPlan(),
        following=EpochPlan(age=1),
        name=name,
        mu=1.0,
        sums={},
        seconds={},
        tensors={"w": np.full(1, ord(name))},
    )


def resumed(view: int, members: tuple[str, ...], **more) -> tuple[tuple[str, ...], Resume]:
    return members, Resume(view, 3, EpochPlan(), members, **more)


def test_a_report_from_before_a_member_began_anew_does_not_count():
    book = EpochBook()
    book.begin(*resumed(5, ("a", "b"), joining=("b",)))
    assert book.add(report("a", 5)) is None
    assert book.add(report("b", 4)) is None, "it was in another ring then"
    assert book.add(report("b", 5)) is not None


def test_neither_does_one_that_has_come_before_it_began_anew():
    book = EpochBook()
    book.begin(*resumed(4, ("a", "b")))
    book.add(report("b", 4, epoch=2))
    book.begin(*resumed(5, ("a", "b"), joining=("b",)))
    assert book.add(report("a", 5, epoch=2)) is None


def test_who_is_gone_has_not_ended_the_epoch_that_the_ring_goes_on_with():
    book = EpochBook()
    book.begin(*resumed(4, NAMES))
    book.add(report("c", 4))
    book.begin(*resumed(5, ("a", "b")))
    assert book.add(report("a", 5)) is None
    result = book.add(report("b", 5))
    assert result is not None
    assert result.params["w"] == ord("a"), "the model is the ring's"


def test_when_members_began_anew_outlives_the_coordinator():
    book = EpochBook()
    book.begin(*resumed(5, ("a", "b"), cold=True))
    again = EpochBook(book.began)
    again.begin(*resumed(6, ("a", "b")))
    assert again.add(report("a", 4)) is None
    assert again.add(report("b", 6)) is None
    assert again.add(report("a", 5)) is not None


def test_when_a_member_began_anew_is_remembered_while_it_leaves():
    """It may not have heard of it, and is still asked what it holds."""
    book = EpochBook()
    book.begin(*resumed(5, ("a", "b"), joining=("b",)))
    book.begin(*resumed(6, ("a",)), leaving=("b",))
    assert book.began == {"b": 5}
    book.begin(*resumed(7, ("a",), cold=True), leaving=("b",))
    assert book.began == {"a": 7, "b": 7}
    book.begin(*resumed(8, ("a",)))
    assert book.began == {"a": 7}
