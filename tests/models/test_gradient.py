"""The gradient of a net is that of its loss: finite differences say so."""

from itertools import pairwise

import numpy as np
import pytest

from streammac.models.nets.activations import ACTIVATIONS
from streammac.models.nets.gradient import gradient, shaped, vector
from streammac.models.nets.layers import Layer
from streammac.models.nets.losses import LOSSES

RNG = np.random.default_rng(0)


def net(*activations: str) -> tuple[Layer, ...]:
    widths = [5, *range(4, 4 + len(activations)), 3]
    return tuple(
        Layer(RNG.normal(size=(units, inputs)), RNG.normal(size=units), name and ACTIVATIONS[name])
        for (inputs, units), name in zip(pairwise(widths), [*activations, None], strict=True)
    )


def mean_loss(layers: tuple[Layer, ...], x: np.ndarray, y: np.ndarray, loss: str) -> float:
    """In float64, since losses of nets are rounded to float32."""
    for layer in layers:
        x = layer(x)
    if loss == "squared":
        return float((0.5 * (x - y) ** 2).sum() / len(x))
    if loss == "logistic":
        return float((np.logaddexp(0, x) - y * x).sum() / len(x))
    return float((np.log(np.exp(x).sum(axis=1)) - (y * x).sum(axis=1)).mean())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activations", [(), ("tanh",), ("sigmoid", "relu")])
def test_it_is_what_finite_differences_say(loss: str, activations: tuple[str, ...]):
    layers = net(*activations)
    x, y = RNG.normal(size=(6, 5)), np.eye(3)[RNG.integers(0, 3, 6)]
    w, width = vector(layers), 1e-5
    found = gradient(layers, x, y, LOSSES[loss])
    for i in range(len(w)):
        beside = np.zeros(len(w))
        beside[i] = width
        above, below = (
            mean_loss(shaped(at, layers), x, y, loss) for at in (w + beside, w - beside)
        )
        assert found[i] == pytest.approx((above - below) / (2 * width), abs=1e-6)


def test_a_vector_is_a_net_again():
    layers = net("relu")
    again = shaped(vector(layers), layers)
    np.testing.assert_array_equal(again[0].weight, layers[0].weight)
    np.testing.assert_array_equal(again[1].bias, layers[1].bias)
