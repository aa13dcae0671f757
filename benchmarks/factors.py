"""A picture of the parts that a net with a factorisation finds in Fashion-MNIST: ``python -m benchmarks.factors FILE``.

Of each part the mean image, where a point counts as much as it has of the part, beside the classes of these points.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Labelled, labelled_fashion
from benchmarks.deep import FACTORS, net_of, trained
from streammac.models.base import Array, Floats

SHOWN = 32
COLOURS = 48
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)


@dataclass(frozen=True, slots=True)
class Part:
    """What a part stands for.

    Attributes
    ----------
    image : (28, 28) array
        The mean image of the points that have it, less that of all.
    shares : (10,) array
        How much of all that there is of it is in the points of each class.
    """

    image: Floats
    shares: NDArray[np.float64]

    @property
    def title(self) -> str:
        """The classes that have most of it."""
        first, second = np.argsort(-self.shares)[:2]
        return f"{CLASSES[first]} {self.shares[first]:.0%}\n{CLASSES[second]} {self.shares[second]:.0%}"


def parts_of(task: Labelled, codes: Array) -> list[Part]:
    """Return the parts of which there is most, from (n, R) codes of the test images."""
    whole = task.test_x.mean(axis=0)
    found = []
    for number in np.argsort(-codes.sum(axis=0))[:SHOWN]:
        weights = codes[:, number].astype(np.float64)
        weights /= max(weights.sum(), 1e-30)
        image = np.asarray(weights @ task.test_x - whole, np.float32).reshape(28, 28)
        shares = np.bincount(task.test_y, weights, len(CLASSES)).astype(np.float64)
        found.append(Part(image, shares))
    return found


def draw(parts: list[Part], path: Path) -> None:
    """Write a picture of them, a small PNG."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from PIL import Image

    across = 8
    figure, axes = plt.subplots(
        -(-len(parts) // across), across, figsize=(8.8, 6.0), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, part in zip(axes.flat, parts, strict=False):
        most = float(np.abs(part.image).max()) or 1.0
        axis.imshow(part.image, cmap="RdBu_r", vmin=-most, vmax=most)
        axis.set_title(part.title, fontsize=6)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, "PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.factors", description=__doc__)
    parser.add_argument("file", type=Path, help="where the picture goes")
    parser.add_argument("--passes", type=int, default=3)
    wanted = parser.parse_args()
    task = labelled_fashion()
    net = net_of(**FACTORS)
    *_, params = trained(task, net, 3, wanted.passes)
    codes = net.features(params, task.test_x.astype(np.float32))
    draw(parts_of(task, codes), wanted.file)


if __name__ == "__main__":
    main()
