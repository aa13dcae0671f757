"""Softmax regression of Fashion-MNIST, as one vector: what strategies are compared on that train whole copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import labelled_fashion
from streammac.models.base import Floats
from streammac.models.nets.gradient import gradient, shaped
from streammac.models.nets.layers import Layer
from streammac.models.nets.losses import LOSSES

JUDGED = 5000
"""Images on which the loss is measured, of those that are trained on."""
LOSS = LOSSES["softmax"]


class SoftmaxTask:
    """The images, and what a step on some of them does."""

    def __init__(self) -> None:
        task = labelled_fashion()
        self.classes: NDArray[np.uint8] = task.y
        self._x = task.x.astype(np.float32) / np.float32(255)
        self._x -= self._x.mean(axis=0)
        self._y = np.eye(10, dtype=np.float32)[task.y]
        rows = np.random.default_rng(9).permutation(len(self._x))[:JUDGED]
        self._judged = self._x[rows], self._y[rows]
        self._like = (Layer(np.zeros((10, 784), np.float32), np.zeros(10, np.float32)),)

    @property
    def start(self) -> Floats:
        """Zeros: all classes are as likely."""
        return np.zeros(785 * 10, np.float32)

    def gradient(self, w: Floats, rows: NDArray[np.int64]) -> Floats:
        """Return that of the mean loss of some images."""
        return gradient(shaped(w, self._like), self._x[rows], self._y[rows], LOSS)

    def loss(self, w: Floats) -> float:
        """Return the mean loss."""
        x, y = self._judged
        (head,) = shaped(w, self._like)
        return float(LOSS.value(head(x), y).mean())

    def shards(self, count: int, by_class: bool = False) -> list[NDArray[np.int64]]:
        """Return the rows of each of so many shards: mixed, or each of a class or a few."""
        if by_class:
            return np.array_split(np.argsort(self.classes, kind="stable"), count)
        return np.array_split(np.random.default_rng(0).permutation(len(self._x)), count)
