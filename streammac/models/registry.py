"""Model families by name: from configuration files and model files to models.

Ours, and those that other packages install (`streammac.models.plugins`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from streammac.errors import StreammacError
from streammac.models import plugins
from streammac.models.base import NestedModel
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.deep_net import DeepNetModel
from streammac.models.learner_codes import LearnerCodesModel
from streammac.models.linear_model import LinearModel


class ModelError(StreammacError, ValueError):
    """A model family or one of its hyper-parameters is unknown or out of range."""


OWN_KEYS = {"bits": "model.bits", "classes": "stream.classes"}
"""Hyper-parameters that are set by keys of their own."""

FAMILIES: Mapping[str, type[NestedModel]] = {
    cls.family: cls
    for cls in (BinaryAutoencoderModel, DeepNetModel, LearnerCodesModel, LinearModel)
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
    if classes is not None and "classes" in _options(_family(family)):
        wanted["classes"] = classes
    return create(family, **wanted)


def _family(name: str) -> type[NestedModel]:
    if name in FAMILIES:
        return FAMILIES[name]
    installed = plugins.installed(plugins.FAMILIES)
    if name not in installed:
        there = ", ".join(sorted({*FAMILIES, *installed}))
        raise ModelError(f"model.family: no {name!r}, there is {there}")
    try:
        cls = plugins.loaded(installed[name])
    except plugins.PluginError as error:
        raise ModelError(f"model.family: {error}") from error
    sound = isinstance(cls, type) and issubclass(cls, NestedModel) and is_dataclass(cls)
    if not sound or cls.family != name:
        raise ModelError(
            f"model.family: {installed[name].value} is no dataclass that is a NestedModel "
            f"with {name!r} for its family"
        )
    return cls  # type: ignore[no-any-return]  # as was seen


def _options(cls: type[NestedModel]) -> list[str]:
    return [field.name for field in fields(cls)]  # type: ignore[arg-type]


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
    cls = _family(family)
    known = _options(cls)
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
