"""Which reports make an epoch complete, and which are of another ring."""

from __future__ import annotations

import numpy as np

from streammac.coordinator.epoch_reports import MAX_OPEN, EpochReports
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
    epoch_reports = EpochReports()
    epoch_reports.begin(*resumed(5, ("a", "b"), joining=("b",)))
    assert epoch_reports.add(report("a", 5)) is None
    assert epoch_reports.add(report("b", 4)) is None, "it was in another ring then"
    assert epoch_reports.add(report("b", 5)) is not None


def test_neither_does_one_that_has_come_before_it_began_anew():
    epoch_reports = EpochReports()
    epoch_reports.begin(*resumed(4, ("a", "b")))
    epoch_reports.add(report("b", 4, epoch=2))
    epoch_reports.begin(*resumed(5, ("a", "b"), joining=("b",)))
    assert epoch_reports.add(report("a", 5, epoch=2)) is None


def test_who_is_gone_has_not_ended_the_epoch_that_the_ring_goes_on_with():
    epoch_reports = EpochReports()
    epoch_reports.begin(*resumed(4, NAMES))
    epoch_reports.add(report("c", 4))
    epoch_reports.begin(*resumed(5, ("a", "b")))
    assert epoch_reports.add(report("a", 5)) is None
    result = epoch_reports.add(report("b", 5))
    assert result is not None
    assert result.params["w"] == ord("a"), "the model is the ring's"


def test_reports_that_come_very_late_are_no_trouble():
    epoch_reports = EpochReports()
    epoch_reports.begin(*resumed(4, ("a", "b")))
    epochs = range(3, 3 + MAX_OPEN + 5)
    assert [epoch_reports.add(report("a", 4, epoch)) for epoch in epochs] == [None] * len(epochs)
    results = [epoch_reports.add(report("b", 4, epoch)) for epoch in epochs]
    assert [r.epoch for r in results if r is not None] == list(epochs[5:])


def test_when_members_began_anew_outlives_the_coordinator():
    epoch_reports = EpochReports()
    epoch_reports.begin(*resumed(5, ("a", "b"), cold=True))
    again = EpochReports(epoch_reports.began)
    again.begin(*resumed(6, ("a", "b")))
    assert again.add(report("a", 4)) is None
    assert again.add(report("b", 6)) is None
    assert again.add(report("a", 5)) is not None


def test_when_a_member_began_anew_is_remembered_while_it_leaves():
    """It may not have heard of it, and is still asked what it holds."""
    epoch_reports = EpochReports()
    epoch_reports.begin(*resumed(5, ("a", "b"), joining=("b",)))
    epoch_reports.begin(*resumed(6, ("a",)), leaving=("b",))
    assert epoch_reports.began == {"b": 5}
    epoch_reports.begin(*resumed(7, ("a",), cold=True), leaving=("b",))
    assert epoch_reports.began == {"a": 7, "b": 7}
    epoch_reports.begin(*resumed(8, ("a",)))
    assert epoch_reports.began == {"a": 7}
