"""A net whose parameters are random, and points with classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streammac.models.base import Array
from streammac.models.deep_net import DeepNetModel
from streammac.models.signature import Signature
from streammac.points.block import PointBlock


def random_net(
    model: DeepNetModel, rng: np.random.Generator, inputs: int = 6, points: int = 40, scale=2.0
) -> tuple[Mapping[str, Array], PointBlock]:
    """Return parameters for a model of three classes, with larger weights than those it begins with, and points."""
    state = {
        "init/count": np.ones(1) * 50,
        "init/x": np.stack([np.zeros(inputs), np.full(inputs, 50.0)]),
        "init/y": np.zeros((2, 1)),
    }
    params = model.end_lap(model.initial_blocks(Signature(inputs, 1))[0], {}, state, 0)
    params = {
        name: np.asarray(scale * a if "weight" in name else a, np.float32)
        for name, a in params.items()
    }
    x = rng.standard_normal((points, inputs)).astype(np.float32)
    return params, PointBlock(x, rng.integers(0, 3, (points, 1)).astype(np.float32))
