"""Model versions on disk: published atomically, promoted or left as candidates, pinned, pruned.

The coordinator publishes; commands and clients read. A version is one safetensors file whose header
holds the metadata as JSON, so a file that is copied elsewhere still tells what it is. The small
file ``versions.json`` beside them says which version is current, whether it is pinned, which number comes next, and
from which version training goes on after a restart, if that is not the newest one.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.errors import StreammacError
from streammac.files import document
from streammac.files.replace import replace
from streammac.models.base import NestedModel
from streammac.models.registry import ModelError, create
from streammac.points.range import told_not_finite

Tensors = dict[str, NDArray[Any]]
_FILE = re.compile(r"v(\d{8,})\.safetensors")
STATISTICS = 2
"""How the statistics were made that a version rests on. Outliers may own those of older versions, without a number."""
CHECKSUM_KEY = "crc32"
"""Of the metadata: over all the rest of the file."""
METADATA_KEY = "streammac"
"""Key of the JSON text in the header of a safetensors file."""


class VersionError(StreammacError, ValueError):
    """A version is not there, or a file is not a version."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version: what it is, and its parameters."""

    metadata: dict[str, Any]
    tensors: Tensors


def read_model(path: Path) -> ModelVersion:
    """Return a version from a file, also one that was copied or exported elsewhere.

    Raises
    ------
    VersionError
        If the file cannot be read, is not a version of this project, or holds numbers that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads(header[METADATA_KEY])
    except KeyError:
        raise VersionError(
            f"{path}: a safetensors file, but not one of streammac's models"
        ) from None
    except (OSError, SafetensorError, ValueError) as error:
        raise VersionError(f"{path}: not a readable model file: {error}") from error
    checksum = metadata.pop(CHECKSUM_KEY, None)
    if checksum not in (None, _checksum(tensors, metadata)):
        raise VersionError(f"{path}: is damaged: its checksum does not fit - use another version")
    _check_finite(path, tensors)
    return ModelVersion(metadata, tensors)


def write_model(
    path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write a version to a file: there is the whole file or none, also after a power cut.

    Raises
    ------
    VersionError
        If a number in it is not finite: such a model is of no use to anybody.
    """
    from safetensors.numpy import save

    _check_finite(path, tensors)
    plain = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in tensors.items()}
    told: dict[str, Any] = json.loads(json.dumps(metadata))  # as it will be read
    text = json.dumps(told | {CHECKSUM_KEY: _checksum(plain, told)})
    replace(path, save(plain, {METADATA_KEY: text}), sync=True)


def usable_model(path: Path) -> ModelVersion:
    """Return a version from a file, if its model is known here; see `read_model` and `rebuild`."""
    found = read_model(path)
    try:
        rebuild(found.metadata)
    except VersionError as error:
        raise VersionError(f"{path}: {error}") from None
    return found


def rebuild(metadata: Mapping[str, Any]) -> NestedModel:
    """Return the model that a version's parameters belong to.

    Raises
    ------
    VersionError
        If its family or one of its hyper-parameters is unknown here: another release has published it.
    """
    described = metadata.get("model", {})
    remedy = "use the release that has published it, or another version"
    try:
        return create(described["family"], **described["hyper_parameters"])
    except (LookupError, TypeError) as error:
        raise VersionError(f"metadata: model: not understood: {error!r} - {remedy}") from None
    except ModelError as error:
        raise VersionError(f"metadata: {error} - {remedy}") from None


def _checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> int:
    value = document.checksum(metadata)
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tensor.shape}".encode(), value)
        value = zlib.crc32(tensor.tobytes(), value)
    return value


