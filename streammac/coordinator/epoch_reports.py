"""Putting the workers' reports of an epoch together: objective, times, load balance, and the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streammac.models.base import Array
from streammac.wire.messages import EpochPlan, EpochReport, Resume

MAX_OPEN = 64
"""Epochs whose reports are awaited at a time; workers are never more than two apart, but their messages may be."""


@dataclass(frozen=True, slots=True)
class EpochResult:
    """A finished epoch of the whole ring.

    ``sums`` are added over workers; ``seconds`` are the means over workers; ``imbalance`` is the largest
    busy time over the mean one (1: perfectly balanced).
    """

    epoch: int
    plan: EpochPlan
    following: EpochPlan
    mu: float
    sums: Mapping[str, float]
    seconds: Mapping[str, float]
    imbalance: float
    params: Mapping[str, Array]

    def per_point(self, name: str) -> float | None:
        """Return the mean of a sum over the points that it runs over; None where it runs over none."""
        points = self.sums.get("points", 0.0)
        return self.sums.get(name, 0.0) / points if points else None


class EpochReports:
    """The reports of the epochs that are not complete yet.

    An epoch may begin in one view and end in another; it is complete when all have reported who train in
    it and are still in the ring.

    Parameters
    ----------
    began : mapping of str to int, optional
        What `began` was when the cluster last ran.

    Attributes
    ----------
    began : dict of str to int
        The view in which each member began anew. What it reports of older ones is of epochs that this ring has
        never had: it was taken for dead then, and its report may come late.
    """

    def __init__(self, began: Mapping[str, int] | None = None) -> None:
        self.began = dict(began or {})
        self._members: frozenset[str] = frozenset()
        self._open: dict[int, dict[str, EpochReport]] = {}
        self.done = -1
        """The newest complete epoch: reports on it and older ones come too late."""

    def begin(
        self, members: Iterable[str], resume: Resume, leaving: Iterable[str] = ()
    ) -> list[EpochResult]:
        """Expect reports of these members alone from now on; return what is complete by that.

        Nobody who is left has ended the epoch that the ring resumes: reports on it are of members that are gone.
        Who leaves reports nothing more, but may still be asked what it holds.
        """
        self._members = frozenset(members)
        ring = self._members.union(leaving)
        epoch = resume.epoch
        anew = ring if resume.cold else ring.intersection(resume.joining)
        self.began = {name: view for name, view in self.began.items() if name in ring}
        self.began |= dict.fromkeys(sorted(anew), resume.view)
        if resume.cold:
            self._open.clear()
        for reports in self._open.values():
            for name in anew & reports.keys():
                del reports[name]
        self._open = {number: reports for number, reports in self._open.items() if reports}
        self.done = min(self.done, epoch - 1)
        for later in [e for e in self._open if e >= epoch]:
            del self._open[later]
        results = [self._result(epoch) for epoch in sorted(self._open)]
        return [result for result in results if result is not None]

    def add(self, report: EpochReport) -> EpochResult | None:
        """Take a report; return the epoch's result if it was the last one missing."""
        if report.epoch <= self.done or report.name not in self._members:
            return None
        if report.view < self.began.get(report.name, 0):
            return None
        self._open.setdefault(report.epoch, {})[report.name] = report
        while len(self._open) > MAX_OPEN:
            del self._open[min(self._open)]
        # it may be the oldest: the reports of one whose connection was slow come all at once
        return self._result(report.epoch) if report.epoch in self._open else None

    def _result(self, epoch: int) -> EpochResult | None:
        reports = self._open[epoch]
        expected = self._members.intersection(*(r.trainers for r in reports.values()))
        if not expected <= reports.keys():
            return None
        for older in [e for e in self._open if e <= epoch]:
            del self._open[older]
        self.done = epoch
        return _result(list(reports.values()))


def _added(parts: list[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    return {name: sum(part.get(name, 0.0) for part in parts) for name in names}


def _result(reports: list[EpochReport]) -> EpochResult:
    busy = [r.seconds.get("train", 0.0) + r.seconds.get("z_step", 0.0) for r in reports]
    mean = sum(busy) / len(busy)
    seconds = _added([r.seconds for r in reports])
    first = reports[0]
    return EpochResult(
        epoch=first.epoch,
        plan=first.plan,
        following=first.following,
        mu=first.mu,
        sums=_added([r.sums for r in reports]),
        seconds={name: value / len(reports) for name, value in seconds.items()},
        imbalance=max(busy) / mean if mean > 0 else 1.0,
        params=next((r.tensors for r in reports if r.tensors), {}),
    )
