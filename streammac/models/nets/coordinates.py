"""The Z step of a net: coordinates of its stages that lower the penalised objective of each point.

With z_0 what layer 1 sees, f_k the stages, s the head's scores (MAC, equation 2)::

    E_Q(z) = loss(s(z_K), y) + mu/2 sum_k |z_k - f_k(z_{k-1})|^2

and with scaled multipliers u_k, the augmented Lagrangian (Khorram et al. 2021, Block-ADMM)::

    L(z) = loss(s(z_K), y) + mu/2 sum_k ( |z_k - f_k(z_{k-1}) + u_k|^2 - |u_k|^2 )

It begins at z = h(x), where there is no penalty, and sweeps from the last stage to the first. Of each point the best of
three is kept: what the sweeps have found, h(x), and the coordinates it had. So no point's objective rises, whatever the
sweeps do. Then the multipliers rise by what is left of the constraints, and the objective with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from streammac.models.base import Floats
from streammac.models.nets.activations import Activation
from streammac.models.nets.losses import Loss
from streammac.models.nets.net import Net

DUAL_STEPS = 8
"""Steps towards the best z_K; the first few do nearly all."""
REACH = 0.5
"""Coordinates usually move by less than a tenth of this."""
FLIPS = 8
"""Most bits of a step layer that change in one sweep."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The objective of some points.

    Attributes
    ----------
    net : Net
        The stages.
    loss : Loss
        Of the head's scores.
    mu : float
        Penalty.
    seen : (n, D) float32
        What layer 1 sees.
    y : (n, O) float32
        Coded targets.
    multipliers : list of (n, units) float32, or None
        Scaled ones, of the constraints of each stage; None: all are 0.
    """

    net: Net
    loss: Loss
    mu: float
    seen: Floats
    y: Floats
    multipliers: list[Floats] | None = None

    def objective(self, z: list[Floats]) -> Floats:
        """Return E_Q of each point, or L, (n,)."""
        total = self.loss.value(self.net.head(z[-1]), self.y)
        half = np.float32(0.5 * self.mu)
        below = self.seen
        for k, stage in enumerate(self.net.stages):
            residual = stage.residual(below, self._shifted(k, z[k]))
            total = total + half * np.linalg.vecdot(residual, residual)
            if self.multipliers is not None:
                total -= half * np.linalg.vecdot(self.multipliers[k], self.multipliers[k])
            below = z[k]
        return np.asarray(total, np.float32)

    def _shifted(self, k: int, z: Floats) -> Floats:
        """Return ``z_k + u_k``: the constraint's residual with multipliers is that of these coordinates without."""
        return z if self.multipliers is None else z + self.multipliers[k]

    def swept(self, forward: list[Floats], sweeps: int) -> list[Floats]:
        """Return coordinates after some sweeps from the last stage to the first, beginning at h(x)."""
        z, stages = [own.copy() for own in forward], self.net.stages
        steps = [
            1.0 / (stage.own_curvature + above.below_curvature) for stage, above in pairwise(stages)
        ]
        last = len(z) - 1
        for _ in range(sweeps):
            for k in range(last, -1, -1):
                shifted, activation = self._shifted(k, z[k]), stages[k].activation
                if k == last and not stages[k].direct:
                    z[k] = self._descended(z[k - 1], z[k])
                    continue
                # what the first stage gives never changes
                move = stages[k].by_own(z[k - 1], shifted) if k else shifted - forward[0]
                if k == last:
                    z[k] = self._last(z[k] - move, activation, z[k])
                    continue
                pull = stages[k + 1].by_below(z[k], self._shifted(k + 1, z[k + 1]))
                if activation.slope is None:
                    z[k] = _flipped(z[k], z[k] - move, pull)
                else:
                    move += pull
                    move *= np.float32(steps[k])
                    z[k] -= move
                    activation.within(z[k])
        return z

    def raised(self, z: list[Floats], forward: list[Floats]) -> list[Floats]:
        """Return the multipliers after the step that coordinates bring: ``u_k + z_k - f_k(z_{k-1})``.

        They are kept as short as coordinates are kept near, or constraints that never come to hold would make them
        longer without end (a safeguarded augmented Lagrangian, Birgin & Martinez 2014). Bits have none.
        """
        found: list[Floats] = []
        below = self.seen
        for k, stage in enumerate(self.net.stages):
            if stage.binding:
                found.append(_shortened(stage.residual(below, self._shifted(k, z[k])), forward[k]))
            else:
                found.append(np.zeros_like(forward[k]))
            below = z[k]
        return found

    def near(self, z: list[Floats], forward: list[Floats]) -> list[Floats]:
        """Return coordinates of which no point's are further from h(x) than `REACH` times the usual size of that.

        A head that has just seen one class alone would send those of all others anywhere, and layers after them.
        """
        return [h + _shortened(own - h, h) for own, h in zip(z, forward, strict=True)]

    def _descended(self, below: Floats, z: Floats) -> Floats:
        """Return z_K with a lower objective, where no aim for it is known: some steps of projected gradient."""
        stage, head = self.net.stages[-1], self.net.head
        A = head.weight / np.float32(self.mu)
        curvature = stage.own_curvature + self.loss.curvature * head.steepness**2 / self.mu
        for _ in range(DUAL_STEPS):
            move = stage.by_own(below, z)
            move += self.loss.gradient(head(z), self.y) @ A
            move *= np.float32(1.0 / curvature)
            z = stage.activation.within(z - move)
        return z

    def _last(self, aim: Floats, activation: Activation, z: Floats) -> Floats:
        """Return z_K near ``aim`` with a lower loss.

        The minimum is at ``aim - A^T d / mu``, where d is the gradient of the loss by the scores there (A is the head's
        weight): a problem in as many dimensions as there are outputs, solved by damped steps. Where the loss is squared
        it is a linear system.
        """
        A, head = self.net.head.weight, self.net.head
        if activation.slope is None:
            slope = self.loss.gradient(head(z), self.y) @ A / np.float32(self.mu)
            return _flipped(z, aim, slope)
        if self.loss.curvature == 1.0:  # squared
            system = A.T.astype(np.float64) @ A + self.mu * np.eye(A.shape[1])
            inverse = np.linalg.inv(system).astype(np.float32)
            best = ((self.y - head.bias) @ A + np.float32(self.mu) * aim) @ inverse
            return activation.within(best)
        scores = head(aim)
        G = (A @ A.T / np.float32(self.mu)).astype(np.float32)
        damping = 1.0 / (1.0 + self.loss.curvature * head.steepness**2 / self.mu)
        d = self.loss.gradient(head(z), self.y)
        for _ in range(DUAL_STEPS):
            step = self.loss.gradient(scores - d @ G, self.y) - d
            step *= np.float32(damping)
            d += step
        best = aim - d @ (A / np.float32(self.mu))
        return activation.within(best)


