"""Kinds of learners by name: ours, and those that other packages install (`streammac.models.plugins`).

What is installed is a `Converter`, or a class with scikit-learn's interface.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np

from streammac.models import plugins
from streammac.models.learners.converter import Converter
from streammac.models.learners.scikit import Scikit
from streammac.models.learners.serialised import Serialised, Serialiser

OWN = {
    "sgd_classifier": "sklearn.linear_model:SGDClassifier",
    "perceptron": "sklearn.linear_model:Perceptron",
    "passive_aggressive": "streammac.models.learners.passive_aggressive:PassiveAggressive",
    "gaussian_nb": "sklearn.naive_bayes:GaussianNB",
    "bernoulli_nb": "sklearn.naive_bayes:BernoulliNB",
    "mini_batch_k_means": "streammac.models.learners.prototypes:Prototypes",
    "hoeffding_tree": "streammac.models.learners.hoeffding_tree:HoeffdingTree",
    "river_logistic_regression": "streammac.models.learners.river_logistic:RiverLogistic",
}


class LearnerError(plugins.PluginError):
    """There is no such learner, or it cannot have these options."""


def kinds() -> dict[str, EntryPoint]:
    """Return where the learners are, by name."""
    own = {name: EntryPoint(name, value, plugins.LEARNERS) for name, value in OWN.items()}
    return plugins.installed(plugins.LEARNERS) | own


def converter(
    name: str, options: Mapping[str, Any], seed: int, serialiser: str | None = None
) -> Converter:
    """Return what makes learners of a kind, once one has shown that it can learn, travel and predict.

    ``serialiser`` is the installed one that makes bytes of learners whose state is not arrays; without one there are no
    such learners.

    Raises
    ------
    LearnerError
        Naming the hyper-parameter that is wrong.
    """
    return _tried(name, json.dumps(dict(options), sort_keys=True), seed, serialiser)


@functools.lru_cache(64)
def _tried(name: str, options: str, seed: int, serialiser: str | None) -> Converter:
    known = kinds()
    if name not in known:
        raise LearnerError(f"learner: no {name!r}, there is {', '.join(sorted(known))}")
    kind = plugins.loaded(known[name])
    make: Callable[[Mapping[str, Any], int], Converter] = kind
    has_converter = name in OWN or (isinstance(kind, type) and issubclass(kind, Converter))
    if has_converter and serialiser is not None:
        raise LearnerError(f"serialiser: {name} needs none, it travels as arrays - leave it out")
    if not (isinstance(kind, type) and issubclass(kind, Converter)):
        if not hasattr(kind, "partial_fit"):
            raise LearnerError(f"learner: {name} has no partial_fit, and is no converter")
        make = functools.partial(Scikit, kind)
        if serialiser is not None:
            make = functools.partial(
                Serialised, kind, f"{name} by {serialiser}", _serialiser(serialiser)
            )
    try:
        made = make(json.loads(options), seed)
        _try(made)
    except Exception as error:  # whatever a library raises where it is asked for what it cannot do
        raise LearnerError(f"learner_options: {name}: {error}") from error
    return made


def _serialiser(name: str) -> Serialiser:
    known = plugins.installed(plugins.SERIALISERS)
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise LearnerError(f"serialiser: no {name!r}, installed is {there} - see docs/learners.md")
    found = plugins.loaded(known[name])
    if not (callable(getattr(found, "dumps", None)) and callable(getattr(found, "loads", None))):
        raise LearnerError(f"serialiser: {known[name].value} has no dumps and loads")
    return found  # type: ignore[no-any-return]  # as was seen


def _try(made: Converter) -> None:
    x = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 1.0], [1.0, 0.5]], np.float32)
    learner = made.learner({})
    for _ in range(2):
        made.learn(learner, x, np.array([0, 1, 0, 1], np.uint8))
        learner = made.learner(made.arrays(learner))
    bits = made.predict(made.arrays(learner), x)
    if bits.shape != (4,) or bits.dtype != np.uint8 or bits.max() > 1:
        raise LearnerError(f"expected a bit of each point, got {bits!r}")
