"""Both models of the ring, for some numbers of workers: what ``streammac plan`` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streammac.planning import formulas
from streammac.planning.constants import Constants
from streammac.planning.discrete_event import simulate
from streammac.planning.workload import Workload


@dataclass(frozen=True, slots=True)
class Outlook:
    """What so many workers would do.

    Attributes
    ----------
    workers, blocks : int
        Workers, P, and blocks that travel among them, M.
    points : float
        Points in each shard, N / P.
    slices : int
        Slices of a shard, of which an epoch works on one: so many epochs are a pass.
    formula_s, simulated_s : float
        Seconds of an epoch, T(P): by the paper's formulas, and by the state machines in virtual time.
    formula_speedup, simulated_speedup : float
        Of one worker's epoch to it, S(P).
    busy : float
        Share of the time in which a worker computes.
    refresh_s : float
        Seconds from a point's acknowledgement to the end of the first epoch that has trained on it, at most: it waits
        for the epoch under way, and is trained on in the next, or where epochs work on slices in one of the next pass.
    sent_bytes, sent_bytes_s : float
        What a worker sends, per epoch and per second.
    """

    workers: int
    blocks: int
    points: float
    slices: int
    formula_s: float
    simulated_s: float
    formula_speedup: float
    simulated_speedup: float
    busy: float
    refresh_s: float
    sent_bytes: float
    sent_bytes_s: float


def outlook(workload: Workload, constants: Constants, workers: Iterable[int]) -> Iterator[Outlook]:
    """Yield what each number of workers would do.

    Raises
    ------
    BadPlan
        If the constants are of something else, or there can be no ring of so many.
    """
    constants.check(workload)
    alone = formulas.epoch_s(workload, constants, 1)
    for count in workers:
        workload.check_workers(count)
        predicted = formulas.epoch_s(workload, constants, count)
        simulated = simulate(workload, constants, count)
        sent, slices = simulated.sent_bytes / count, workload.slices(count)
        yield Outlook(
            workers=count,
            blocks=len(workload.pieces(count)),
            points=workload.points / count,
            slices=slices,
            formula_s=predicted,
            simulated_s=simulated.epoch_s,
            formula_speedup=_ratio(alone, predicted),
            simulated_speedup=_ratio(alone, simulated.epoch_s),
            busy=simulated.busy,
            refresh_s=(1 + slices) * simulated.epoch_s,
            sent_bytes=sent,
            sent_bytes_s=_ratio(sent, simulated.epoch_s),
        )


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else 0.0
