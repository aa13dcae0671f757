"""River's logistic regression: a step down the mean gradient of each minibatch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, Tensors
from streammac.models.learners.converter import Converter


class RiverLogistic(Converter):
    """`river.linear_model.LogisticRegression` with plain SGD; it takes data frames, so pandas has to be there.

    Options are ``lr``, that of the SGD, and ``l2``, ``intercept_lr`` and ``clip_gradient`` of the regression.
    """

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        unknown = sorted(set(options) - {"lr", "l2", "intercept_lr", "clip_gradient"})
        if unknown:
            raise ValueError(f"no {', '.join(unknown)}")
        self._options = {name: float(value) for name, value in options.items()}

    def learner(self, arrays: Mapping[str, Array]) -> Any:
        """See `Converter.learner`."""
        from river import linear_model, optim
        from river.utils import VectorDict

        others: Any = {name: value for name, value in self._options.items() if name != "lr"}
        sgd = optim.SGD(self._options.get("lr", 0.1))
        learner = linear_model.LogisticRegression(optimizer=sgd, **others)
        if arrays:
            weights = arrays["weights"].tolist()
            learner._weights = VectorDict({_name(i): weight for i, weight in enumerate(weights)})
            learner.intercept = float(arrays["intercept"])
            sgd.n_iterations = int(arrays["iterations"])
        return learner

    def learn(self, learner: Any, x: Floats, bits: NDArray[np.uint8]) -> None:
        """See `Converter.learn`."""
        import pandas as pd

        frame = pd.DataFrame(x.astype(np.float64), columns=[_name(i) for i in range(x.shape[1])])
        learner.learn_many(frame, pd.Series(bits > 0))

    def arrays(self, learner: Any) -> Tensors:
        """See `Converter.arrays`."""
        known = learner.weights
        return {
            "weights": np.array([known[_name(i)] for i in range(len(known))], np.float64),
            "intercept": np.array(learner.intercept, np.float64),
            "iterations": np.array(learner.optimizer.n_iterations, np.int64),
        }

    def predict(self, arrays: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """See `Converter.predict`."""
        return np.asarray(x @ arrays["weights"] + arrays["intercept"] > 0, np.uint8)


def _name(feature: int) -> str:
    return str(feature)
