"""Gradient histograms of handwritten digits: the feed of the demo, real and without any network.

scikit-learn bundles 1,797 digits of 43 people, 8 x 8 pixels each. A point is one of them, written a little differently:
turned and moved at random. Like SIFT's descriptors it has 128 numbers, the histogram of the gradient's direction in
each of 4 x 4 cells; what looks alike is near in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.records import Chunk
from streammac.points.block import PointBlock

SIDE, MARGIN = 8, 6
CELLS, DIRECTIONS = 4, 8
WINDOW = 16
"""Side of what is looked at, in samples; it shows a little more than the image."""
SPACING = 0.625
TURN, MOVE = 0.05, 1.0
"""Standard deviation of the turn in radians; the greatest move in pixels, down and to the right."""
PAPER_TURN = np.pi / 4
"""Of those that are to be turned: enough to look like nothing before, and no symmetry of the cells."""
CLIP = 0.2
"""No direction says more than that of a descriptor of length 1: SIFT's way to bear changes of light."""
SCALE = 512


def _images() -> NDArray[np.float32]:
    """Return scikit-learn's digits with a margin, (1797, 20, 20); importing it takes a second."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    table = np.loadtxt(folder / "digits.csv.gz", np.float32, delimiter=",")
    images = table[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
    return np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def descriptors(windows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the (n, 128) gradient histograms of (n, 16, 16) windows."""
    dy, dx = np.gradient(windows, axis=(1, 2))
    strength = np.hypot(dx, dy)
    direction = np.arctan2(dy, dx) * (DIRECTIONS / (2 * np.pi))
    below = np.floor(direction).astype(np.int64)
    share = direction - below
    dim = CELLS * CELLS * DIRECTIONS
    place = np.arange(WINDOW) // (WINDOW // CELLS)
    cell = (place[:, None] * CELLS + place) * DIRECTIONS
    first = np.arange(len(windows))[:, None, None] * dim + cell
    found = np.zeros(len(windows) * dim)
    for bins, weight in ((below, strength * (1 - share)), (below + 1, strength * share)):
        found += np.bincount((first + bins % DIRECTIONS).ravel(), weight.ravel(), len(found))
    histograms = _unit(np.minimum(_unit(found.reshape(-1, dim)), CLIP))
    return np.minimum(np.rint(SCALE * histograms), 255).astype(np.uint8)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-9))


class DigitSource:
    """Digits without end, as (n, 128) uint8.

    Parameters
    ----------
    seed : int
        Seed of what is drawn.
    turned_after : int, optional
        So many points come upright, all others turned by 45 degrees, as if the paper had been.
    """

    name = "digits:"
    format = "|u1"
    finite = False
    seekable = False

    def __init__(self, seed: int = 0, turned_after: int | None = None) -> None:
        self._images = _images()
        self._seed = seed
        self._turned_after = turned_after

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        rng = np.random.default_rng(self._seed)
        drawn = 0
        while True:
            number = np.arange(drawn, drawn + points)
            is_turned = number >= (np.inf if self._turned_after is None else self._turned_after)
            yield PointBlock(descriptors(self._windows(rng, is_turned)))
            drawn += points

    def _windows(
        self, rng: np.random.Generator, is_turned: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return as many images, drawn and looked at through windows that are turned and moved."""
        count = len(is_turned)
        angle = (rng.normal(0.0, TURN, count) + is_turned * PAPER_TURN)[:, None, None]
        centre = MARGIN + (SIDE - 1) / 2 + rng.uniform(-MOVE, MOVE, (2, count, 1, 1))
        down, right = np.indices((WINDOW, WINDOW)) * SPACING - (WINDOW - 1) / 2 * SPACING
        row = centre[0] + np.cos(angle) * down - np.sin(angle) * right
        column = centre[1] + np.sin(angle) * down + np.cos(angle) * right
        image = rng.integers(0, len(self._images), (count, 1, 1))
        above, left = row.astype(np.int64), column.astype(np.int64)
        v, h = row - above, column - left
        pixel = self._images
        top = pixel[image, above, left] * (1 - h) + pixel[image, above, left + 1] * h
        bottom = pixel[image, above + 1, left] * (1 - h) + pixel[image, above + 1, left + 1] * h
        return np.asarray(top * (1 - v) + bottom * v, np.float32)
