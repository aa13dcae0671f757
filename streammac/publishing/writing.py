"""Finished epochs to versions on disk: what is written of each before anybody has measured it.

An epoch whose hash functions are those of a version is none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from streammac.coordinator.epoch_reports import EpochResult
from streammac.models.base import Array, NestedModel
from streammac.models.capabilities import Codes
from streammac.publishing.held_out import HeldOutSample
from streammac.publishing.standing import Change, Standing, fingerprint
from streammac.publishing.versions import STATISTICS, VersionStore

UNMEASURED = "not measured: a newer one came first"
"""What a version says of itself until it is."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an epoch.

    Attributes
    ----------
    result : EpochResult
        The epoch.
    version : int
        The version that has its functions.
    parent : int
        The newest version before it.
    new : Standing or None
        What was written; None where that version was there already.
    change : Change or None
        How its codes differ from those of the current version.
    """

    result: EpochResult
    version: int
    parent: int
    new: Standing | None = None
    change: Change | None = None


class Writer:
    """Writes versions.

    Parameters
    ----------
    model : NestedModel
        What is trained.
    versions : VersionStore
        Where they go.
    held_out : HeldOutSample
        Points whose codes are compared.
    current : Standing or None
        The promoted version, if there is one.
    """

    def __init__(
        self,
        model: NestedModel,
        versions: VersionStore,
        held_out: HeldOutSample,
        current: Standing | None,
    ) -> None:
        self.model = model
        self._versions = versions
        self._held_out = held_out
        self._known = _known(versions, current)

    def write(
        self, result: EpochResult, points: int, current: Standing | None, parent: int
    ) -> Written:
        """Write an epoch as a candidate, unless a version has its functions.

        Raises
        ------
        OSError
            If the disk takes nothing.
        VersionError, ArithmeticError, LookupError, ValueError, TypeError
            If its arrays are no model.
        """
        functions = fingerprint(self.model.functions(result.params))
        version = self._known.get(functions)
        if version is not None:
            return Written(result, version, parent)
        params, change = self._aligned(result.params, current)
        metadata = {
            "epoch": result.epoch,
            "points": points,
            "objective": result.per_point("nested"),
            "mu": result.mu,
            "parent": parent,
            "statistics": STATISTICS,
            "model": {
                "family": self.model.family,
                "hyper_parameters": self.model.hyper_parameters(),
            },
            "functions": functions,
            "next": following(result),
            "reason": UNMEASURED,
            "changed": change.summary() if change else None,
            "quality": None,
        }
        version = self._versions.publish(params, metadata)
        self._known[functions] = version
        self._known[fingerprint(self.model.functions(params))] = version
        new = Standing(self.model, version, params, raw=result.params)
        return Written(result, version, parent, new, change)

    def _aligned(
        self, params: Mapping[str, Array], current: Standing | None
    ) -> tuple[Mapping[str, Array], Change | None]:
        """Return the same model with its bits named after those of the current version, and how they differ."""
        x = self._held_out.sample()
        if not isinstance(self.model, Codes) or current is None or x is None:
            return params, None
        z = current.model.coordinates(current.tensors, x.copy())
        aligned = self.model.aligned(params, x, z)
        return aligned, Change.between(current, Standing(self.model, 0, aligned, params), x)


def following(result: EpochResult) -> dict[str, Any]:
    """Return what follows an epoch, for the metadata of a version."""
    return {"epoch": result.epoch + 1, "plan": structs.asdict(result.following)}


def _known(versions: VersionStore, current: Standing | None) -> dict[str, int]:
    """Return the versions whose functions a ring that goes on may have, by their fingerprints."""
    known: dict[str, int] = {}
    newest, _ = versions.resumption()
    for one in (Standing.of(newest) if newest else None, current):
        if one is not None:
            known[fingerprint(one.model.functions(one.tensors))] = one.version
    if newest is not None and "functions" in newest.metadata:
        known[newest.metadata["functions"]] = newest.metadata["version"]
    return known
