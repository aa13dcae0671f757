"""Scikit-learn's mini-batch k-means as a classifier: centres of each value of a bit, and the nearest one says it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, Tensors
from streammac.models.learners.converter import Converter

COUNTS = ("n_steps_", "_n_since_last_reassign", "_batch_size")
"""What a k-means knows besides its centres, how many points each has had, and the state of its random numbers."""


class Prototypes(Converter):
    """Two `sklearn.cluster.MiniBatchKMeans`, one for the points with each value of the bit.

    Options are those of the class; ``n_clusters`` are the centres of each value.
    """

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        from sklearn.cluster import MiniBatchKMeans

        unknown = sorted(set(options) - set(inspect.signature(MiniBatchKMeans).parameters))
        if unknown:
            raise ValueError(f"no {', '.join(unknown)}")
        own = {"random_state": seed % (1 << 32), "compute_labels": False}
        self._parameters = own | dict(options)

    def learner(self, arrays: Mapping[str, Array]) -> Any:
        """See `Converter.learner`: one k-means for each value."""
        return [self._k_means(bit, arrays) for bit in (0, 1)]

    def _k_means(self, bit: int, arrays: Mapping[str, Array]) -> Any:
        from sklearn.cluster import MiniBatchKMeans

        found: Any = MiniBatchKMeans(**self._parameters)
        if arrays:
            found.cluster_centers_ = arrays[f"centres{bit}"].copy()
            found.n_features_in_ = found.cluster_centers_.shape[1]
            found._counts = arrays[f"weights{bit}"].copy()
            for name, value in zip(COUNTS, arrays[f"counts{bit}"].tolist(), strict=True):
                setattr(found, name, value)
            found._random_state = _random(arrays[f"random{bit}"])
            found._n_threads = 1
        return found

    def learn(self, learner: Any, x: Floats, bits: NDArray[np.uint8]) -> None:
        """See `Converter.learn`."""
        for bit, k_means in enumerate(learner):
            own = x[bits == bit]
            if len(own) == 0:
                continue
            if not hasattr(k_means, "cluster_centers_"):
                # the first points have to be as many as centres: few count more than once
                own = np.resize(own, (max(len(own), k_means.n_clusters), x.shape[1]))
            k_means.partial_fit(own)

    def arrays(self, learner: Any) -> Tensors:
        """See `Converter.arrays`."""
        found: Tensors = {}
        for bit, k_means in enumerate(learner):
            found[f"centres{bit}"] = k_means.cluster_centers_.copy()
            found[f"weights{bit}"] = k_means._counts.copy()
            found[f"counts{bit}"] = np.array([getattr(k_means, name) for name in COUNTS], np.int64)
            found[f"random{bit}"] = _state(k_means._random_state)
        return found

    def predict(self, arrays: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """See `Converter.predict`."""
        far = [_nearest(x, arrays[f"centres{bit}"]) for bit in (0, 1)]
        return (far[1] < far[0]).astype(np.uint8)


def _nearest(x: Floats, centres: Array) -> Array:
    """Return the squared distance of each point to the nearest centre, less what all have in common."""
    found: Array = (np.linalg.vecdot(centres, centres) - 2.0 * (x @ centres.T)).min(axis=1)
    return found


def _random(state: Array) -> np.random.RandomState:
    key, place = state[:-1].view(np.uint32), int(state[-1])
    found = np.random.RandomState()
    found.set_state(("MT19937", key, place, 0, 0.0))
    return found


def _state(random: np.random.RandomState) -> Array:
    _, key, place, *_ = random.get_state()
    return np.append(np.asarray(key, np.uint32).view(np.int32), np.int32(place))
