"""The gradient of a net's loss by all its parameters, as one vector: what trains whole copies of a net steps along it.

The ring needs none of it: there every stage is trained by itself. Here a net is its layers, the head last; of the head
alone it is softmax, logistic or linear regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streammac.models.base import Floats
from streammac.models.nets.layers import Layer
from streammac.models.nets.losses import Loss


def vector(layers: Sequence[Layer]) -> Floats:
    """Return the parameters, (D,): weights and biases of each layer."""
    return np.concatenate([p.reshape(-1) for layer in layers for p in (layer.weight, layer.bias)])


def shaped(w: Floats, like: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers with these parameters, (D,), and the shapes of others; they share the memory of ``w``."""
    found: list[Layer] = []
    begin = 0
    for layer in like:
        middle = begin + layer.weight.size
        end = middle + layer.bias.size
        weight = w[begin:middle].reshape(layer.weight.shape)
        found.append(replace(layer, weight=weight, bias=w[middle:end]))
        begin = end
    return tuple(found)


def gradient(layers: Sequence[Layer], inputs: Floats, y: Floats, loss: Loss) -> Floats:
    """Return that of the mean loss of some points, (D,), by back-propagation through all layers.

    Parameters
    ----------
    layers : sequence of Layer
        The head last.
    inputs : (n, D) float32
        What the first layer sees.
    y : (n, O) float32
        Coded targets.
    loss : Loss
        Of the head's scores.
    """
    values = [inputs]
    for layer in layers:
        values.append(layer(values[-1]))
    slope = loss.gradient(values.pop(), y)
    slope /= np.float32(len(inputs))
    pieces: list[Floats] = []
    for number in range(len(layers) - 1, -1, -1):
        below = values[number]
        pieces += [np.add.reduce(slope), (slope.T @ below).reshape(-1)]
        if number:
            slope = layers[number - 1].back(below, slope @ layers[number].weight)
    return np.concatenate(pieces[::-1])
