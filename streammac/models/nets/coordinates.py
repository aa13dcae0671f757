"""The Z step of a net: coordinates of its hidden layers that lower the penalised objective of each point.

With z_0 what layer 1 sees, f_k the layers, s the head's scores (MAC, equation 2)::

    E_Q(z) = loss(s(z_K), y) + mu/2 sum_k |z_k - f_k(z_{k-1})|^2

It begins at z = h(x), where there is no penalty, and sweeps from the last layer to the first. Of each point the best of
three is kept: what the sweeps have found, h(x), and the coordinates it had. So no point's objective rises, whatever the
sweeps do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streammac.models.base import Floats
from streammac.models.nets.activations import Activation
from streammac.models.nets.layers import Layer, Net
from streammac.models.nets.losses import Loss

DUAL_STEPS = 8
"""Steps towards the best z_K; the first few do nearly all."""
REACH = 0.5
"""Coordinates usually move by less than a tenth of this."""
FLIPS = 8
"""Most units of a step layer that change sides in one sweep."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The objective of some points.

    Attributes
    ----------
    net : Net
        The layers.
    loss : Loss
        Of the head's scores.
    mu : float
        Penalty.
    seen : (n, D) float32
        What layer 1 sees.
    y : (n, O) float32
        Coded targets.
    """

    net: Net
    loss: Loss
    mu: float
    seen: Floats
    y: Floats

    def objective(self, z: list[Floats]) -> Floats:
        """Return E_Q of each point, (n,)."""
        total = self.loss.value(self.net.head(z[-1]), self.y)
        below = self.seen
        for layer, own in zip(self.net.hidden, z, strict=True):
            residual = own - layer(below)
            residual *= np.float32(np.sqrt(0.5 * self.mu))
            total = total + np.linalg.vecdot(residual, residual)
            below = own
        return np.asarray(total, np.float32)

    def swept(self, z: list[Floats], sweeps: int) -> list[Floats]:
        """Return coordinates after some sweeps from the last layer to the first."""
        z, hidden = [own.copy() for own in z], self.net.hidden
        steps = [1.0 / (1.0 + layer.steepness**2) for layer in hidden[1:]]
        first = z[0].copy()  # f_1 of what layer 1 sees: it never changes
        for _ in range(sweeps):
            for k in range(len(z) - 1, -1, -1):
                aim = hidden[k](z[k - 1]) if k else first
                activation = _activation(hidden[k])
                if k == len(z) - 1:
                    z[k] = self._last(aim, activation, z[k])
                elif activation.slope is None:
                    pull = self._pull(hidden[k + 1], z[k], z[k + 1])
                    z[k] = _flipped(z[k], aim, pull)
                else:
                    move = z[k] - aim
                    move += self._pull(hidden[k + 1], z[k], z[k + 1])
                    move *= np.float32(steps[k])
                    z[k] -= move
                    activation.within(z[k])
        return z

    def near(self, z: list[Floats], forward: list[Floats]) -> list[Floats]:
        """Return coordinates of which no point's are further from h(x) than `REACH` times the usual size of that.

        A head that has just seen one class alone would send those of all others anywhere, and layers after them.
        """
        return [_near(own, h) for own, h in zip(z, forward, strict=True)]

    def _pull(self, above: Layer, z: Floats, target: Floats) -> Floats:
        """Return the gradient by z of ``|target - f(z)|^2 / 2``, of the layer above, (n, units)."""
        values = above(z)
        residual = values - target
        activation = _activation(above)
        if activation.slope is not None:
            residual *= activation.slope(values)
        return np.asarray(residual @ above.weight, np.float32)

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
        The coordinates of each layer there are, and h(x).
    sweeps : int
        From the last layer to the first.
    """
    nested = problem.loss.value(problem.net.head(forward[-1]), problem.y)
    best, least = forward, nested
    for other in (problem.near(problem.swept(forward, sweeps), forward), z):
        objective = problem.objective(other)
        better = objective < least
        best = [np.where(better[:, None], new, old) for new, old in zip(other, best, strict=True)]
        least = np.where(better, objective, least)
    return best, least, nested


def _near(z: Floats, h: Floats) -> Floats:
    move = z - h
    far = np.sqrt(np.linalg.vecdot(move, move))
    most = REACH * np.sqrt(np.maximum(np.linalg.vecdot(h, h), np.vdot(h, h) / max(1, len(h))))
    share = np.minimum(1.0, most / np.maximum(far, 1e-30))
    return np.asarray(h + share[:, None] * move, np.float32)


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


def _activation(layer: Layer) -> Activation:
    assert layer.activation is not None, "hidden layers have one"
    return layer.activation
