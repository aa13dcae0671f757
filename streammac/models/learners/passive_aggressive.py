"""The passive-aggressive classifier, which scikit-learn has as a way of `SGDClassifier` to choose its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streammac.models.learners.scikit import Scikit


class PassiveAggressive(Scikit):
    """Steps that are just long enough to be right by a margin of 1, and not longer than ``C`` (PA-I).

    Options are ``C``, and those of `sklearn.linear_model.SGDClassifier` that leave the steps alone: ``average``,
    ``class_weight``, ``fit_intercept``, ``random_state``.

    References
    ----------
    Crammer, Dekel, Keshet, Shalev-Shwartz, Singer: Online passive-aggressive algorithms, JMLR 2006.
    """

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        from sklearn.linear_model import SGDClassifier

        known = {"C", "average", "class_weight", "fit_intercept", "random_state"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f"no {', '.join(unknown)}, there is {', '.join(sorted(known))}")
        others = {name: value for name, value in options.items() if name != "C"}
        steps = {"learning_rate": "pa1", "eta0": options.get("C", 1.0), "penalty": None}
        super().__init__(SGDClassifier, steps | others, seed)
