"""The paper's runtime model (ParMAC, section 4), for blocks that need not be equal.

With M equal blocks, each of which costs t_r^W per point at a visit and t_c^W per hop, and no other costs::

    T(P) = M (N/P) t_r^Z + ceil(M/P) ((e + 1) P t_c^W + e N t_r^W)

One worker has no hops. Blocks start P at a time, one at each worker, so the P that are under way together take as long
as the slowest of them; equal blocks make of that the paper's ``ceil(M/P)``. What a worker does once for all blocks
comes to that. Nothing overlaps: a worker that sends does not compute.
"""

from __future__ import annotations

from streammac.planning.constants import Constants
from streammac.planning.workload import Piece, Workload


def z_step_s(workload: Workload, constants: Constants, workers: int) -> float:
    """Return T_Z(P), the seconds of a Z step."""
    return constants.z_step_s(workload.shard_points(workers))


def w_step_s(workload: Workload, constants: Constants, workers: int) -> float:
    """Return T_W(P), the seconds of a W step."""
    pieces = workload.pieces(workers)
    each = [_round_s(piece, workload, constants, workers) for piece in pieces]
    trained = sum(max(each[first : first + workers]) for first in range(0, len(each), workers))
    return trained + constants.once_s(workload.shard_points(workers))


def epoch_s(workload: Workload, constants: Constants, workers: int) -> float:
    """Return T(P), the seconds of an epoch."""
    return w_step_s(workload, constants, workers) + z_step_s(workload, constants, workers)


def epoch_bytes(workload: Workload, constants: Constants, workers: int) -> float:
    """Return the bytes that all workers together send in an epoch.

    In each lap a block goes from worker to worker, P - 1 hops; each further lap begins with one more, at another
    worker. Then it goes round once more, to all who have not got it: P - 1.
    """
    total = 0.0
    for piece in workload.pieces(workers):
        training = piece.block.laps * workers - 1 if workers > 1 else 0
        total += training * constants.token_bytes(piece, final=False)
        total += (workers - 1) * constants.token_bytes(piece, final=True)
    return total


def _round_s(piece: Piece, workload: Workload, constants: Constants, workers: int) -> float:
    """Return the seconds in which a block makes all of its visits and hops, if it never waits."""
    laps, points = piece.block.laps, workload.shard_points(workers)
    seconds = laps * workers * constants.visit_s(piece, points)
    if workers == 1:
        return seconds
    training, final = (constants.token_bytes(piece, final=final) for final in (False, True))
    return seconds + workers * (laps * constants.hop_s(training) + constants.hop_s(final))
