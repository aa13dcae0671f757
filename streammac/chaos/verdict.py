"""What the injections came to: times by kind of fault, and every promise that was broken.

Pure: `streammac.chaos.attack` measures, `streammac.chaos.feed` counts, ``streammac chaos`` ends with an exit code of
its own if `complaints` has anything to say.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streammac.chaos.faults import TITLES, Fault, Injection


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an injection came to; times are None where it did not happen in time.

    Attributes
    ----------
    injection : Injection
        The fault.
    next_visit_s : float or None
        Until the others finished the next visit of a submodel. After a death or a hang: the first one without the lost
        worker, since the fault, so that noticing it is included. After a change in good order: since the ring was
        changed. Where the ring has no reason to change (coordinator, ingest node): just the next one.
    whole_s : float or None
        Until all processes were there again, in the same ring, and a further epoch was done.
    trouble : str
        Why the fault did not come about; such an injection has no times.
    """

    injection: Injection
    next_visit_s: float | None
    whole_s: float | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class PointAudit:
    """What became of the points.

    Attributes
    ----------
    source : {"disks", "status"}
        Who counted: we, point by point, or the cluster itself.
    sent, stored : int
        Points that should be there, and different ones that are.
    missing, twice : int
        Points that are nowhere, and copies too many.
    under_way : int
        By so much the counts of a cluster that goes on may differ.
    damaged : int
        Points that the cluster's books call lost: so many may be missing, and no fewer.
    """

    source: str
    sent: int
    stored: int
    missing: int
    twice: int
    under_way: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known in the end.

    Attributes
    ----------
    seed : int
        Of the plan.
    seconds : float
        How long it went on.
    outcomes : sequence of Outcome
        Of all injections.
    audit : PointAudit or str
        Why the points could not be counted, in words.
    restarted : mapping of str to int
        Restarts of each process that no injection of ours explains.
    epochs : tuple of int
        Epochs done at the beginning and at the end.
    fenced : int
        How often a worker was taken for lost that was well.
    """

    seed: int
    seconds: float
    outcomes: Sequence[Outcome]
    audit: PointAudit | str
    restarted: Mapping[str, int] = field(default_factory=dict)
    epochs: tuple[int, int] = (0, 0)
    fenced: int = 0


def complaints(evidence: Evidence) -> list[str]:
    """Return every promise that was broken, in words."""
    found = []
    for outcome in evidence.outcomes:
        what = f"injection {outcome.injection.number} ({named(outcome.injection)})"
        if outcome.trouble:
            found.append(f"{what}: {outcome.trouble}")
        elif outcome.next_visit_s is None:
            found.append(f"{what}: the others did not go on")
        elif outcome.whole_s is None:
            found.append(f"{what}: not everybody came back, or no further epoch was done")
    audit = evidence.audit
    if isinstance(audit, str):
        found.append(f"the points could not be counted: {audit}")
    else:
        untold = audit.missing - audit.damaged
        if untold > audit.under_way:
            found.append(f"{untold:,} of {audit.sent:,} points are missing")
        if -untold > audit.under_way:
            found.append(f"{-untold:,} points are called damaged that are there")
        if audit.source == "disks" and audit.damaged and not _rotten(evidence.outcomes):
            found.append(f"{audit.damaged:,} points were damaged without our doing")
        if audit.twice > audit.under_way:
            found.append(f"{audit.twice:,} points are stored twice")
    found += [
        f"{name} was restarted {times} times without our doing"
        for name, times in evidence.restarted.items()
        if times > 0
    ]
    if evidence.fenced:
        found.append(f"workers that were well were taken for lost {evidence.fenced} times")
    if evidence.outcomes and evidence.epochs[1] <= evidence.epochs[0]:
        found.append(f"no epoch was done: it is still {evidence.epochs[1]}")
    return found


def _rotten(outcomes: Sequence[Outcome]) -> bool:
    return any(outcome.injection.fault is Fault.ROT for outcome in outcomes)


def named(injection: Injection) -> str:
    """Return an injection in words."""
    targets = ", ".join(injection.targets)
    return f"{TITLES[injection.fault]}{': ' if targets else ''}{targets}"


@dataclass(frozen=True, slots=True)
class Summary:
    """Times of one kind of fault, s; None where there are none."""

    fault: Fault
    count: int
    next_visit_median_s: float | None
    next_visit_max_s: float | None
    whole_median_s: float | None
    whole_max_s: float | None


def summaries(outcomes: Sequence[Outcome]) -> list[Summary]:
    """Return the times of each kind of fault that came about."""
    found = []
    for fault in Fault:
        of_kind = [o for o in outcomes if o.injection.fault is fault and not o.trouble]
        if of_kind:
            visits = [o.next_visit_s for o in of_kind if o.next_visit_s is not None]
            whole = [o.whole_s for o in of_kind if o.whole_s is not None]
            times = (_median(visits), max(visits, default=None))
            found.append(
                Summary(fault, len(of_kind), *times, _median(whole), max(whole, default=None))
            )
    return found


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 4) if values else None


def to_json(evidence: Evidence) -> dict[str, Any]:
    """Return everything as plain values (docs/operations.md)."""
    injected = [outcome for outcome in evidence.outcomes if not outcome.trouble]
    return {
        "seed": evidence.seed,
        "seconds": round(evidence.seconds, 3),
        "kept": not complaints(evidence),
        "complaints": complaints(evidence),
        "kills": sum(outcome.injection.kills for outcome in injected),
        "faults": [asdict(summary) for summary in summaries(evidence.outcomes)],
        "injections": [asdict(outcome) for outcome in evidence.outcomes],
        "points": None if isinstance(evidence.audit, str) else asdict(evidence.audit),
        "restarted_without_reason": sum(evidence.restarted.values()),
        "fenced_without_reason": evidence.fenced,
        "epochs": list(evidence.epochs),
    }
