"""Nested models trained continuously on live data, on an elastic ring of workers (ParMAC).

>>> import streammac
>>> streammac.Client, streammac.BinaryAutoencoder  # doctest: +ELLIPSIS
(<class 'streammac.client.Client'>, <class 'streammac.models.estimator.BinaryAutoencoder'>)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from streammac.version import __version__

if TYPE_CHECKING:
    from streammac.client import Client
    from streammac.models.estimator import BinaryAutoencoder, LearnerCodes
    from streammac.models.learner_estimator import LearnerClassifier
    from streammac.models.net_estimators import DeepNetClassifier, DeepNetRegressor
    from streammac.models.radon_machine import RadonMachine

__all__ = [
    "BinaryAutoencoder",
    "Client",
    "DeepNetClassifier",
    "DeepNetRegressor",
    "LearnerClassifier",
    "LearnerCodes",
    "RadonMachine",
    "__version__",
]
ESTIMATORS = {
    "BinaryAutoencoder": "estimator",
    "DeepNetClassifier": "net_estimators",
    "DeepNetRegressor": "net_estimators",
    "LearnerClassifier": "learner_estimator",
    "LearnerCodes": "estimator",
    "RadonMachine": "radon_machine",
}
"""In which module of `streammac.models` each is."""


def __getattr__(name: str) -> Any:
    # processes start in a moment because nothing is imported that they do not use
    if name == "Client":
        from streammac.client import Client

        return Client
    if name in ESTIMATORS:
        module = importlib.import_module(f"streammac.models.{ESTIMATORS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
