"""Patches of two real photographs that scikit-learn bundles: the feed of the demo, without any network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest.records import Chunk
from ingest.sources.base import SourceError
from streammac.points.block import PointBlock

SIZES = range(2, 33)
PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def _photograph(name: str) -> NDArray[np.uint8]:
    """Return an image (rows, columns, 3) from scikit-learn's folder; importing it takes a second."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "images"
    with Image.open(folder / name) as image:
        return np.asarray(image.convert("RGB"))


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
    seekable = False

    def __init__(self, size: int = 8, seed: int = 0) -> None:
        if size not in SIZES:
            raise SourceError(f"patches: size: expected 2 to 32 pixels, got {size}")
        images = np.stack([_photograph(name) for name in PHOTOGRAPHS])
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
            yield PointBlock(self._windows[places].reshape(points, self._dim))
