"""Patches of two real photographs that scikit-learn bundles: the feed of the demo, without any network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ingest.records import Arrays, Chunk
from ingest.sources.base import SourceError

SIZES = range(2, 33)


class PatchSource:
    """Square RGB patches from random places, as uint8, without end.

    Parameters
    ----------
    size : int
        Side in pixels; a point has ``3 size^2`` numbers.
    seed : int
        Seed of the places.
    """

    name = "patches:"
    format = "|u1"
    finite = False
    length = None

    def __init__(self, size: int = 8, seed: int = 0) -> None:
        if size not in SIZES:
            raise SourceError(f"patches: size: expected 2 to 32 pixels, got {size}")
        from sklearn.datasets import load_sample_images  # heavy, and only this source needs it

        images = np.stack(load_sample_images().images)
        # (image, row, column, 3, size, size): a window at every place, without copying
        self._windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
        self._dim = 3 * size * size
        self._seed = seed

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        rng = np.random.default_rng(self._seed)
        shape = self._windows.shape[:3]
        while True:
            places = tuple(rng.integers(0, n, points) for n in shape)
            yield Arrays(self._windows[places].reshape(points, self._dim))
