"""What a net has not learned yet: a linear correction of what it says, which learns from each point at once.

A net is trained now and then; meanwhile the stream goes on. The correction is a normalised least mean squares filter
(Widrow & Hoff 1960) with the gradient of the net's loss: a step is divided by the size of what it sees, so no point can
throw it far, and one length suits all streams.
"""

from __future__ import annotations

import numpy as np

from streammac.models.base import Floats
from streammac.models.nets.losses import Loss

LONGEST = 2.0
"""Longer steps go further and further away from what a point wants."""


class Correction:
    """Adds to scores what is linear in the evidence for them.

    Parameters
    ----------
    step : float
        Length of steps; 1: of two points that are alike, the second one's loss could not be less if the loss were as
        curved everywhere as where it is most. 0: scores stay as they are.
    loss : Loss
        Of scores that are corrected.
    """

    def __init__(self, step: float, loss: Loss) -> None:
        self._step = step
        self._loss = loss
        self._weight: Floats | None = None  # (classes, inputs + 1), the last one for a bias

    def __call__(self, scores: Floats, evidence: Floats) -> Floats:
        """Return (n, C) scores of points, corrected by (n, E) numbers that tell of them."""
        if self._weight is None:
            return scores
        return scores + evidence @ self._weight[:, :-1].T + self._weight[:, -1]

    def learn(self, scores: Floats, evidence: Floats, y: Floats) -> None:
        """Take a step on a point with its (1, C) targets, as the loss takes them."""
        if self._weight is None:
            self._weight = np.zeros((scores.shape[1], evidence.shape[1] + 1), np.float32)
        seen = np.append(evidence[0], np.float32(1))
        slope = self._loss.gradient(self(scores, evidence), y)[0]
        slope *= np.float32(self._step / self._loss.curvature / np.vdot(seen, seen))
        self._weight -= np.outer(slope, seen)
