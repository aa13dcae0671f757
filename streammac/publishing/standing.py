"""A version among others: its parameters, how it was measured, and how its codes differ from those of another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from streammac.models.base import Array, Floats, NestedModel
from streammac.models.capabilities import codes_of
from streammac.publishing.measurement import Measurement
from streammac.publishing.versions import ModelVersion, rebuild


@dataclass(slots=True, eq=False)
class Standing:
    """A version and what is known of it.

    Attributes
    ----------
    model : NestedModel
        What the parameters belong to.
    version : int
        Its number.
    tensors : mapping of str to array
        Its parameters, aligned with those of the version that was current before.
    raw : mapping of str to array
        The same as the ring has them.
    measured : Measurement or None
        The newest one.
    then : Measurement or None
        The one when it was promoted, or the first one since.
    was_measured : bool
        There is or was one, perhaps in a former process.
    """

    model: NestedModel
    version: int
    tensors: Mapping[str, Array]
    raw: Mapping[str, Array]
    measured: Measurement | None = None
    then: Measurement | None = None
    was_measured: bool = False

    @classmethod
    def of(cls, found: ModelVersion) -> Standing:
        """Return that of a version on disk."""
        metadata = found.metadata
        model = rebuild(metadata)
        measured = metadata.get("quality") is not None
        return cls(model, metadata["version"], found.tensors, found.tensors, was_measured=measured)

    def see(self, measured: Measurement) -> None:
        """Take its newest measurement."""
        self.measured, self.was_measured = measured, True
        self.then = self.then or measured


@dataclass(slots=True)
class Leader:
    """The best epoch of a continuation so far.

    Attributes
    ----------
    restart : int
        Number of the continuation.
    since : int
        The newest version when it began.
    best : Standing or None
        The version with the best measurement, or the newest one where there are none.
    over : bool
        The verdict on it has been passed.
    """

    restart: int = -1
    since: int = 0
    best: Standing | None = None
    over: bool = False

    def consider(self, new: Standing) -> bool:
        """Take a version, measured on the same probe as the best one; return whether it is the best one now."""
        best = self.best
        if best is not None and best.measured is not None:
            if new.measured is None or new.measured.probe != best.measured.probe:
                return False
            if new.measured.model <= best.measured.model:
                return False
        self.best = new
        return True


@dataclass(frozen=True, slots=True)
class Change:
    """How much the codes of the held-out points differ from those of an older version.

    Attributes
    ----------
    than : int
        The older version.
    bits : float
        Bits per code that differ, mean over points.
    share : float
        The same as a share of all bits.
    points : int
        How many points these are.
    """

    than: int
    bits: float
    share: float
    points: int

    @classmethod
    def between(cls, old: Standing, new: Standing, x: Floats) -> Change:
        """Compare the codes of (n, D) points."""
        codes = (codes_of(one.model).encode(one.tensors, x.copy()) for one in (old, new))
        differing = np.bitwise_xor(*codes)
        bits = float(np.bitwise_count(differing).sum(axis=1).mean())
        shape, _ = new.model.coordinate_shape()
        return cls(old.version, round(bits, 4), round(bits / int(np.prod(shape)), 6), len(x))

    def summary(self) -> dict[str, Any]:
        """Return it for a version's metadata."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.bits:.1f} bits changed ({self.share:.1%})"


def fingerprint(functions: Mapping[str, Array]) -> str:
    """Return what tells the functions of a model from all others."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in sorted(functions.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
