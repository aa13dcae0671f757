"""Nested models: binary autoencoders, and whatever else implements `NestedModel`.

Pure functions of arrays. ``BinaryAutoencoder`` is the scikit-learn estimator for embedded use; it is imported
when it is asked for, because scikit-learn is slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streammac.models.base import Batch, Block, LocalData, NestedModel, Objective

if TYPE_CHECKING:
    from streammac.models.estimator import BinaryAutoencoder

__all__ = ["Batch", "BinaryAutoencoder", "Block", "LocalData", "NestedModel", "Objective"]


def __getattr__(name: str) -> Any:
    if name == "BinaryAutoencoder":
        from streammac.models.estimator import BinaryAutoencoder

        return BinaryAutoencoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
