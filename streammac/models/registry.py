"""Model families by name: from configuration files and model files to models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streammac.errors import StreammacError
from streammac.models.base import NestedModel
from streammac.models.binary_autoencoder import BinaryAutoencoderModel


class ModelError(StreammacError, ValueError):
    """A model family or one of its hyper-parameters is unknown or out of range."""


FAMILIES: Mapping[str, type[NestedModel]] = {
    BinaryAutoencoderModel.family: BinaryAutoencoderModel,
}


def create(family: str, **hyper_parameters: Any) -> NestedModel:
    """Build a model.

    Raises
    ------
    ModelError
        Naming the family or the hyper-parameter that is wrong, and what there is.

    Examples
    --------
    >>> create("binary_autoencoder", bits=16).hyper_parameters()["bits"]
    16
    """
    cls = FAMILIES.get(family)
    if cls is None:
        raise ModelError(f"model.family: no {family!r}, there is {', '.join(sorted(FAMILIES))}")
    known = list(cls.__dataclass_fields__)  # type: ignore[attr-defined]
    for name in hyper_parameters:
        if name not in known:
            raise ModelError(f"model.options.{name}: {family} has {', '.join(known)}")
    try:
        return msgspec.convert(hyper_parameters, cls)
    except msgspec.ValidationError as error:
        what, _, name = str(error).partition(" - at `$.")
        text = f"{name.removesuffix('`')}: {what[:1].lower()}{what[1:]}" if name else what
        own = text.startswith("bits:")  # a key of its own
        raise ModelError(f"model.{text}" if own else f"model.options.{text}") from error
