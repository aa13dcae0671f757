"""The picture of a factorisation's parts."""

import numpy as np

from benchmarks import factors
from benchmarks.data import Labelled

RNG = np.random.default_rng(0)


def test_a_part_is_shown_by_the_points_that_have_it(tmp_path):
    images = RNG.integers(0, 255, (40, 784)).astype(np.uint8)
    classes = np.arange(40, dtype=np.uint8) % 10
    codes = np.zeros((40, 12), np.float32)
    codes[:, 3] = classes == 7  # there is most of it
    codes[0, 5] = 1
    first, second, *_ = factors.parts_of(Labelled(images, classes, images, classes), codes)
    assert first.title.startswith("sneaker 100%")
    np.testing.assert_allclose(
        first.image.ravel(), images[classes == 7].mean(axis=0) - images.mean(axis=0), atol=1e-3
    )
    assert second.title.startswith("T-shirt 100%")
    picture = tmp_path / "parts.png"
    factors.draw([first, second], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
