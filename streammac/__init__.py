"""Nested models trained continuously on live data, on an elastic ring of workers (ParMAC).

>>> import streammac
>>> streammac.Client, streammac.BinaryAutoencoder  # doctest: +ELLIPSIS
(<class 'streammac.client.Client'>, <class 'streammac.models.estimator.BinaryAutoencoder'>)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streammac.version import __version__

if TYPE_CHECKING:
    from streammac.client import Client
    from streammac.models.estimator import BinaryAutoencoder
    from streammac.models.net_estimators import DeepNetClassifier, DeepNetRegressor

__all__ = ["BinaryAutoencoder", "Client", "DeepNetClassifier", "DeepNetRegressor", "__version__"]


def __getattr__(name: str) -> Any:
    # processes start in a moment because nothing is imported that they do not use
    if name == "Client":
        from streammac.client import Client

        return Client
    if name == "BinaryAutoencoder":
        from streammac.models.estimator import BinaryAutoencoder

        return BinaryAutoencoder
    if name in ("DeepNetClassifier", "DeepNetRegressor"):
        from streammac.models import net_estimators

        return getattr(net_estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
