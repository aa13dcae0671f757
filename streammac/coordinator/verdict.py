"""What the publisher says of a continuation that is over: the parameters that the ring is to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streammac.models.base import Array


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Which parameters training is to go on from after a continuation.

    Attributes
    ----------
    restart : int
        Number of the continuation (`EpochPlan.restart`).
    version : int
        The version that has the parameters: the continuation's best epoch, or the current version if that is better.
    better : bool
        It is an epoch of the continuation; else the version that was current before it.
    tensors : mapping of str to array
        The whole model; an epoch as the ring had it, whatever its bits are called in the version.
    """

    restart: int
    version: int
    better: bool
    tensors: Mapping[str, Array]
    newest: int = 0
    """The version of the continuation's last epoch, which is what the ring has."""

    def __str__(self) -> str:
        what = (
            "the best epoch of the continuation" if self.better else "better than the continuation"
        )
        return f"training goes on from version {self.version}, {what}"