def _check_finite(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    wild = told_not_finite(tensors)
    if wild:
        raise VersionError(f"{path}: {wild} - `streammac model list` shows other versions")


class VersionStore:
    """The versions in a folder.

    One process writes (the coordinator, or a roll-back while it is down); any number may read.

    Parameters
    ----------
    path : Path
        Folder of the versions; made when the first one is published.
    keep : int
        Newest versions that are kept, besides the current one.

    Attributes
    ----------
    spared : set of int
        Further versions that are kept: the best one of a continuation, and one that is measured.
    """

    def __init__(self, path: Path, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"keep: expected 1 or more, got {keep}")
        self.path = path
        self.keep = keep
        self.spared: set[int] = set()

    # -- reading --------------------------------------------------------------------------

    def list(self) -> tuple[int, ...]:
        """Return the numbers of all versions on disk, oldest first."""
        if not self.path.is_dir():
            return ()
        found = (_FILE.fullmatch(entry.name) for entry in self.path.iterdir())
        return tuple(sorted(int(match[1]) for match in found if match))

    @property
    def newest(self) -> int:
        """The newest version, promoted or not; 0 where there is none."""
        return max(self.list(), default=0)

    @property
    def current(self) -> int:
        """The promoted version, which users get; 0 where there is none."""
        return int(self._state()["current"])

    @property
    def pinned(self) -> bool:
        """Whether the current version is to stay the current one."""
        return bool(self._state().get("pinned"))

    @property
    def candidates(self) -> tuple[int, ...]:
        """Versions newer than the current one that were not promoted."""
        current = self.current
        return tuple(version for version in self.list() if version > current)

    def file(self, version: int) -> Path:
        """Return where a version is, or would be."""
        return self.path / f"v{version:08d}.safetensors"

    def load(self, version: int) -> ModelVersion:
        """Return a version with its metadata, ``promoted`` and ``reason`` as they are now.

        Raises
        ------
        VersionError
            If it is not there, damaged, or of a model that is unknown here.
        """
        path = self.file(version)
        if not path.is_file():
            here = ", ".join(map(str, self.list())) or "none"
            raise VersionError(f"{self.path}: no version {version}; there are: {here}")
        found = usable_model(path)
        state = self._state()
        standing = {
            "promoted": version == state["current"],
            "reason": state["reasons"].get(str(version), found.metadata.get("reason", "candidate")),
        }
        return ModelVersion(found.metadata | standing, found.tensors)

    def retreat(self) -> int:
        """Return the current version; if it is not usable, promote the newest one that is, 0 if there is none."""
        current = self.current
        for version in (current, *reversed(self.list())) if current else ():
            try:
                self.load(version)
            except VersionError:
                continue
            if version != current:
                self.promote(version, f"version {current} is not usable")
            return version
        return 0

    def resumption(self) -> tuple[ModelVersion | None, str]:
        """Return the version that training goes on from, and why those that come first cannot be used.

        It is the one of `resume_from`, or else the newest. Its metadata say under ``next`` what follows it.
        """
        wanted = self._state().get("resume", {})
        newest_first = sorted(self.list(), key=lambda v: (v == wanted.get("version"), v))[::-1]
        unusable: dict[int, str] = {}
        for version in newest_first:
            try:
                found = self.load(version)
            except VersionError as error:
                unusable[version] = str(error)
                continue
            if found.metadata.get("statistics") != STATISTICS:
                text = f"the statistics of version {version} are of an older release"
                unusable[version] = text
                continue
            if version == wanted.get("version"):
                found.metadata["next"] = wanted["next"]
            return found, "; ".join(unusable.values())
        return None, "; ".join(unusable.values())

    def _state(self) -> dict[str, Any]:
        return self._load().content

    @property
    def damage(self) -> str:
        """What is wrong with the record of which version is current; empty: nothing."""
        return self._load().damage

    def _load(self) -> document.Loaded:
        path, newest = self.path / "versions.json", self.newest
        # without a record the newest version is as good a guess as any, and better than none
        begin = {"current": newest, "last": newest, "reasons": {}}
        try:
            found = document.load(path)
        except document.Damaged as error:
            return document.Loaded(
                begin, f"{error}; the newest version is taken for the current one"
            )
        if found is not None and not begin.keys() <= found.content.keys():
            return document.Loaded(
                begin, f"{path}: says nothing of versions; the newest is current"
            )
        if found is not None and not found.damage and found.content.get("last", 0) < newest:
            return document.Loaded(found.content, f"{path}: is older than the versions beside it")
        if found is not None:
            return found
        missing = f"{path}: is missing; the newest version is taken for the current one"
        return document.Loaded(begin, missing if newest else "")

    # -- writing --------------------------------------------------------------------------

    def publish(self, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> int:
        """Write a new version, as a candidate; return its number.

        Numbers only grow, also over restarts and when versions were pruned. ``metadata`` gets
        ``version`` and ``created`` (seconds since 1970).
        """
        self.path.mkdir(parents=True, exist_ok=True)
        state = self._state()
        state.pop("resume", None)  # from now on training goes on from this one
        version = max(int(state["last"]), self.newest) + 1
        self._save(
            state | {"last": version}
        )  # first: where a file has a greater number, this is an older record
        write_model(
            self.file(version), tensors, {**metadata, "version": version, "created": time.time()}
        )
        self._prune()
        return version

    def amend(self, version: int, **metadata: Any) -> None:
        """Say something else of a version than when it was written.

        Raises
        ------
        VersionError
            If it is not there or not usable.
        OSError
            If the disk takes nothing; what was said of it stays.
        """
        path = self.file(version)
        found = usable_model(path)
        write_model(path, found.tensors, found.metadata | metadata)

    def promote(self, version: int, reason: str, *, pin: bool | None = None) -> None:
        """Make a version the current one: a newer one, or an older one to roll back to.

        Parameters
        ----------
        version : int
            Its number.
        reason : str
            Why, for people.
        pin : bool, optional
            Whether it is to stay the current one, until `unpin`; left out, that stays as it is.

        Raises
        ------
        VersionError
            If it is not there or not usable.
        """
        self.load(version)
        state = self._state()
        reasons = state["reasons"] | {str(version): reason}
        pinned = bool(state.get("pinned")) if pin is None else pin
        self._save(state | {"current": version, "reasons": reasons, "pinned": pinned})
        self._prune()

    def pin(self, version: int) -> None:
        """Make a version the current one until `unpin`; see `promote`."""
        self.promote(version, "pinned by hand", pin=True)

    def unpin(self) -> None:
        """Let other versions become the current one again."""
        if self.pinned:
            self._save(self._state() | {"pinned": False})

    def resume_from(self, version: int, following: Mapping[str, Any]) -> None:
        """Remember what training goes on from, until the next version is published.

        Parameters
        ----------
        version : int
            The version that has the parameters.
        following : mapping
            Epoch and plan that follow, as in the metadata under ``next``.
        """
        state, resume = self._state(), {"version": version, "next": dict(following)}
        if state.get("resume") != resume:
            self._save(state | {"resume": resume})

    def _prune(self) -> None:
        state = self._state()
        versions = self.list()
        stay = {*versions[-self.keep :], state["current"], *self.spared}
        for version in versions:
            if version not in stay:
                self.file(version).unlink(missing_ok=True)
        reasons = {v: reason for v, reason in state["reasons"].items() if int(v) in stay}
        if reasons != state["reasons"]:
            self._save(state | {"reasons": reasons})

    def _save(self, state: Mapping[str, Any]) -> None:
        document.save(self.path / "versions.json", dict(state), keep_former=True)
