"""Model families by name: from configuration files and model files to models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streammac.errors import StreammacError
from streammac.models.base import NestedModel
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.deep_net import DeepNetModel


class ModelError(StreammacError, ValueError):
    """A model family or one of its hyper-parameters is unknown or out of range."""


OWN_KEYS = {"bits": "model.bits", "classes": "stream.classes"}
"""Hyper-parameters that are set by keys of their own."""

FAMILIES: Mapping[str, type[NestedModel]] = {
    BinaryAutoencoderModel.family: BinaryAutoencoderModel,
    DeepNetModel.family: DeepNetModel,
}


def configured(
    family: str, options: Mapping[str, Any], bits: int | None, classes: int | None
) -> NestedModel:
    """Build the model that a cluster's settings ask for.

    Parameters
    ----------
    family : str
        ``model.family``.
    options : mapping
        ``model.options``.
    bits : int, optional
        ``model.bits``: an option with a key of its own.
    classes : int, optional
        ``stream.classes``: of the stream, for families that tell classes apart.

    Raises
    ------
    ModelError
        See `create`.
    """
    wanted = dict(options)
    if bits is not None:
        wanted["bits"] = bits
    if classes is not None and "classes" in _options(family):
        wanted["classes"] = classes
    return create(family, **wanted)


def _options(family: str) -> list[str]:
    cls = FAMILIES.get(family)
    return list(cls.__dataclass_fields__) if cls else []  # type: ignore[attr-defined]


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
    known = _options(family)
    for name in hyper_parameters:
        if name not in known:
            raise ModelError(f"{key_of(name)}: {family} has {', '.join(known)}")
    try:
        return msgspec.convert(hyper_parameters, cls)
    except msgspec.ValidationError as error:
        what, _, name = str(error).partition(" - at `$.")
        text = f"{name.removesuffix('`')}: {what[:1].lower()}{what[1:]}" if name else what
        name, _, wrong = text.partition(":")
        raise ModelError(f"{key_of(name)}:{wrong}") from error


def key_of(hyper_parameter: str) -> str:
    """Return the setting that gives a family one of its hyper-parameters."""
    return OWN_KEYS.get(hyper_parameter, f"model.options.{hyper_parameter}")