def improved(
    problem: Problem, z: list[Floats], forward: list[Floats], sweeps: int
) -> tuple[list[Floats], Floats, Floats]:
    """Return better coordinates of points that have some; their objective, and that of h(x), (n,) each.

    Parameters
    ----------
    problem : Problem
        The objective.
    z, forward : list of (n, units) arrays
        The coordinates of each stage there are, and h(x).
    sweeps : int
        From the last stage to the first.
    """
    nested = problem.loss.value(problem.net.head(forward[-1]), problem.y)
    holds = all(stage.direct for stage in problem.net.stages)  # of h(x), every constraint does
    best, least = forward, nested if holds else problem.objective(forward)
    for other in (problem.near(problem.swept(forward, sweeps), forward), z):
        objective = problem.objective(other)
        better = objective < least
        best = [np.where(better[:, None], new, old) for new, old in zip(other, best, strict=True)]
        least = np.where(better, objective, least)
    return best, least, nested


def _shortened(move: Floats, h: Floats) -> Floats:
    """Return moves of the coordinates h, none of them longer than `REACH` allows."""
    far = np.sqrt(np.linalg.vecdot(move, move))
    most = REACH * np.sqrt(np.maximum(np.linalg.vecdot(h, h), np.vdot(h, h) / max(1, len(h))))
    share = np.minimum(1.0, most / np.maximum(far, 1e-30))
    return np.asarray(share[:, None] * move, np.float32)


def _flipped(z: Floats, aim: Floats, slope: Floats) -> Floats:
    """Return bits of -1 and 1 with those flipped that promise most: no more than `FLIPS`, and none that promises less.

    A flip changes z by -2 z, so the rest of the objective by about ``-2 z slope``, and the distance from ``aim`` by 2
    for each bit that differs from it and did not before, the other way round where it did.
    """
    promise = -2 * z * slope + 2 * z * aim
    count = min(FLIPS, z.shape[1])
    bound = np.partition(promise, count - 1, axis=1)[:, count - 1 : count]
    flips = (promise <= bound) & (promise < 0)
    return np.where(flips, -z, z)
