"""Putting the workers' reports of an epoch together: objective, times, load balance, and the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streammac.models.base import Array
from streammac.wire.messages import EpochPlan, EpochReport

MAX_OPEN = 64
"""Epochs whose reports are awaited at a time; workers are never more than two apart."""


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


class EpochBook:
    """The reports of the current view."""

    def __init__(self) -> None:
        self._members: frozenset[str] = frozenset()
        self._view = 0
        self._open: dict[int, dict[str, EpochReport]] = {}

    def begin(self, view: int, members: Iterable[str]) -> None:
        """Expect reports of these members from now on; forget those of older views."""
        self._view, self._members = view, frozenset(members)
        self._open.clear()

    def add(self, report: EpochReport) -> EpochResult | None:
        """Take a report; return the epoch's result if it was the last one missing."""
        if report.view != self._view or report.name not in self._members:
            return None
        reports = self._open.setdefault(report.epoch, {})
        reports[report.name] = report
        while len(self._open) > MAX_OPEN:
            del self._open[min(self._open)]
        if len(reports) < len(self._members):
            return None
        self._open.pop(report.epoch, None)
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
