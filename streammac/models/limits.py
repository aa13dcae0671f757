"""Hyper-parameters within their limits."""

from __future__ import annotations

from collections.abc import Mapping

Limits = Mapping[str, tuple[float, float]]
"""The least and the greatest value of each hyper-parameter that is a number."""


def check(model: object, limits: Limits) -> None:
    """Check the hyper-parameters of a model; one that is None is left open.

    Raises
    ------
    ValueError
        Naming the first that is out of its limits.
    """
    for name, (least, most) in limits.items():
        value = getattr(model, name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name}: expected a number from {least} to {most}, got {value!r}")
